"""Tables: every table of the lake, column by column.

One place that the writers, the UI's column schemas, `docs/tables.md` and the tests all read.
Types are written as Ibis writes them. `date` is the partition, in the path and not in the file.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

COST = "decimal(38, 12)"
"""Cost on a bill: exact, so that conservation can be asserted without a tolerance."""

ESTIMATE = "float64"
"""Cost that a cluster estimates, and everything derived from one."""

LABELS = "map<string, string>"


@dataclass(frozen=True)
class Column:
    """One column: its name, Ibis type, meaning, unit, and the columns it is made from.

    `sources` are written `table.column`, where `bill` and `cluster` stand for what lies upstream of us.
    """

    name: str
    type: str
    description: str
    unit: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table of the lake: what a row is, how it is keyed, and its columns in order."""

    name: str
    description: str
    grain: str
    key: str
    columns: tuple[Column, ...] = field(repr=False)
    has_label_columns: bool = False
    """Whether a column `label_<key>` follows for each of the configured label keys."""

    def schema(self) -> "ibis.Schema":
        """Return the schema of the files (the partition column `date` is not in them)."""
        import ibis  # noqa: PLC0415 - takes a second, and the arrow_schema does without

        return ibis.schema({column.name: column.type for column in self.columns})

    def arrow_schema(self) -> "pa.Schema":
        """Return the same in Arrow's types."""
        import pyarrow as pa  # noqa: PLC0415 - a server that only knows the names of tables does without

        from kubecost_pipelines.core.arrow_types import arrow_type  # noqa: PLC0415 - as above

        return pa.schema([(column.name, arrow_type(column.type)) for column in self.columns])

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]


def label_column(key: str) -> str:
    """Return the column that holds the label `key`, flattened: `label_team`."""
    return "label_" + "".join(letter if letter.isalnum() else "_" for letter in key.lower())


def _from(table: str, columns: Iterable[Column], *names: str) -> tuple[Column, ...]:
    """Return the named columns as they arrive unchanged from `table`."""
    by_name = {column.name: column for column in columns}
    wanted = names or tuple(by_name)
    return tuple(
        Column(c.name, c.type, c.description, c.unit, (f"{table}.{c.name}",)) for c in (by_name[n] for n in wanted)
    )


BILL_COSTS = (
    Column("list_cost", COST, "FOCUS ListCost: at public on-demand prices", "currency", ("bill",)),
    Column(
        "contracted_cost", COST, "FOCUS ContractedCost: at negotiated prices, before commitments", "currency", ("bill",)
    ),
    Column("billed_cost", COST, "FOCUS BilledCost: the basis of the invoice", "currency", ("bill",)),
    Column(
        "effective_cost",
        COST,
        "FOCUS EffectiveCost: after discounts, commitments spread over their use",
        "currency",
        ("bill",),
    ),
    Column(
        "amortized_cost", COST, "OpenCost amortized: commitments spread, before net discounts", "currency", ("bill",)
    ),
    Column("net_cost", COST, "OpenCost net: after net discounts, commitments not spread", "currency", ("bill",)),
    Column(
        "invoiced_cost", COST, "The provider's own cost column, summed and otherwise untouched", "currency", ("bill",)
    ),
)
COST_NAMES = tuple(column.name for column in BILL_COSTS)

CONNECTION_STATUS = Table(
    name="connection_status",
    description="The Cloud Connection Status of a bill: whether it can be reached and has data.",
    grain="ProviderKey × day of the check (the day's last one)",
    key="provider/account id",
    columns=(
        Column("provider_key", "string", "`provider/account id`"),
        Column(
            "status",
            "string",
            "One of Kubecost's six: INITIAL_STATUS, MISSING_CONFIGURATION, INCOMPLETE_CONFIGURATION, "
            "FAILED_CONNECTION, MISSING_DATA, SUCCESSFUL_CONNECTION",
        ),
        Column("since", "timestamp('UTC', 6)", "When the bill came into this status", "UTC"),
        Column("checked_at", "timestamp('UTC', 6)", "When it was last checked", "UTC"),
        Column("detail", "string", "What was found, in the provider's own words"),
        Column("cure", "string", "What to do; empty when nothing is wrong"),
    ),
)

