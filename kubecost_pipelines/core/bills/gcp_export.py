"""Google Cloud's detailed billing export, as rows of `cloud_billing`.

The same rows come from BigQuery and from files of any kind: a field such as `resource.name` is a column of that
name in CSV and a member of a struct elsewhere; labels and credits are JSON text, lists or structs. Sources of the
rules: Google's schema of the export, FOCUS 1.2 for each cost, OpenCost for `amortized`, `net` and the categories.
"""

from collections.abc import Mapping, Sequence

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from kubecost_pipelines.core.bills.source import Keep, UnknownBillError, as_cloud_billing, join_same, read_cost
from kubecost_pipelines.core.bills.tags import as_json
from kubecost_pipelines.core.label_mapping import ATTRIBUTION_TAGS
from kubecost_pipelines.core.tables import COST, label_column
from kubecost_pipelines.core.window import Window

KEYS = {
    "billing_account_id": "billing_account_id",
    "sub_account_id": "project.id",
    "billing_currency": "currency",
    "invoice_month": "invoice.month",
    "charge_type": "cost_type",
    "service_name": "service.description",
    "sku_meter": "sku.description",
    "region_id": "location.region",
    "availability_zone": "location.zone",
    "resource_name": "resource.name",
    "global_name": "resource.global_name",
    "labels": "labels",
    "project_labels": "project.labels",
}
"""What a daily row is grouped by: our name -> the export's field."""

LABELS = ("labels", "project_labels")
USAGE_START = "usage_start_time"
REQUIRED = ("billing_account_id", "currency", "service.description", "sku.description", "resource.name", "cost")
OPTIONAL = ("cost_at_list", "usage.amount_in_pricing_units", "credits")
FIELDS = tuple(dict.fromkeys((*KEYS.values(), USAGE_START, *REQUIRED, *OPTIONAL)))

CHARGE_CATEGORIES = {"regular": "Usage", "tax": "Tax", "adjustment": "Adjustment", "rounding_error": "Adjustment"}
"""`cost_type` -> FOCUS ChargeCategory; a commitment's fee is a Purchase."""

RESOURCE_DISCOUNT = "COMMITTED_USAGE_DISCOUNT"
SPEND_DISCOUNT = "COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE"
RESOURCE_FEE = "Commitment v1"
SPEND_FEE = "Commitment - dollar based v1:"
"""Types of credits for what a commitment covers, and how the SKUs of their fees begin."""

CLUSTER_LABEL = "goog-k8s-cluster-name"
KUBERNETES_LABELS = (CLUSTER_LABEL, "goog-gke-node", "goog-gke-volume")

CATEGORIES = (
    ("sku_meter", ("download", "network", "ingress", "egress", "static ip", "external ip", "load balanced"), "Network"),
    ("sku_meter", ("licensing fee",), "Other"),
    ("sku_meter", ("storage", "pd capacity", "pd iops", "pd snapshot"), "Storage"),
    ("service_name", ("storage",), "Storage"),
    ("service_name", ("compute",), "Compute"),
    ("service_name", ("sql", "bigquery"), "Storage"),
    ("service_name", ("kubernetes",), "Management"),
    ("service_name", ("pub/sub",), "Network"),
)
"""Words in the SKU, then in the service, and the category they mean: the first hit counts (OpenCost's order)."""


def normalise(export: ir.Table, window: Window, label_keys: Sequence[str], keep: Keep) -> ir.Table:
    """Return the rows of `cloud_billing` for the days of `window`, with `date` and a column per label key.

    A charge counts on the UTC day of its usage, whichever month's invoice it is on. `billed_cost` is after all
    credits, as the invoice is. The fee of a commitment is spread over what its credits cover on that day, in
    proportion to the credits, and keeps an effective cost only on a day on which it covers nothing.

    Args:
        export: rows of the detailed (resource) export, in any of its forms.
        window: the days wanted.
        label_keys: keys of labels to keep; a resource's own beat its project's.
        keep: computes what several of the next steps read.

    Raises:
        UnknownBillError: a field that nothing can stand in for is missing.
    """
    return name_as_focus(sum_to_days(export, window), label_keys, keep)


