"""Lantern Books: a fictional bookshop, everything it runs, and what each thing costs: mostly on AWS.

The data that a reader reviews; the bill and the cluster APIs only write it down in two formats. Nothing on
the bill varies from day to day, so that a day's cost can be worked out by hand: every price is per hour
(AWS bills volumes per GB-month, whose hourly price would change with the length of the month).
"""

from decimal import Decimal

from kubecost_pipelines.demo.model import (
    CloudResource,
    Cluster,
    Company,
    Container,
    InstanceType,
    InvoiceLine,
    LoadBalancer,
    Meter,
    Node,
    Purchase,
    Reservation,
    Restatement,
    SavingsPlan,
    Volume,
    Workload,
)

ACCOUNT_ID = "111122223333"
REGION = "us-east-1"

M5_LARGE = InstanceType("m5.large", 2, 8, Decimal("0.096"))
M5_XLARGE = InstanceType("m5.xlarge", 4, 16, Decimal("0.192"))
C5_XLARGE = InstanceType("c5.xlarge", 4, 8, Decimal("0.17"))
R5_LARGE = InstanceType("r5.large", 2, 16, Decimal("0.126"))
T3_LARGE = InstanceType("t3.large", 2, 8, Decimal("0.0832"))

DATABASE_ARN = f"arn:aws:rds:{REGION}:{ACCOUNT_ID}:db:checkout"
LOAD_BALANCER_ARN = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT_ID}:loadbalancer"


def _node(
    address: str,
    instance_id: str,
    instance_type: InstanceType,
    *,
    purchase: Purchase = Purchase.ON_DEMAND,
    hour_cost: str = "",
    zone: str = "us-east-1a",
    traffic: tuple[Meter, ...] = (),
    is_billed: bool = True,
) -> Node:
    cost = Decimal(hour_cost) if hour_cost else instance_type.hour_price
    name = f"ip-{address}.ec2.internal"
    return Node(name, instance_id, instance_type, purchase, cost, zone, is_billed, traffic)


def _meter(usage_type: str, operation: str, amount: str, unit: str, price: str, *, hours: int = 1) -> tuple[Meter, ...]:
    return (Meter(usage_type, operation, Decimal(amount), unit, Decimal(price), hours),)


def _volume(volume_id: str, uid: str, gib: int, namespace: str, claim: str) -> Volume:
    return Volume(volume_id, f"pvc-{uid}-0000-4000-8000-000000000000", gib, namespace, claim)


def _run(name: str, cores: str, gib: str) -> tuple[Container, ...]:
    return (Container(name, Decimal(cores), Decimal(gib)),)


def _daemons(nodes: int) -> tuple[Workload, ...]:
    everywhere = tuple(range(nodes))
    proxy, network = _run("kube-proxy", "0.1", "0.05"), _run("aws-node", "0.025", "0.06")
    return (
        Workload("kube-system", "kube-proxy", "daemonset", "platform", everywhere, proxy),
        Workload("kube-system", "aws-node", "daemonset", "platform", everywhere, network),
    )


EGRESS = _meter("USE1-DataTransfer-Out-Bytes", "RunInstances", "0.5", "GB", "0.09")