CLOUD_BILLING = Table(
    name="cloud_billing",
    description="The bill of the day, FOCUS-named, at resource level, with every charge category.",
    grain="ProviderKey × day × account × service × meter × resource × charge type × commitment × labels",
    key="provider/account id",
    has_label_columns=True,
    columns=(
        Column("provider_name", "string", "FOCUS ProviderName", sources=("bill",)),
        Column("billing_account_id", "string", "FOCUS BillingAccountId: who pays", sources=("bill",)),
        Column("sub_account_id", "string", "FOCUS SubAccountId: who used it", sources=("bill",)),
        Column("invoice_id", "string", "FOCUS InvoiceId; null until the month is final", sources=("bill",)),
        Column("invoice_issuer_name", "string", "FOCUS InvoiceIssuerName", sources=("bill",)),
        Column("billing_currency", "string", "FOCUS BillingCurrency", sources=("bill",)),
        Column(
            "billing_period_start",
            "date",
            "FOCUS BillingPeriodStart: first day of the invoice's month",
            sources=("bill",),
        ),
        Column(
            "charge_period_start",
            "date",
            "FOCUS ChargePeriodStart: the day of the charge; differs from `date` only "
            "where a charge lies outside its billing period",
            sources=("bill",),
        ),
        Column(
            "charge_category",
            "string",
            "FOCUS ChargeCategory: Usage, Purchase, Tax, Credit or Adjustment",
            sources=("bill",),
        ),
        Column("charge_class", "string", "FOCUS ChargeClass: Correction, or null", sources=("bill",)),
        Column(
            "charge_type",
            "string",
            "The provider's own word for the charge, such as SavingsPlanNegation",
            sources=("bill",),
        ),
        Column("service_name", "string", "FOCUS ServiceName", sources=("bill",)),
        Column(
            "sku_meter", "string", "FOCUS SkuMeter: what is metered, such as USE1-BoxUsage:m5.large", sources=("bill",)
        ),
        Column("region_id", "string", "FOCUS RegionId", sources=("bill",)),
        Column("availability_zone", "string", "FOCUS AvailabilityZone", sources=("bill",)),
        Column("resource_id", "string", "FOCUS ResourceId, as billed", sources=("bill",)),
        Column(
            "pricing_category",
            "string",
            "FOCUS PricingCategory: Standard, Committed, Dynamic or null",
            sources=("bill",),
        ),
        Column("commitment_discount_id", "string", "FOCUS CommitmentDiscountId", sources=("bill",)),
        Column(
            "commitment_discount_category",
            "string",
            "FOCUS CommitmentDiscountCategory: Usage (reservation) or Spend (Savings Plan)",
            sources=("bill",),
        ),
        Column(
            "commitment_discount_status",
            "string",
            "FOCUS CommitmentDiscountStatus: Used, Unused or null",
            sources=("bill",),
        ),
        Column("usage_quantity", "float64", "FOCUS ConsumedQuantity", "pricing units", ("bill",)),
        *BILL_COSTS,
        Column(
            "provider_id",
            "string",
            "Normalised id of the resource, as Kubernetes shows it; null without a resource",
            sources=("bill",),
        ),
        Column("category", "string", "Compute, Storage, Network, Management or Other", sources=("bill",)),
        Column(
            "is_kubernetes", "boolean", "Whether tags or ids say that a Kubernetes cluster caused it", sources=("bill",)
        ),
        Column("cluster", "string", "The cluster that tags or ids name, as the bill writes it", sources=("bill",)),
        Column(
            "kubernetes_service",
            "string",
            "The service that the tag `kubernetes.io/service-name` names",
            sources=("bill",),
        ),
        Column(
            "persistent_volume",
            "string",
            "The volume that the tag `kubernetes.io/created-for/pv/name` names",
            sources=("bill",),
        ),
        Column(
            "tags",
            "string",
            "FOCUS Tags: a JSON object of the configured label keys and the Kubernetes keys found on the charge",
            sources=("bill",),
        ),
        Column("line_items", "int64", "Lines of the bill behind the row", "lines", ("bill",)),
        Column(
            "missing_cost_lines",
            "int64",
            "Lines whose effective (or only) cost the bill leaves empty; they count as 0 "
            "here and fail the check `commitments_are_complete`",
            "lines",
            ("bill",),
        ),
    ),
)

