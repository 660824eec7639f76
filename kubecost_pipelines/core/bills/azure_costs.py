"""Azure's "Cost and usage details", actual and amortized, as rows of `cloud_billing`.

Every agreement (pay as you go, Enterprise, Microsoft Customer Agreement) and every language has its own header:
names are compared in lower case, and of a localised `Dienst (ConsumedService)` the part in parentheses counts.
Sources of the rules: Microsoft's field lists of both exports, FOCUS 1.2 for each cost, OpenCost for the order in
which names are tried, the provider ids and the categories.
"""

from collections.abc import Mapping, Sequence

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.bills.source import (
    Source,
    SourceColumns,
    UnknownBillError,
    as_cloud_billing,
    billing_period,
    join_same,
    within_month,
)
from kubecost_pipelines.core.bills.tags import as_json, read_object
from kubecost_pipelines.core.label_mapping import ATTRIBUTION_TAGS
from kubecost_pipelines.core.tables import COST, label_column
from kubecost_pipelines.core.window import Window

KEYS: dict[str, Source] = {
    "billing_account_id": Source(("billingaccountid", "billingaccountname")),
    "sub_account_id": Source(("subscriptionid", "subscriptionguid"), is_required=True),
    "invoice_id": Source(("invoiceid",)),
    "invoice_issuer_name": Source(("invoiceissuername",)),
    "billing_currency": Source(("billingcurrency", "billingcurrencycode", "currency")),
    "charge_type": Source(("chargetype",)),
    "service_name": Source(("metercategory",), is_required=True),
    "sku_meter": Source(("metername",)),
    "region_id": Source(("resourcelocation", "meterregion", "location")),
    "availability_zone": Source(("availabilityzone",)),
    "resource_id": Source(("instanceid", "instancename", "resourceid"), is_required=True),
    "pricing_model": Source(("pricingmodel",)),
    "commitment_discount_id": Source(("benefitid", "reservationid")),
    "tag_text": Source(("tags",), is_required=True),
}
"""What a daily row is grouped by."""

RESOURCE_KEYS = ("service_name", "resource_id", "vm_name", "ip_address", "tag_text")
"""What tells the id, the category, the cluster and the tags of a row."""

USAGE_DATE = Source(("usagedatetime", "date"), is_required=True)
PERIOD_START = Source(("billingperiodstartdate",))
ADDITIONAL_INFO = Source(("additionalinfo",), is_required=True)
COST_SOURCE = Source(("costinbillingcurrency", "pretaxcost", "cost"), COST, is_required=True)
LIST_SOURCE = Source(("paygcostinbillingcurrency",), COST)
QUANTITY = Source(("quantity", "usagequantity"), "float64")
SOURCES = (*KEYS.values(), USAGE_DATE, PERIOD_START, ADDITIONAL_INFO, COST_SOURCE, LIST_SOURCE, QUANTITY)

CHARGE_CATEGORIES = {
    "Usage": "Usage",
    "UnusedReservation": "Usage",
    "UnusedSavingsPlan": "Usage",
    "Purchase": "Purchase",
    "Refund": "Purchase",
    "Tax": "Tax",
    "Adjustment": "Adjustment",
    "RoundingAdjustment": "Adjustment",
}
"""`ChargeType` -> FOCUS ChargeCategory. A refund is a Correction. Pay as you go has usage only, and no such column."""

COMMITMENTS = {"Reservation": "Usage", "SavingsPlan": "Spend"}
"""`PricingModel` of what a commitment pays for -> FOCUS CommitmentDiscountCategory."""

CATEGORIES = {
    "Virtual Machines": "Compute",
    "Virtual Machines Licenses": "Compute",
    "Storage": "Storage",
    "Load Balancer": "Network",
    "Bandwidth": "Network",
    "Virtual Network": "Network",
    "Azure Kubernetes Service": "Management",
}
"""`MeterCategory` -> our category; others are Other. OpenCost's, and the fee of AKS as the other clouds' fees."""

CLUSTER_TAGS = ("aks-managed-cluster-name", "k8s-azure-cluster-name")
SERVICE_TAG = "k8s-azure-service"
VOLUME_TAG = "kubernetes.io-created-for-pv-name"
SCALE_SET_TAGS = {"creationSource": "aks-", "aks-managed-creationSource": "vmssclient-"}
"""Tags that name the scale set behind a shared disk or its traffic, and what they write before its name."""

KUBERNETES_TAGS = (*CLUSTER_TAGS, SERVICE_TAG, VOLUME_TAG, *SCALE_SET_TAGS)
KUBERNETES_PREFIXES = ("aks-managed-", "kubernetes.io-created-", "k8s-azure-created-")
UNNAMED_CLUSTER = "kubernetes"
"""What the tag says where nobody named the cluster."""


def canonical_name(header: str) -> str:
    """Return the name of a column as `KEYS` has it: `Dienst (ConsumedService)` is `consumedservice`."""
    name = header.strip().lstrip("\ufeff").lower()
    return name.rpartition("(")[2].rstrip(")").strip() if name.endswith(")") else name