def sum_to_days(export: ir.Table, window: Window) -> ir.Table:
    """Return one row per day and resource (and what else `KEYS` has): what BigQuery computes by itself.

    Raises:
        UnknownBillError: a field that nothing can stand in for is missing.
    """
    check_fields(export)
    return _sum_to_days(_read_rows(export, window))


def check_fields(export: ir.Table) -> None:
    """Raise `UnknownBillError` unless these are rows of the detailed export."""
    if missing := [name for name in (USAGE_START, *REQUIRED) if field(export, name) is None]:
        raise UnknownBillError(
            f"not a detailed billing export: it lacks {', '.join(missing)}. Switch on the detailed usage cost export "
            "(gcp_billing_export_resource_v1_…); the standard one has no resources."
        )


def field(export: ir.Table, name: str) -> ir.Value | None:
    """Return a field of the export by its name in BigQuery, such as `resource.name`; None where it is absent."""
    if name in export.columns:
        return export[name]
    parent, _, member = name.partition(".")
    struct = export[parent] if parent in export.columns else None
    return struct[member] if isinstance(struct, ir.StructValue) and member in struct.names else None


def _text(export: ir.Table, name: str) -> ir.StringValue:
    found = field(export, name)
    if found is None:
        return ibis.null().cast("string")
    nested = isinstance(found.type(), (dt.Array, dt.Struct))
    return (found.cast("json") if nested else found).cast("string").nullif("")


def _read_rows(export: ir.Table, window: Window) -> ir.Table:
    # Lists of labels are read after the sums: lines are many, and labels few.
    keys = {ours: _as_it_is(export, name) if ours in LABELS else _text(export, name) for ours, name in KEYS.items()}
    day = _day(export, keys["invoice_month"])
    cost, listed = read_cost(_text(export, "cost")), read_cost(_text(export, "cost_at_list"))
    usage = _text(export, "usage.amount_in_pricing_units").cast("float64")
    rows = export.select(
        charge_period_start=day,
        **keys,
        cost=cost.fill_null(0),
        list=ibis.coalesce(listed.nullif(0), cost, 0),
        usage=usage,
        cost_missing=cost.isnull().cast("int64"),
        credits=_credits(export),
    )
    return rows.filter(rows.charge_period_start.between(ibis.date(window.days[0]), ibis.date(window.days[-1])))


def _day(export: ir.Table, invoice_month: ir.StringValue) -> ir.DateValue:
    """Return the UTC day of the usage; what has none is on the first of its invoice's month."""
    # A row without a day fails the cast, by these words: it must not fall out of every day unseen.
    of_invoice = ibis.coalesce(_first_of(invoice_month), "no usage_start_time").cast("date")
    start = field(export, USAGE_START)
    day = (
        start.date() if isinstance(start, ir.TimestampValue) else _text(export, USAGE_START).substr(0, 10).cast("date")
    )
    return ibis.coalesce(day, of_invoice)


def _first_of(month: ir.StringValue) -> ir.StringValue:
    return month.substr(0, 4) + "-" + month.substr(4, 2) + "-01"


def _as_it_is(export: ir.Table, name: str) -> ir.Value:
    found = field(export, name)
    return found if isinstance(found, ir.ArrayValue) else _text(export, name)


def _credits(export: ir.Table) -> ir.ArrayValue:
    """Return the credits of a row, whether they are a list or one struct, JSON or Python's way to print it."""
    members = {"type": "string", "id": "string", "amount": COST}
    found = field(export, "credits")
    if isinstance(found, ir.ArrayValue) and found.type().value_type.is_struct():
        return _objects(found, members)
    text = _text(export, "credits")
    printed = text.contains("'") & ~text.contains('"')
    text = ibis.ifelse(printed, text.replace("'", '"').replace("None", "null"), text).nullif("[]")
    text = ibis.ifelse(text.startswith("{"), "[" + text + "]", text)
    return _objects(text, members)