RESTATEMENTS = Table(
    name="restatements",
    description="What a day of the bill was before it was replaced by other content. Σ of the differences of a day is "
    "what its bill is now less what it first was; a day that was never restated has no file.",
    grain="ProviderKey × day × revision × service × category, where the cost changed",
    key="provider/account id",
    columns=(
        Column("restatement_id", "string", "`provider/account id/day/revision`: the same when a run is tried again"),
        Column("provider_key", "string", "`provider/account id`"),
        Column("revision", "int64", "1 for the first restatement of that day, then 2, …"),
        Column("seen_at", "timestamp('UTC', 6)", "When the run saw the other content", "UTC"),
        Column("service_name", "string", "FOCUS ServiceName", sources=("cloud_billing.service_name",)),
        Column(
            "category",
            "string",
            "Class of the resource: Compute, Storage, Network, Management or Other",
            sources=("cloud_billing.category",),
        ),
        *(
            Column(f"{cost}_{when}", COST, f"Σ {cost} {words}", "currency", (f"cloud_billing.{cost}",))
            for cost in ("billed_cost", "effective_cost")
            for when, words in (
                ("before", "as the day was"),
                ("after", "as the day became"),
                ("difference", "after − before"),
            )
        ),
        Column("content_before", "string", "Digest of the day as it was"),
        Column("content_after", "string", "Digest of the day as it became"),
    ),
)

IN_CLUSTER_ASSETS = Table(
    name="in_cluster_assets",
    description="Nodes, disks, load balancers and the management fee as the cluster estimates them.",
    grain="cluster × day × asset",
    key="cluster",
    columns=(
        Column("cluster", "string", "Name of the cluster in our settings", sources=("cluster",)),
        Column("asset_id", "string", "cluster/type/provider_id/name: unique within a day", sources=("cluster",)),
        Column("asset_type", "string", "Node, Disk, LoadBalancer or ClusterManagement", sources=("cluster",)),
        Column("category", "string", "Compute, Storage, Network or Management", sources=("cluster",)),
        Column("name", "string", "Name in Kubernetes", sources=("cluster",)),
        Column(
            "provider_id", "string", "Normalised id in the cloud; null where Kubernetes has none", sources=("cluster",)
        ),
        Column("provider", "string", "aws, gcp, azure or null", sources=("cluster",)),
        Column(
            "account",
            "string",
            "AWS account, GCP project or Azure subscription the cluster runs in",
            sources=("cluster",),
        ),
        Column("labels", LABELS, "Labels of the asset", sources=("cluster",)),
        Column("start", "timestamp('UTC', 6)", "First seen within the day", "UTC", ("cluster",)),
        Column("end", "timestamp('UTC', 6)", "Last seen within the day", "UTC", ("cluster",)),
        Column("minutes", "float64", "Time it existed within the day", "minutes", ("cluster",)),
        Column("node_type", "string", "Instance type of a node", sources=("cluster",)),
        Column("is_spot", "boolean", "Whether a node is a spot or preemptible one", sources=("cluster",)),
        Column("cpu_core_hours", "float64", "Capacity of a node", "core-hours", ("cluster",)),
        Column("ram_byte_hours", "float64", "Capacity of a node", "byte-hours", ("cluster",)),
        Column("gpu_hours", "float64", "Capacity of a node", "GPU-hours", ("cluster",)),
        Column("cpu_cost", ESTIMATE, "CPU at list price, before the node's discount", "currency", ("cluster",)),
        Column("ram_cost", ESTIMATE, "RAM at list price, before the node's discount", "currency", ("cluster",)),
        Column("gpu_cost", ESTIMATE, "GPU at list price; no discount applies", "currency", ("cluster",)),
        Column("discount", "float64", "Estimated discount on CPU and RAM, 0 to 1", "ratio", ("cluster",)),
        Column("bytes", "float64", "Size of a disk", "bytes", ("cluster",)),
        Column("byte_hours", "float64", "Capacity of a disk over the day", "byte-hours", ("cluster",)),
        Column("storage_class", "string", "Storage class of a disk", sources=("cluster",)),
        Column("volume_name", "string", "Persistent volume of a disk", sources=("cluster",)),
        Column("claim_name", "string", "Persistent volume claim of a disk", sources=("cluster",)),
        Column("claim_namespace", "string", "Namespace of that claim", sources=("cluster",)),
        Column("currency", "string", "Currency of the cluster's prices", sources=("cluster",)),
        Column(
            "cost",
            ESTIMATE,
            "Unadjusted estimate: (cpu + ram) × (1 − discount) + gpu for a node",
            "currency",
            ("cluster",),
        ),
    ),
)

