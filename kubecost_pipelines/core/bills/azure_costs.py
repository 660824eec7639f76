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
    Keep,
    Source,
    SourceColumns,
    UnknownBillError,
    as_cloud_billing,
    billing_period,
    join_same,
    within_month,
)
from kubecost_pipelines.core.bills.star import DATES, TEXTS, Star, StarColumns
from kubecost_pipelines.core.bills.tags import as_json, read_object
from kubecost_pipelines.core.label_mapping import ATTRIBUTION_TAGS
from kubecost_pipelines.core.tables import CLOUD_BILLING, COST, label_column
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

USAGE_DATE = Source(("usagedatetime", "date"), is_required=True)
PERIOD_START = Source(("billingperiodstartdate",))
ADDITIONAL_INFO = Source(("additionalinfo",), is_required=True)
COST_SOURCE = Source(("costinbillingcurrency", "pretaxcost", "cost"), COST, is_required=True)
LIST_SOURCE = Source(("paygcostinbillingcurrency",), COST)
QUANTITY = Source(("quantity", "usagequantity"), "float64")

TEXT_SOURCES = (*KEYS.values(), ADDITIONAL_INFO)
DATE_SOURCES = (USAGE_DATE, PERIOD_START)
FIGURE_SOURCES = (COST_SOURCE, LIST_SOURCE, QUANTITY)
"""How an export is taken apart."""

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


def star_columns(export: Sequence[str]) -> StarColumns:
    """Return those of an export's columns that `normalise` reads, as it is taken apart into them.

    Raises:
        UnknownBillError: a column that nothing can stand in for is missing.
    """
    names = SourceColumns(ibis.table(dict.fromkeys(export, "string")), canonical_name)
    if missing := names.missing((*TEXT_SOURCES, *DATE_SOURCES, *FIGURE_SOURCES)):
        raise UnknownBillError(
            f'not an export of "Cost and usage details": it lacks {", ".join(missing)}. Create one in Cost Management '
            "(amortized, daily, month to date), and let `export` name its folder."
        )
    return StarColumns(names.found(TEXT_SOURCES), names.found(DATE_SOURCES), names.found(FIGURE_SOURCES))


def normalise(export: Star, window: Window, label_keys: Sequence[str], keep: Keep) -> ir.Table:
    """Return the rows of `cloud_billing` for the days of `window`, with `date` and a column per label key.

    What a reservation or a savings plan pays for is not billed again: such usage costs what the amortized export
    says and is billed at nothing; the purchase is billed and costs nothing by itself. The actual export leaves the
    cost of that usage empty, which counts in `missing_cost_lines`.

    Args:
        export: ONE export, actual or amortized, in `star_columns`: text, or of Parquet's types. Lines of other months
            are left out.
        window: days of one month.
        label_keys: tag keys to keep.
        keep: computes what several of the next steps read.
    """
    texts = keep("told", _read_texts(export.texts))
    resources = keep("resources", _describe(texts, window, label_keys), is_repeated=True)
    daily = keep("daily", _sum_to_days(export, texts, window))
    return _name_costs(daily.join(resources, "resource"), label_keys)


def _read_texts(texts: ir.Table) -> ir.Table:
    """Return what `numbers` stand for, each once, under the least of them: `resource`."""
    names = SourceColumns(texts, canonical_name)
    told = texts.select(
        TEXTS, info=names.text(ADDITIONAL_INFO), **{ours: names.text(its) for ours, its in KEYS.items()}
    )
    # Once per text: to read JSON is most of the work.
    info = told.select("info").distinct()
    read = _braced(info["info"]).try_cast("json")
    info = info.mutate(
        vm_name=ibis.coalesce(read["VMName"].str, read["VmName"].str),
        ip_address=ibis.coalesce(read["IpAddress"].str, read["IPAddress"].str),
    )
    told = join_same(told, info, ["info"]).drop("info")
    told_by = [name for name in told.columns if name != TEXTS]
    return told.group_by(told_by).aggregate(resource=told[TEXTS].min(), numbers=told[TEXTS].collect())


def _sum_to_days(export: Star, texts: ir.Table, window: Window) -> ir.Table:
    """Return one row per day and resource, in the order of the days."""
    names = SourceColumns(export.dates, canonical_name)
    # A row without a day fails the cast, by these words: it must not fall out of every day unseen.
    days = export.dates.select(
        DATES,
        charge_period_start=_day(names.text(USAGE_DATE).fill_null("no date"), window),
        period_start=_day(names.text(PERIOD_START), window),
    )
    resources = texts.select("resource", **{TEXTS: texts.numbers.unnest()})
    lines = export.lines.join(resources, TEXTS).join(within_month(days, window), DATES)
    names = SourceColumns(lines, canonical_name)
    cost, listed = names.number(COST_SOURCE), names.number(LIST_SOURCE)
    daily = lines.group_by("date", "charge_period_start", "resource").aggregate(
        cost=cost.fill_null(0).sum(),
        list=ibis.coalesce(listed.nullif(0), cost, 0).sum(),
        usage=names.number(QUANTITY).sum(),
        cost_missing=cost.isnull().cast("int64").sum(),
        line_items=lines.count(),
    )
    return daily.order_by("date")


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


