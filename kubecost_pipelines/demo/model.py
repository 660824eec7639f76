"""What a company on AWS consists of: clusters, other resources, commitments, lines of an invoice.

Types only; `company` says what there is. Every price is in USD.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from kubecost_pipelines.core.provider_key import Provider

Tags = Mapping[str, str]
"""Tag keys as the bill writes them after `resourceTags/`: `user:team`, `aws:eks:cluster-name`."""


class Purchase(StrEnum):
    """How a node is paid for."""

    ON_DEMAND = "on-demand"
    RESERVED = "reserved"
    SAVINGS_PLAN = "savings-plan"
    SPOT = "spot"


@dataclass(frozen=True)
class InstanceType:
    """An EC2 instance type and its on-demand price, USD per hour."""

    name: str
    cores: int
    gib: int
    hour_price: Decimal


@dataclass(frozen=True)
class Meter:
    """One metered price of a resource: each of its lines on the bill costs `amount` times `price`."""

    usage_type: str
    operation: str
    amount: Decimal
    unit: str
    price: Decimal
    hours: int = 1
    """Hours that one line covers: 1, or 24 where AWS bills by the day."""


@dataclass(frozen=True)
class CloudResource:
    """Something on the bill, with the prices it is metered at."""

    product_code: str
    resource_id: str
    meters: tuple[Meter, ...]
    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """An EC2 instance in a cluster. `hour_cost` is what its hour really costs, before private discounts."""

    name: str
    instance_id: str
    instance_type: InstanceType
    purchase: Purchase
    hour_cost: Decimal
    zone: str = "us-east-1a"
    is_billed: bool = True
    traffic: tuple[Meter, ...] = ()


@dataclass(frozen=True)
class Volume:
    """An EBS volume behind a persistent volume, claimed by the stateful workload `namespace`/`claim`."""

    volume_id: str
    name: str
    gib: int
    namespace: str
    claim: str


@dataclass(frozen=True)
class LoadBalancer:
    """An Elastic Load Balancer in front of a Kubernetes service, `namespace/name`."""

    service: str
    hostname: str
    arn: str
    meters: tuple[Meter, ...]

    @property
    def provider_id(self) -> str:
        """The id that Kubecost cuts out of the hostname. A classic one's is on the bill, an NLB's is not."""
        return self.hostname.partition("-")[0]


@dataclass(frozen=True)
class Container:
    """A container of a pod and what it requests."""

    name: str
    cores: Decimal
    gib: Decimal


@dataclass(frozen=True)
class Workload:
    """A controller and its pods: one on each of `nodes` (indices into the cluster's nodes)."""

    namespace: str
    name: str
    kind: str
    team: str
    nodes: tuple[int, ...]
    containers: tuple[Container, ...]
    start_hour: int = 0
    end_hour: int = 24

    @property
    def service(self) -> str:
        """The service in front of it, `namespace/name`: every deployment has one."""
        return f"{self.namespace}/{self.name}" if self.kind == "deployment" else ""


@dataclass(frozen=True)
class Cluster:
    """A cluster. One that is not monitored is on the bill and has no API."""

    name: str
    env: str
    nodes: tuple[Node, ...]
    volumes: tuple[Volume, ...] = ()
    load_balancers: tuple[LoadBalancer, ...] = ()
    workloads: tuple[Workload, ...] = ()
    is_monitored: bool = True
    provider: Provider = "aws"
    account: str = ""
    """Google Cloud project or Azure subscription; the company's AWS account when empty."""


@dataclass(frozen=True)
class Reservation:
    """Reserved instances, partly paid upfront: `used` of the `count` serve the reserved node, others idle."""

    arn: str
    instance_type: InstanceType
    count: int
    used: int
    upfront_hour_cost: Decimal
    """Amortised, of one instance."""
    recurring_hour_cost: Decimal
    """Of one instance."""


@dataclass(frozen=True)
class SavingsPlan:
    """A Compute Savings Plan without upfront payment: USD committed per hour."""

    arn: str
    hour_commitment: Decimal


@dataclass(frozen=True)
class InvoiceLine:
    """A line that no usage explains."""

    line_type: str
    product_code: str
    description: str
    cost: Decimal


@dataclass(frozen=True)
class Restatement:
    """What the second version of a bill mends on one day: a wrong price, and a credit that comes late."""

    resource_id: str
    wrong_price: Decimal
    late_credit: InvoiceLine


@dataclass(frozen=True)
class Company:
    """Everything there is."""

    account_id: str
    region: str
    clusters: tuple[Cluster, ...]
    cloud_resources: tuple[CloudResource, ...]
    reservation: Reservation
    savings_plan: SavingsPlan
    monthly_lines: tuple[InvoiceLine, ...]
    restatement: Restatement
    edp_rate: Decimal
    """Private discount on on-demand instances."""
    management_hour_price: Decimal
    volume_gib_hour_price: Decimal
    """As billed."""
    ram_gib_hour_price: Decimal
    """As the clusters believe, for any node. Its CPU costs the rest of its price."""
    estimated_volume_gib_hour_price: Decimal
    """As the clusters believe, a tenth too much."""
    estimated_load_balancer_hour_price: Decimal
    """As the clusters believe: they do not see traffic."""