ALLOCATIONS = Table(
    name="allocations",
    description="Workload costs at container level, as the cluster estimates them; idle split by node.",
    grain="cluster × day × container (and one idle row per node)",
    key="cluster",
    columns=(
        Column("cluster", "string", "Name of the cluster in our settings", sources=("cluster",)),
        Column("name", "string", "cluster/node/namespace/pod/container, as the cluster names it", sources=("cluster",)),
        *(
            Column(name, "string", f"`properties.{source}`", sources=("cluster",))
            for name, source in (
                ("node", "node"),
                ("namespace", "namespace"),
                ("pod", "pod"),
                ("container", "container"),
                ("controller", "controller"),
                ("controller_kind", "controllerKind"),
                ("provider_id", "providerID"),
            )
        ),
        Column("services", "array<string>", "Kubernetes services of the pod", sources=("cluster",)),
        Column(
            "labels",
            LABELS,
            "Labels of the pod and, where it has none of that key, of its namespace",
            sources=("cluster",),
        ),
        Column("annotations", LABELS, "Annotations, likewise", sources=("cluster",)),
        Column("namespace_labels", LABELS, "Labels of the namespace alone", sources=("cluster",)),
        Column("namespace_annotations", LABELS, "Annotations of the namespace alone", sources=("cluster",)),
        Column("start", "timestamp('UTC', 6)", "First seen within the day", "UTC", ("cluster",)),
        Column("end", "timestamp('UTC', 6)", "Last seen within the day", "UTC", ("cluster",)),
        *(
            Column(name, "float64", text, unit, ("cluster",))
            for name, text, unit in (
                ("minutes", "Time it ran within the day", "minutes"),
                ("cpu_cores", "Allocated: the greater of request and usage", "cores"),
                ("cpu_core_request_average", "Requested", "cores"),
                ("cpu_core_usage_average", "Used", "cores"),
                ("cpu_core_usage_max", "Used at most; null when unknown", "cores"),
                ("cpu_core_hours", "Allocated over the day", "core-hours"),
                ("cpu_cost", "CPU", "currency"),
                ("cpu_efficiency", "Used ÷ requested; null when unknown", "ratio"),
                ("gpu_count", "GPUs", "GPUs"),
                ("gpu_hours", "GPUs over the day", "GPU-hours"),
                ("gpu_cost", "GPU", "currency"),
                ("gpu_request_average", "Requested; null when unknown", "GPUs"),
                ("gpu_usage_average", "Used; null when unknown", "GPUs"),
                ("gpu_efficiency", "Used ÷ requested; null when unknown", "ratio"),
                ("ram_bytes", "Allocated: the greater of request and usage", "bytes"),
                ("ram_byte_request_average", "Requested", "bytes"),
                ("ram_byte_usage_average", "Used", "bytes"),
                ("ram_byte_usage_max", "Used at most; null when unknown", "bytes"),
                ("ram_byte_hours", "Allocated over the day", "byte-hours"),
                ("ram_cost", "RAM", "currency"),
                ("ram_efficiency", "Used ÷ requested; null when unknown", "ratio"),
                ("network_transfer_bytes", "Sent", "bytes"),
                ("network_receive_bytes", "Received", "bytes"),
                ("network_cost", "Network, the next three included", "currency"),
                ("network_cross_zone_cost", "Between zones", "currency"),
                ("network_cross_region_cost", "Between regions", "currency"),
                ("network_internet_cost", "To the internet", "currency"),
                ("load_balancer_cost", "Load balancers", "currency"),
                ("pv_bytes", "Volumes", "bytes"),
                ("pv_byte_hours", "Volumes over the day", "byte-hours"),
                ("pv_cost", "Volumes", "currency"),
                ("shared_cost", "Shared cost the cluster itself added", "currency"),
                ("external_cost", "External cost the cluster itself added", "currency"),
                ("total_efficiency", "Cost-weighted CPU and RAM efficiency", "ratio"),
                (
                    "reported_adjustment",
                    "Σ of the adjustments the cluster itself made; not part of `total_cost`",
                    "currency",
                ),
                *(
                    (f"reported_{name}_adjustment", f"{text}: the adjustment the cluster itself made", "currency")
                    for name, text in (
                        ("cpu", "CPU"),
                        ("gpu", "GPU"),
                        ("ram", "RAM"),
                        ("network", "Network"),
                        ("load_balancer", "Load balancers"),
                        ("pv", "Volumes"),
                    )
                ),
                *(
                    (f"reported_{name}_idle_cost", f"{name.upper()}: idle cost the cluster laid on it", "currency")
                    for name in ("cpu", "gpu", "ram")
                ),
                ("reported_total_cost", "`totalCost` as the cluster gives it, its adjustments included", "currency"),
                (
                    "total_cost",
                    "Unadjusted estimate: CPU, GPU, RAM, network, load balancer, volume, shared and external cost",
                    "currency",
                ),
            )
        ),
        Column(
            "pvs",
            "array<struct<name: string, provider_id: string, byte_hours: float64, cost: float64>>",
            "Volumes mounted, one entry each",
            sources=("cluster",),
        ),
        Column(
            "load_balancers",
            "array<struct<name: string, service: string, ip: string, is_private: boolean, hours: float64, cost: "
            "float64>>",
            "Load balancers used, one entry each",
            sources=("cluster",),
        ),
        Column("currency", "string", "Currency of the cluster's prices", sources=("cluster",)),
        Column(
            "reported_cluster", "string", "The cluster's name for itself: `properties.cluster`", sources=("cluster",)
        ),
    ),
)