PROD = Cluster(
    name="prod-eks-1",
    env="prod",
    nodes=(
        _node("10-0-1-10", "i-0aaaaaaaaaaaaaa10", M5_XLARGE, traffic=EGRESS),
        _node("10-0-2-11", "i-0aaaaaaaaaaaaaa11", M5_LARGE, zone="us-east-1b"),
        _node("10-0-1-12", "i-0aaaaaaaaaaaaaa12", M5_XLARGE, purchase=Purchase.RESERVED, hour_cost="0.12"),
        _node("10-0-1-13", "i-0aaaaaaaaaaaaaa13", C5_XLARGE, purchase=Purchase.SAVINGS_PLAN, hour_cost="0.11"),
        _node("10-0-1-14", "i-0aaaaaaaaaaaaaa14", M5_XLARGE, purchase=Purchase.SPOT, hour_cost="0.0768"),
        # Runs in an account whose bill nobody exports: its estimate is all that is ever known.
        _node("10-0-9-15", "i-0aaaaaaaaaaaaaa15", R5_LARGE, is_billed=False),
    ),
    volumes=(
        _volume("vol-0aaaaaaaaaaaaaa01", "5e55a000", 20, "web", "session-cache"),
        _volume("vol-0aaaaaaaaaaaaaa02", "0de25000", 100, "checkout", "orders-db"),
        _volume("vol-0aaaaaaaaaaaaaa03", "5ea2c000", 200, "search", "index"),
        _volume("vol-0aaaaaaaaaaaaaa04", "9204e000", 50, "monitoring", "prometheus"),
    ),
    load_balancers=(
        LoadBalancer(
            service="ingress/ingress-nginx",
            hostname="a1b2c3d4e5f60718293a4b5c6d7e8f90-1037804914.us-east-1.elb.amazonaws.com",
            arn=f"{LOAD_BALANCER_ARN}/a1b2c3d4e5f60718293a4b5c6d7e8f90",
            meters=_meter("USE1-LoadBalancerUsage", "LoadBalancing", "1", "Hrs", "0.025")
            + _meter("USE1-DataProcessing-Bytes", "LoadBalancing", "1", "GB", "0.008"),
        ),
        LoadBalancer(
            service="web/storefront",
            hostname="k8s-web-storefr-0a1b2c3d4e-9f8e7d6c5b4a3210.elb.us-east-1.amazonaws.com",
            arn=f"{LOAD_BALANCER_ARN}/net/k8s-web-storefr-0a1b2c3d4e/9f8e7d6c5b4a3210",
            meters=_meter("USE1-LoadBalancerUsage", "LoadBalancing:Network", "1", "Hrs", "0.0225")
            + _meter("USE1-LCUUsage", "LoadBalancing:Network", "0.5", "LCU-Hrs", "0.006"),
        ),
    ),
    workloads=(
        Workload(
            *("web", "storefront", "deployment", "web", (0, 1, 2, 3)),
            _run("app", "0.5", "0.75") + _run("envoy", "0.1", "0.125"),
        ),
        Workload("web", "session-cache", "statefulset", "web", (1,), _run("redis", "0.25", "1")),
        Workload("checkout", "checkout-api", "deployment", "payments", (0, 2, 3), _run("api", "0.4", "0.75")),
        Workload("checkout", "orders-db", "statefulset", "payments", (2,), _run("postgres", "0.5", "2")),
        Workload("search", "search-api", "deployment", "discovery", (0, 5), _run("api", "0.4", "1")),
        Workload("search", "index", "statefulset", "discovery", (2,), _run("opensearch", "1", "4")),
        Workload("ingress", "ingress-nginx", "deployment", "platform", (0, 1), _run("nginx", "0.2", "0.25")),
        Workload("batch", "recommender", "deployment", "discovery", (4, 4), _run("worker", "0.6", "2")),
        Workload("batch", "nightly-report", "job", "finance", (4,), _run("report", "1", "4"), 2, 4),
        Workload("monitoring", "prometheus", "statefulset", "platform", (5,), _run("prometheus", "0.4", "2")),
        Workload(
            *("monitoring", "cost-analyzer", "deployment", "platform", (3,)),
            _run("cost-model", "0.2", "0.5") + _run("frontend", "0.01", "0.05"),
        ),
        Workload("kube-system", "coredns", "deployment", "platform", (0, 3), _run("coredns", "0.1", "0.07")),
        *_daemons(6),
    ),
)

STAGING = Cluster(
    name="staging-eks-1",
    env="staging",
    nodes=(
        _node("10-1-1-10", "i-0bbbbbbbbbbbbbb10", T3_LARGE),
        _node("10-1-1-11", "i-0bbbbbbbbbbbbbb11", T3_LARGE),
    ),
    volumes=(_volume("vol-0bbbbbbbbbbbbbb01", "57a91000", 30, "search", "index"),),
    workloads=(
        Workload("web", "storefront", "deployment", "web", (0, 1), _run("app", "0.25", "0.5")),
        Workload("search", "search-api", "deployment", "discovery", (0,), _run("api", "0.2", "0.5")),
        Workload("search", "index", "statefulset", "discovery", (1,), _run("opensearch", "0.5", "2")),
        Workload("kube-system", "coredns", "deployment", "platform", (0, 1), _run("coredns", "0.1", "0.07")),
        *_daemons(2),
    ),
)

FORGOTTEN = Cluster(
    name="forgotten-eks-1",
    env="dev",
    nodes=(
        _node("10-2-1-10", "i-0ffffffffffffff10", M5_LARGE),
        _node("10-2-1-11", "i-0ffffffffffffff11", M5_LARGE),
    ),
    volumes=(_volume("vol-0ffffffffffffff01", "f0260000", 100, "default", "old-wiki"),),
    is_monitored=False,
)

DATABASE = CloudResource(
    product_code="AmazonRDS",
    resource_id=DATABASE_ARN,
    meters=_meter("USE1-InstanceUsage:db.m5.xlarge", "CreateDBInstance:0014", "1", "Hrs", "0.356"),
    tags={
        "user:team": "payments",
        "user:env": "prod",
        "user:app": "checkout-api",
        "user:kubernetes_namespace": "checkout",
    },
)

BUCKET = CloudResource(
    product_code="AmazonS3",
    resource_id="lantern-books-covers",
    meters=_meter("USE1-TimedStorage-ByteHrs", "StandardStorage", "20", "GB-Mo", "0.025", hours=24),
    tags={"user:team": "web", "user:env": "prod", "user:app": "storefront"},
)

NAT_GATEWAY = CloudResource(
    product_code="AmazonEC2",
    resource_id=f"arn:aws:ec2:{REGION}:{ACCOUNT_ID}:natgateway/nat-0aaaaaaaaaaaaaa01",
    meters=_meter("USE1-NatGateway-Hours", "NatGateway", "1", "Hrs", "0.045")
    + _meter("USE1-NatGateway-Bytes", "NatGateway", "2", "GB", "0.045"),
    tags={"user:team": "platform", "user:env": "prod"},
)