def normalise(export: ir.Table, window: Window, label_keys: Sequence[str]) -> ir.Table:
    """Return the rows of `cloud_billing` for the days of `window`, with `date` and a column per label key.

    What a reservation or a savings plan pays for is not billed again: such usage costs what the amortized export
    says and is billed at nothing; the purchase is billed and costs nothing by itself. The actual export leaves the
    cost of that usage empty, which counts in `missing_cost_lines`.

    Args:
        export: rows of ONE export, actual or amortized: CSV as text, or Parquet. Those of other months are left out.
        window: days of one month.
        label_keys: tag keys to keep.

    Raises:
        UnknownBillError: a column that nothing can stand in for is missing.
    """
    names = SourceColumns(export, canonical_name)
    if missing := names.missing(SOURCES):
        raise UnknownBillError(
            f'not an export of "Cost and usage details": it lacks {", ".join(missing)}. Create one in Cost Management '
            "(amortized, daily, month to date), and let `export` name its folder."
        )
    return _name_as_focus(_sum_to_days(_read_rows(names, export, window), label_keys), window, label_keys)


def source_columns(export: ir.Table) -> list[str]:
    """Return the columns of the export that `normalise` reads."""
    names = SourceColumns(export, canonical_name)
    return [found for source in SOURCES if (found := names.find(source))]


def _read_rows(names: SourceColumns, export: ir.Table, window: Window) -> ir.Table:
    info = _braced(names.text(ADDITIONAL_INFO)).try_cast("json")
    cost, listed = names.number(COST_SOURCE), names.number(LIST_SOURCE)
    # A row without a day fails the cast, by these words: it must not fall out of every day unseen.
    rows = export.select(
        charge_period_start=_day(names.text(USAGE_DATE).fill_null("no date"), window),
        period_start=_day(names.text(PERIOD_START), window),
        **{ours: names.text(source) for ours, source in KEYS.items()},
        vm_name=ibis.coalesce(info["VMName"].str, info["VmName"].str),
        ip_address=ibis.coalesce(info["IpAddress"].str, info["IPAddress"].str),
        cost=cost.fill_null(0),
        list=ibis.coalesce(listed.nullif(0), cost, 0),
        usage=names.number(QUANTITY),
        cost_missing=cost.isnull().cast("int64"),
    )
    return within_month(rows, window)


def _day(text: ir.StringValue, window: Window) -> ir.DateValue:
    """Read `2026-10-05…`, and of `10/05/2026` and `05/10/2026` the one that lies in the window's month."""
    month = window.start.month
    parts = text.split(" ")[0].split("/")
    one, two, year = (parts[position] for position in range(3))
    is_day_first = (two.try_cast("int64") == month) & (one.try_cast("int64") != month)
    slashed = year + "-" + ibis.ifelse(is_day_first, two, one).lpad(2, "0")
    slashed = slashed + "-" + ibis.ifelse(is_day_first, one, two).lpad(2, "0")
    return ibis.ifelse(text.contains("/"), slashed, text.substr(0, 10)).cast("date")


def _braced(text: ir.StringValue) -> ir.StringValue:
    """Return an object with its braces, which Enterprise exports leave out."""
    return ibis.ifelse(text.strip().startswith("{"), text, "{" + text + "}")


def _sum_to_days(rows: ir.Table, label_keys: Sequence[str]) -> ir.Table:
    """Sum to days and resources, and add what `_describe` tells of each resource."""
    keys = ["date", "charge_period_start", *KEYS, "vm_name", "ip_address"]
    sums = {name: rows[name].sum() for name in rows.columns if name not in keys}
    daily = rows.group_by(keys).aggregate(line_items=rows.count(), **sums)
    # Once per resource, not on each of its days: patterns and JSON are most of the work.
    told = _describe(daily.select(*RESOURCE_KEYS).distinct(), label_keys)
    return join_same(daily, told, RESOURCE_KEYS)


def _describe(resources: ir.Table, label_keys: Sequence[str]) -> ir.Table:
    """Add the tags as `_tag_columns` names them, and what follows from a resource's id and tags."""
    resources = resources.mutate(tag_map=read_object(_braced(resources.tag_text)))
    columns = _tag_columns(label_keys)
    resources = resources.mutate(**{name: resources.tag_map.get(key).nullif("") for key, name in columns.items()}).drop(
        "tag_map"
    )
    tags = {key: resources[column] for key, column in columns.items()}
    cluster = cluster_of(resources, tags)
    return resources.mutate(
        provider_id=provider_id(resources, tags),
        category=category(resources),
        is_kubernetes=cluster.notnull() | has_kubernetes_tag(resources.tag_text),
        cluster=cluster,
        kubernetes_service=tags[SERVICE_TAG],
        persistent_volume=ibis.coalesce(
            tags[VOLUME_TAG], resources.resource_id.lower().re_extract(r"/disks/(pvc-[^/]+)$", 1).nullif("")
        ),
        tags=as_json(resources, columns),
    )