ASSET_INVENTORY = Table(
    name="asset_inventory",
    description="The Daily Asset Store before reconciliation: the assets of every cluster in one table.",
    grain="day × asset",
    key="",
    columns=_from("in_cluster_assets", IN_CLUSTER_ASSETS.columns),
)

_ASSET_IDENTITY = (
    "cluster",
    "asset_id",
    "asset_type",
    "category",
    "name",
    "provider_id",
    "provider",
    "account",
    "start",
    "end",
    "minutes",
)
_CLAIMED = (
    Column(
        "billed_cost",
        COST,
        "FOCUS BilledCost of the bill rows that the asset claims; null when it claims none",
        "currency",
        ("cloud_billing.billed_cost",),
    ),
    Column("effective_cost", COST, "FOCUS EffectiveCost of those rows", "currency", ("cloud_billing.effective_cost",)),
    Column("list_cost", COST, "FOCUS ListCost of those rows", "currency", ("cloud_billing.list_cost",)),
    Column(
        "reconciled_cost",
        COST,
        "What the configured `cost_metric` says those rows cost: the target of reconciliation",
        "currency",
        tuple(f"cloud_billing.{name}" for name in COST_NAMES),
    ),
    Column(
        "billing_currency",
        "string",
        "Currency of those rows, or `mixed`; the asset keeps its estimate when it is not its own",
        sources=("cloud_billing.billing_currency",),
    ),
    Column("bill_rows", "int64", "Rows of cloud_billing that the asset claims", "rows", ("cloud_billing",)),
    Column(
        "missing_cost_lines",
        "int64",
        "Bill lines among them whose effective cost is empty: the asset then keeps its estimate",
        "lines",
        ("cloud_billing.missing_cost_lines",),
    ),
    Column(
        "match_rule",
        "string",
        "The rule that matched; null when nothing on the bill did",
        sources=("cloud_billing", "asset_inventory.provider_id"),
    ),
    Column("provider_key", "string", "The bill that claimed it, `provider/account id`", sources=("cloud_billing",)),
)
_ADJUSTED = (
    Column(
        "cost",
        ESTIMATE,
        "Unadjusted estimate; 0 for a Network asset, which only the bill knows",
        "currency",
        ("asset_inventory.cost",),
    ),
    Column(
        "adjustment",
        ESTIMATE,
        "reconciled_cost − cost once the day is settled; until then 0, in asset_costs what the `recent` price adds",
        "currency",
        ("asset_inventory.cost", "cloud_billing.effective_cost"),
    ),
    Column(
        "total_cost",
        ESTIMATE,
        "cost + adjustment",
        "currency",
        ("asset_inventory.cost", "cloud_billing.effective_cost"),
    ),
    Column("is_reconciled", "boolean", "Whether total_cost is what was billed", sources=("cloud_billing",)),
    Column("is_settled", "boolean", "Whether the day was settled when this was computed"),
    Column("currency", "string", "Currency of the costs", sources=("asset_inventory.currency",)),
)