def _describe(texts: ir.Table, window: Window, label_keys: Sequence[str]) -> ir.Table:
    """Return each `resource` once: what its rows of `cloud_billing` say, and whether a commitment covers or is it."""
    columns = _tag_columns(label_keys)
    tags_read = _read_tags(texts.select("tag_text").distinct(), columns)
    rows = join_same(texts.drop("numbers"), tags_read, ["tag_text"])
    tags = {key: rows[column] for key, column in columns.items()}
    cluster = cluster_of(rows, tags)
    charge_type = rows.charge_type.fill_null("Usage")
    is_commitment = rows.pricing_model.isin([*COMMITMENTS]).fill_null(False)
    is_fee = is_commitment & charge_type.isin(["Purchase", "Refund"])
    is_covered = is_commitment & ~is_fee
    by_model = [(rows.pricing_model == name, category) for name, category in COMMITMENTS.items()]
    by_type = [(charge_type == name, category) for name, category in CHARGE_CATEGORIES.items()]
    named: dict[str, ir.Value] = {
        "provider_name": ibis.literal("Microsoft"),
        "invoice_issuer_name": rows.invoice_issuer_name.fill_null("Microsoft"),
        "billing_account_id": rows.billing_account_id.fill_null(rows.sub_account_id),
        "billing_period_start": ibis.date(billing_period(window)[0]),
        "charge_type": charge_type,
        "charge_category": ibis.cases(*by_type, else_="Adjustment"),
        "charge_class": ibis.cases((charge_type == "Refund", "Correction")),
        "pricing_category": ibis.cases(
            (is_covered, "Committed"), (rows.pricing_model == "Spot", "Dynamic"), (charge_type == "Usage", "Standard")
        ),
        "commitment_discount_category": ibis.cases(*by_model),
        "commitment_discount_status": ibis.cases((charge_type.startswith("Unused"), "Unused"), (is_covered, "Used")),
        "provider_id": provider_id(rows, tags),
        "category": category(rows),
        "is_kubernetes": cluster.notnull() | rows.has_kubernetes_tag,
        "cluster": cluster,
        "kubernetes_service": tags[SERVICE_TAG],
        "persistent_volume": ibis.coalesce(
            tags[VOLUME_TAG], rows.resource_id.lower().re_extract(r"/disks/(pvc-[^/]+)$", 1).nullif("")
        ),
    }
    named = {**{name: rows[name] for name in rows.columns}, **named}
    kept = {name: named[name] for name in CLOUD_BILLING.names if name in named}
    labels = {label_column(key): tags[key] for key in label_keys}
    return rows.select("resource", **kept, **labels, is_fee=is_fee, is_covered=is_covered)


def _read_tags(texts: ir.Table, columns: Mapping[str, str]) -> ir.Table:
    """Add what a text of tags says: its value of each key of `columns`, all of them as `tags`, and whose they are."""
    texts = texts.mutate(tag_map=read_object(_braced(texts.tag_text)))
    texts = texts.mutate(**{column: texts.tag_map.get(key).nullif("") for key, column in columns.items()})
    return texts.drop("tag_map").mutate(
        tags=as_json(texts, columns), has_kubernetes_tag=has_kubernetes_tag(texts.tag_text)
    )


def _tag_columns(label_keys: Sequence[str]) -> dict[str, str]:
    keys = dict.fromkeys((*label_keys, *KUBERNETES_TAGS, *ATTRIBUTION_TAGS))
    return {key: f"tag_{position}" for position, key in enumerate(keys)}


def _name_costs(rows: ir.Table, label_keys: Sequence[str]) -> ir.Table:
    effective = ibis.ifelse(rows.is_fee, 0, rows.cost)
    billed = ibis.ifelse(rows.is_covered, 0, rows.cost)
    not_told = rows.is_covered & (rows.cost == 0) & (rows.usage != 0)
    costs: dict[str, ir.Value] = {
        "usage_quantity": rows.usage,
        "list_cost": rows.list,
        "contracted_cost": ibis.ifelse(rows.is_covered, rows.list, rows.cost),
        "billed_cost": billed,
        "effective_cost": effective,
        "amortized_cost": effective,
        "net_cost": billed,
        "invoiced_cost": billed,
        "missing_cost_lines": rows.cost_missing + not_told.cast("int64") * rows.line_items,
    }
    labels = [label_column(key) for key in label_keys]
    return as_cloud_billing(rows, costs, {name: rows[name] for name in labels})


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