def _tag_columns(label_keys: Sequence[str]) -> dict[str, str]:
    keys = dict.fromkeys((*label_keys, *KUBERNETES_TAGS, *ATTRIBUTION_TAGS))
    return {key: f"tag_{position}" for position, key in enumerate(keys)}


def _name_as_focus(daily: ir.Table, window: Window, label_keys: Sequence[str]) -> ir.Table:
    charge_type = daily.charge_type.fill_null("Usage")
    is_commitment = daily.pricing_model.isin([*COMMITMENTS]).fill_null(False)
    is_fee = is_commitment & charge_type.isin(["Purchase", "Refund"])
    is_covered = is_commitment & ~is_fee
    is_unused = charge_type.startswith("Unused")
    effective = ibis.ifelse(is_fee, 0, daily.cost)
    billed = ibis.ifelse(is_covered, 0, daily.cost)
    not_told = is_covered & (daily.cost == 0) & (daily.usage != 0)
    by_model = [(daily.pricing_model == name, category) for name, category in COMMITMENTS.items()]
    by_type = [(charge_type == name, category) for name, category in CHARGE_CATEGORIES.items()]
    named: dict[str, ir.Value] = {
        "provider_name": ibis.literal("Microsoft"),
        "invoice_issuer_name": daily.invoice_issuer_name.fill_null("Microsoft"),
        "billing_account_id": daily.billing_account_id.fill_null(daily.sub_account_id),
        "billing_period_start": ibis.date(billing_period(window)[0]),
        "charge_type": charge_type,
        "charge_category": ibis.cases(*by_type, else_="Adjustment"),
        "charge_class": ibis.cases((charge_type == "Refund", "Correction")),
        "pricing_category": ibis.cases(
            (is_covered, "Committed"), (daily.pricing_model == "Spot", "Dynamic"), (charge_type == "Usage", "Standard")
        ),
        "commitment_discount_category": ibis.cases(*by_model),
        "commitment_discount_status": ibis.cases((is_unused, "Unused"), (is_covered, "Used")),
        "usage_quantity": daily.usage,
        "list_cost": daily.list,
        "contracted_cost": ibis.ifelse(is_covered, daily.list, daily.cost),
        "billed_cost": billed,
        "effective_cost": effective,
        "amortized_cost": effective,
        "net_cost": billed,
        "invoiced_cost": billed,
        "missing_cost_lines": daily.cost_missing + not_told.cast("int64") * daily.line_items,
    }
    tags = _tag_columns(label_keys)
    return as_cloud_billing(daily, named, {label_column(key): daily[tags[key]] for key in label_keys})


def category(daily: ir.Table) -> ir.StringValue:
    """Return Compute, Storage, Network, Management or Other."""
    return ibis.cases(*((daily.service_name == name, ours) for name, ours in CATEGORIES.items()), else_="Other")


def cluster_of(daily: ir.Table, tags: Mapping[str, ir.StringValue]) -> ir.StringValue:
    """Return the cluster that tags name, the resource is, or the group `MC_<group>_<cluster>_<region>` belongs to."""
    resource = daily.resource_id.lower()
    return ibis.coalesce(
        tags[CLUSTER_TAGS[0]],
        resource.re_extract(r"/managedclusters/([^/]+)", 1).nullif(""),
        resource.re_extract(r"/resourcegroups/mc_[^/]*_([^/_]+)_[^/_]+/", 1).nullif(""),
        tags[CLUSTER_TAGS[1]].nullif(UNNAMED_CLUSTER),
    )


def has_kubernetes_tag(text: ir.StringValue) -> ir.BooleanValue:
    """Return whether a JSON object of tags has one that AKS or its volumes put there."""
    prefixes = "|".join(prefix.replace(".", r"\.") for prefix in KUBERNETES_PREFIXES)
    return text.re_search(f'"({prefixes})').fill_null(False)


def provider_id(daily: ir.Table, tags: Mapping[str, ir.StringValue]) -> ir.StringValue:
    """Return the id as Kubernetes has it, in lower case.

    The instance of a scale set, which the bill tells beside the id; the address of a public IP; the scale set's name
    for disks and traffic that its instances share; else the resource itself.
    """
    resource = daily.resource_id.lower()
    # `aks-pool-1234-vmss_7` is the scale set and its instance; a pool's own name may have a `_` as well.
    instance = daily.vm_name.re_extract(r"_([^_]+)$", 1).nullif("").lower()
    is_instance = resource.contains("/virtualmachinescalesets/") & instance.notnull()
    is_shared = (daily.service_name == "Bandwidth") | (category(daily) == "Storage")
    named = (tags[key].lower().re_replace(f"^{prefix}", "") for key, prefix in SCALE_SET_TAGS.items())
    scale_set = ibis.coalesce(*named)
    return ibis.cases(
        (is_instance, resource + "/virtualmachines/" + instance),
        ((daily.service_name == "Virtual Network") & daily.ip_address.notnull(), daily.ip_address),
        (is_shared & scale_set.notnull(), scale_set),
        else_=resource,
    )