RECONCILED_ASSETS = Table(
    name="reconciled_assets",
    description="The in-cluster assets that this bill claims, at billed cost, and the Network assets it reveals.",
    grain="ProviderKey × day × asset",
    key="provider/account id",
    has_label_columns=True,
    columns=(*_from("asset_inventory", ASSET_INVENTORY.columns, *_ASSET_IDENTITY), *_ADJUSTED, *_CLAIMED),
)

CLOUD_ASSETS = Table(
    name="cloud_assets",
    description="Every charge that no cluster claims: out-of-cluster cost, with its tags.",
    grain="as cloud_billing",
    key="provider/account id",
    has_label_columns=True,
    columns=_from("cloud_billing", CLOUD_BILLING.columns),
)

_COST_BASIS = Column(
    "cost_basis",
    "string",
    "The least certain price behind total_cost: `billed`; `recent`, what a node cost over its last settled days; or "
    "`list`, the cluster's own price list",
    sources=("reconciled_assets.is_reconciled",),
)

ASSET_COSTS = Table(
    name="asset_costs",
    description="The Daily Asset Store: every in-cluster asset once, reconciled or still estimated, and the "
    "Network assets.",
    grain="day × asset",
    key="",
    has_label_columns=True,
    columns=(
        *RECONCILED_ASSETS.columns,
        *_from(
            "asset_inventory",
            ASSET_INVENTORY.columns,
            "labels",
            "node_type",
            "is_spot",
            "cpu_core_hours",
            "ram_byte_hours",
            "gpu_hours",
            "cpu_cost",
            "ram_cost",
            "gpu_cost",
            "discount",
            "bytes",
            "byte_hours",
            "storage_class",
            "volume_name",
            "claim_name",
            "claim_namespace",
        ),
        _COST_BASIS,
    ),
)

ADJUSTED_RESOURCES = ("cpu", "gpu", "ram", "network", "load_balancer", "pv")
"""What of an allocation is an estimate that reconciliation moves: `<x>_cost` and `<x>_cost_adjustment`."""


def _as_reconciled(column: Column) -> tuple[Column, ...]:
    """Return what a column of `allocations` becomes: itself, with its adjustment after a cost that has one."""
    [same] = _from("allocations", [column])
    resource = column.name.removesuffix("_cost")
    if column.name.startswith("reported_"):
        return ()
    if column.name in ("pvs", "load_balancers"):
        text = f"{column.description}; `adjustment` moves `cost` to what was billed"
        return (Column(column.name, column.type.replace(">>", ", adjustment: float64>>"), text, sources=same.sources),)
    if column.name in ("shared_cost", "external_cost", "total_cost", "total_efficiency"):
        text, source = _RECOMPUTED[column.name]
        return (Column(column.name, column.type, text, column.unit, (source,)),)
    if resource not in ADJUSTED_RESOURCES or not column.name.endswith("_cost"):
        return (same,)
    estimate = Column(column.name, column.type, f"{column.description}, unadjusted estimate", column.unit, same.sources)
    text = f"What moves {column.name} to its share of the billed cost"
    sources = (f"allocations.{column.name}", "asset_costs.total_cost")
    return estimate, Column(f"{column.name}_adjustment", ESTIMATE, text, "currency", sources)


_RECOMPUTED = {
    "shared_cost": ("Cost of the cluster as a whole; on `shared` rows only", "asset_costs.total_cost"),
    "external_cost": ("Out-of-cluster cost labelled for the workload; on `external` rows only", "external_costs.cost"),
    "total_cost": ("Σ costs + Σ adjustments + shared + external", "asset_costs.total_cost"),
    "total_efficiency": ("CPU and RAM efficiency, weighted by reconciled cost", "asset_costs.total_cost"),
}