def _objects(found: ir.Value, members: Mapping[str, str]) -> ir.ArrayValue:
    """Return a list of structs, or of JSON objects, as structs of those members, whatever else is in them."""
    if isinstance(found, ir.ArrayValue):
        there = found.type().value_type.names
        picked = {name: type_ for name, type_ in members.items() if name in there}
        absent = {name: ibis.null().cast(type_) for name, type_ in members.items() if name not in there}
        return found.map(
            lambda one: ibis.struct({**{name: one[name].cast(type_) for name, type_ in picked.items()}, **absent})
        )

    def member(one: ir.JSONValue, name: str, type_: str) -> ir.Value:
        found = one[name]
        return found.str if type_ == "string" else found.cast("string").replace('"', "").nullif("null").cast(type_)

    return (
        found.cast("json")
        .cast("array<json>")
        .map(lambda one: ibis.struct({name: member(one, name, type_) for name, type_ in members.items()}))
    )


def _sum_to_days(rows: ir.Table) -> ir.Table:
    def total(found: ir.ArrayValue) -> ir.Value:
        return found.map(lambda one: one["amount"]).sums().cast(COST).fill_null(0)

    def of_type(name: str) -> ir.ArrayValue:
        return rows.credits.filter(lambda one: one["type"] == name)

    commitment = rows.credits.filter(
        lambda one: one["type"].isin([RESOURCE_DISCOUNT, SPEND_DISCOUNT]) & (one["amount"] != 0)
    )
    keys = ["charge_period_start", *KEYS, "commitment_id"]
    lines = rows.mutate(
        commitment_id=commitment[0]["id"],
        all_credits=total(rows.credits),
        resource_credit=total(of_type(RESOURCE_DISCOUNT)),
        spend_credit=total(of_type(SPEND_DISCOUNT)),
    ).drop("credits")
    sums = {name: lines[name].sum() for name in lines.columns if name not in keys}
    return lines.group_by(keys).aggregate(line_items=lines.count(), **sums)


def _spread_fees(daily: ir.Table) -> ir.Table:
    """Add `net` (cost after credits), `paid` (the row's share of the fees of the commitments that cover it), whether
    the row is a fee, and whether that fee has been spread.
    """
    daily = daily.mutate(
        net=daily.cost + daily.all_credits,
        is_resource_fee=daily.sku_meter.startswith(RESOURCE_FEE).fill_null(False),
        is_spend_fee=daily.sku_meter.startswith(SPEND_FEE).fill_null(False),
    )
    kinds, of_day = ("resource", "spend"), ["charge_period_start", "billing_account_id", "billing_currency"]
    # Joined, for a window would sort all rows by day.
    sums = daily.group_by(of_day).aggregate(
        **{f"{kind}_fee": ibis.ifelse(daily[f"is_{kind}_fee"], daily.net, 0).sum() for kind in kinds},
        **{f"{kind}_covered": daily[f"{kind}_credit"].sum() for kind in kinds},
    )
    daily = join_same(daily, sums, of_day)
    paid, is_spent = ibis.literal(0).cast(COST), ibis.literal(False)
    for kind in kinds:
        credit, covered, fee = daily[f"{kind}_credit"], daily[f"{kind}_covered"], daily[f"{kind}_fee"]
        # Shares are rounded to the 12th decimal; what the invoice says is `billed_cost`, which they do not touch.
        share = (credit.cast("float64") / covered.cast("float64").nullif(0.0) * fee.cast("float64")).cast(COST)
        paid, is_spent = paid + share.fill_null(0), is_spent | (daily[f"is_{kind}_fee"] & (covered != 0))
    return daily.mutate(paid=paid, is_fee=daily.is_spend_fee | daily.is_resource_fee, is_spent_fee=is_spent)