COMPANY = Company(
    account_id=ACCOUNT_ID,
    region=REGION,
    clusters=(PROD, STAGING, FORGOTTEN),
    cloud_resources=(DATABASE, BUCKET, NAT_GATEWAY),
    reservation=Reservation(
        arn=f"arn:aws:ec2:{REGION}:{ACCOUNT_ID}:reserved-instances/2a7e5f10-0000-4000-8000-000000000001",
        instance_type=M5_LARGE,
        count=3,
        used=2,  # An m5.xlarge takes two m5.large: reservations of Linux instances are size-flexible.
        upfront_hour_cost=Decimal("0.025"),
        recurring_hour_cost=Decimal("0.035"),
    ),
    savings_plan=SavingsPlan(
        arn=f"arn:aws:savingsplans::{ACCOUNT_ID}:savingsplan/5a71e500-0000-4000-8000-000000000001",
        hour_commitment=Decimal("0.12"),
    ),
    monthly_lines=(
        InvoiceLine("Fee", "AWSSupportBusiness", "AWS Support (Business)", Decimal("100.00")),
        InvoiceLine("Tax", "AmazonEC2", "Tax for product code AmazonEC2", Decimal("80.00")),
        InvoiceLine("Credit", "AmazonEC2", "Migration credit", Decimal("-10.00")),
        InvoiceLine("Refund", "AmazonS3", "Refund of requests billed twice", Decimal("-4.50")),
    ),
    restatement=Restatement(
        resource_id=DATABASE_ARN,
        wrong_price=Decimal("0.536"),
        late_credit=InvoiceLine("Credit", "AmazonRDS", "Credit for the wrong price", Decimal("-5.00")),
    ),
    edp_rate=Decimal("0.05"),
    management_hour_price=Decimal("0.10"),
    volume_gib_hour_price=Decimal("0.0001"),
    ram_gib_hour_price=Decimal("0.004"),
    estimated_volume_gib_hour_price=Decimal("0.00011"),
    estimated_load_balancer_hour_price=Decimal("0.025"),
)

PROJECT_ID, SUBSCRIPTION_ID = "lantern-books-ml", "1a27e500-0000-4000-8000-000000000001"
N2_STANDARD_4 = InstanceType("n2-standard-4", 4, 16, Decimal("0.1942"))
D4S_V5 = InstanceType("Standard_D4s_v5", 4, 16, Decimal("0.192"))
AKS_GROUP = f"/subscriptions/{SUBSCRIPTION_ID}/resourceGroups/MC_shop_prod-aks-1_westeurope/providers/Microsoft.Compute"
GKE_VOLUME, AKS_VOLUME = (f"pvc-{uid}-0000-4000-8000-000000000000" for uid in ("0de15000", "1ed6e000"))
SCALE_SET = "aks-pool1-12345678-vmss"


def _gke_node(suffix: str, *, purchase: Purchase, hour_cost: str) -> Node:
    name = f"gke-prod-gke-1-pool-1-0a1b2c3d-{suffix}"
    return Node(name, name, N2_STANDARD_4, purchase, Decimal(hour_cost), "us-central1-a")


def _aks_node(instance: int, *, purchase: Purchase, hour_cost: str) -> Node:
    machine = f"azure://{AKS_GROUP}/virtualMachineScaleSets/{SCALE_SET}/virtualMachines/{instance}"
    return Node(f"{SCALE_SET}00000{instance}", machine, D4S_V5, purchase, Decimal(hour_cost), "1")


GKE = Cluster(
    name="prod-gke-1",
    env="prod",
    nodes=(
        _gke_node("x1aa", purchase=Purchase.ON_DEMAND, hour_cost="0.1942"),
        # Under a committed use discount: what it costs is its share of the commitment's fee.
        _gke_node("x2bb", purchase=Purchase.RESERVED, hour_cost="0.12"),
    ),
    volumes=(Volume(GKE_VOLUME, GKE_VOLUME, 100, "training", "models"),),
    workloads=(
        Workload("training", "recommender-train", "deployment", "discovery", (0, 1), _run("train", "2", "8")),
        Workload("training", "models", "statefulset", "discovery", (0,), _run("store", "0.5", "2")),
    ),
    provider="gcp",
    account=PROJECT_ID,
)

AKS = Cluster(
    name="prod-aks-1",
    env="prod",
    nodes=(
        _aks_node(0, purchase=Purchase.ON_DEMAND, hour_cost="0.192"),
        _aks_node(1, purchase=Purchase.RESERVED, hour_cost="0.115"),
    ),
    volumes=(Volume(f"{AKS_GROUP}/disks/{AKS_VOLUME}", AKS_VOLUME, 50, "ledger", "journal"),),
    workloads=(
        Workload("ledger", "ledger-api", "deployment", "finance", (0, 1), _run("api", "1", "4")),
        Workload("ledger", "journal", "statefulset", "finance", (1,), _run("postgres", "0.5", "2")),
    ),
    provider="azure",
    account=SUBSCRIPTION_ID,
)

CLUSTERS = (*COMPANY.clusters, GKE, AKS)
"""On every cloud. AWS's are the company's own."""