EXTERNAL_COSTS = Table(
    name="external_costs",
    description="Cloud cost whose labels name a cluster's workload: a database, a bucket, a queue of some namespace. "
    "What names nothing that ran that day is listed too, with `is_matched` false.",
    grain="day × cloud asset × cluster whose workload its labels name",
    key="",
    columns=(
        Column("cluster", "string", "Cluster that the labels name or in which the named workload ran; null when none"),
        *(
            Column(name, "string", f"{text} that the labels name; null when none", sources=("cloud_assets.tags",))
            for name, text in (
                ("namespace", "Namespace"),
                ("controller", "Controller"),
                ("controller_kind", "Kind of controller"),
                ("service", "Service"),
                ("pod", "Pod"),
                ("container", "Container"),
            )
        ),
        Column(
            "labels",
            LABELS,
            "Labels of workloads that the charge's own labels name, such as team",
            sources=("cloud_assets.tags",),
        ),
        Column("matched_label", "string", "Keys of the charge's labels that were read", sources=("cloud_assets.tags",)),
        Column("provider_key", "string", "The bill it is on, `provider/account id`"),
        *_from(
            "cloud_assets",
            CLOUD_ASSETS.columns,
            *("sub_account_id", "service_name", "resource_id", "provider_id", "billing_currency"),
            *("billed_cost", "effective_cost"),
        ),
        Column(
            "cost",
            ESTIMATE,
            "What the configured `cost_metric` says the charge costs",
            "currency",
            tuple(f"cloud_assets.{name}" for name in COST_NAMES),
        ),
        Column(
            "is_matched",
            "boolean",
            "Whether anything ran under that name that day",
            sources=("allocations.namespace", "allocations.labels"),
        ),
    ),
)

RECONCILED_ALLOCATIONS = Table(
    name="reconciled_allocations",
    description="Workload costs at billed cost, with what nobody used. Σ total_cost without the `external` rows is "
    "Σ asset_costs of the cluster. Nothing is distributed yet: idle, unmounted, shared and external cost are rows of "
    "their own, whose `namespace` (and `pod`, `container`) is `__idle__`, `__unmounted__`, `__shared__` or "
    "`__external__` where nothing better is known.",
    grain="cluster × day × container; and one row per node's idle, unmounted volume, shared asset and external charge",
    key="cluster",
    columns=(
        *(new for column in ALLOCATIONS.columns for new in _as_reconciled(column)),
        Column("allocation_type", "string", "`workload`, `idle`, `unmounted`, `shared` or `external`"),
        Column(
            "is_reconciled",
            "boolean",
            "Whether every asset behind the row is at its billed cost",
            sources=("asset_costs.is_reconciled",),
        ),
        *_from("asset_costs", ASSET_COSTS.columns, "is_settled", "cost_basis"),
    ),
)

ALLOCATIONS_HOURLY = replace(
    ALLOCATIONS,
    name="allocations_hourly",
    description="Workload costs by the hour, as the cluster estimates them: what `step: 1h` collects beside the day. "
    "`start` says which hour it is; amounts, costs and averages are those of the hour.",
    grain="cluster × hour × container (and one idle row per node)",
)

RECONCILED_ALLOCATIONS_HOURLY = Table(
    name="reconciled_allocations_hourly",
    description="The rows of `reconciled_allocations` by the hour: each spread over the hours of the day by what it "
    "used in them, idle by what they left. Amounts and costs are those of the hour; Σ of a row's hours is its day.",
    grain="hour of the UTC day × row of `reconciled_allocations`",
    key="cluster",
    columns=(
        Column("hour", "int64", "Hour of the UTC day, 0 to 23", sources=("allocations_hourly.start",)),
        *_from(
            "reconciled_allocations",
            RECONCILED_ALLOCATIONS.columns,
            *("cluster", "name", "node", "namespace", "pod", "container", "controller", "controller_kind"),
            *("provider_id", "services", "labels", "minutes", "cpu_core_hours", "ram_byte_hours", "gpu_hours"),
            *("pv_byte_hours", "network_transfer_bytes", "network_receive_bytes"),
            *(f"{name}_{end}" for name in ADJUSTED_RESOURCES for end in ("cost", "cost_adjustment")),
            *("shared_cost", "external_cost", "total_cost", "currency"),
            *("allocation_type", "is_reconciled", "is_settled", "cost_basis"),
        ),
    ),
)

TABLES = (
    CONNECTION_STATUS,
    CLOUD_BILLING,
    RESTATEMENTS,
    IN_CLUSTER_ASSETS,
    ALLOCATIONS,
    ASSET_INVENTORY,
    RECONCILED_ASSETS,
    CLOUD_ASSETS,
    ASSET_COSTS,
    EXTERNAL_COSTS,
    RECONCILED_ALLOCATIONS,
    ALLOCATIONS_HOURLY,
    RECONCILED_ALLOCATIONS_HOURLY,
)