def name_as_focus(daily: ir.Table, label_keys: Sequence[str], keep: Keep) -> ir.Table:
    """Return rows of `cloud_billing` from those of `sum_to_days`."""
    daily = keep("daily", daily)
    known = tuple(dict.fromkeys((*label_keys, *KUBERNETES_LABELS, *ATTRIBUTION_TAGS)))
    columns = {key: f"tag_{position}" for position, key in enumerate(known)}
    labels_read = keep("labels", _read_labels(daily.select(*LABELS).distinct(), columns))
    daily = join_same(_spread_fees(daily), labels_read, LABELS).drop(*LABELS)
    resource, spend = daily.resource_credit != 0, daily.spend_credit != 0
    is_kubernetes = daily[columns[CLUSTER_LABEL]].notnull()
    for key in KUBERNETES_LABELS:
        is_kubernetes = is_kubernetes | daily[columns[key]].notnull()
    labels = {label_column(key): daily[columns[key]] for key in label_keys}
    charge_category = _charge_category(daily)
    named: dict[str, ir.Value] = {
        "date": daily.charge_period_start,
        "provider_name": ibis.literal("Google Cloud"),
        "invoice_issuer_name": ibis.literal("Google Cloud"),
        "invoice_id": daily.invoice_month,
        "billing_period_start": _first_of(daily.invoice_month).cast("date"),
        "charge_category": charge_category,
        "resource_id": ibis.coalesce(daily.global_name, daily.resource_name),
        "pricing_category": ibis.cases(
            (resource | spend, "Committed"),
            (daily.sku_meter.lower().contains("spot preemptible"), "Dynamic"),
            (charge_category == "Usage", "Standard"),
        ),
        "commitment_discount_id": daily.commitment_id,
        "commitment_discount_category": ibis.cases((resource, "Usage"), (spend, "Spend")),
        "commitment_discount_status": ibis.cases((resource | spend, "Used")),
        "usage_quantity": daily.usage,
        "list_cost": daily.list,
        "contracted_cost": daily.cost,
        "billed_cost": daily.net,
        "effective_cost": ibis.ifelse(daily.is_spent_fee, 0, daily.net + daily.paid),
        "amortized_cost": ibis.ifelse(
            daily.is_spent_fee, 0, daily.cost + daily.resource_credit + daily.spend_credit + daily.paid
        ),
        "net_cost": ibis.ifelse(daily.is_resource_fee, 0, daily.net),
        "invoiced_cost": daily.net,
        "provider_id": ibis.coalesce(last_part(daily.resource_name), last_part(daily.global_name)),
        "category": category(daily),
        "is_kubernetes": is_kubernetes,
        "cluster": daily[columns[CLUSTER_LABEL]],
        "missing_cost_lines": daily.cost_missing,
    }
    return as_cloud_billing(daily, named, labels)


def _read_labels(lists: ir.Table, columns: Mapping[str, str]) -> ir.Table:
    """Add a column per label, and all of them as `tags`."""
    own = _labels(lists.labels)
    # The first hit counts: a resource's own label.
    lists = lists.mutate(own_labels=own, all_labels=own.concat(_labels(lists.project_labels)))
    # A project's label says nothing about the clusters in it.
    source = {key: lists.own_labels if key in KUBERNETES_LABELS else lists.all_labels for key in columns}
    read = lists.mutate(**{column: _label(source[key], key) for key, column in columns.items()})
    read = read.drop("own_labels", "all_labels")
    return read.mutate(tags=as_json(read, columns))


def _labels(found: ir.Value) -> ir.ArrayValue:
    text = found if isinstance(found, ir.ArrayValue) else found.nullif("[]")
    labels = _objects(text, {"key": "string", "value": "string"})
    # A list that is null would make null of the one that it is put together with.
    return labels.fill_null(ibis.literal([], type=labels.type()))


def _label(labels: ir.ArrayValue, key: str) -> ir.StringValue:
    return labels.filter(lambda one: (one["key"] == key) & one["value"].notnull())[0]["value"]


def _charge_category(daily: ir.Table) -> ir.StringValue:
    by_type = [(daily.charge_type == name, category) for name, category in CHARGE_CATEGORIES.items()]
    is_purchase = daily.is_fee & (daily.charge_type.fill_null("regular") == "regular")
    # Exports of before 2020 have no cost types: all of it is usage.
    return ibis.cases((is_purchase, "Purchase"), (daily.charge_type.isnull(), "Usage"), *by_type, else_="Adjustment")


def last_part(name: ir.StringValue) -> ir.StringValue:
    """Return what Kubernetes calls a resource: `projects/1/instances/worker-1` is `worker-1`."""
    return ibis.ifelse(name.contains("/"), name.re_extract(r"([^/]*)$", 1), name).nullif("")


def category(daily: ir.Table) -> ir.StringValue:
    """Return Compute, Storage, Network, Management or Other, by the words of the SKU and the service."""
    texts = {name: daily[name].lower().fill_null("") for name in ("sku_meter", "service_name")}
    branches = [(texts[column].contains(word), category) for column, words, category in CATEGORIES for word in words]
    return ibis.cases(*branches, else_="Other")
