"""FOCUS 1.x exports of any provider, as rows of `cloud_billing`.

The costs are taken as they are. What FOCUS does not say (which Kubernetes resource a row is) comes from the
provider's own columns (`x_…`) where it writes them, by the same rules as its native bill.
Source: the FOCUS specification, 1.0 to 1.3.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from kubecost_pipelines.core.bills import aws_cur, azure_costs, gcp_export
from kubecost_pipelines.core.bills.source import (
    Source,
    SourceColumns,
    UnknownBillError,
    as_cloud_billing,
    billing_period,
    within_month,
)
from kubecost_pipelines.core.bills.tags import as_json, read_object
from kubecost_pipelines.core.label_mapping import ATTRIBUTION_TAGS
from kubecost_pipelines.core.provider_key import Provider
from kubecost_pipelines.core.tables import COST, label_column
from kubecost_pipelines.core.window import Window

KEYS: dict[str, Source] = {
    "provider_name": Source(("providername", "serviceprovidername")),
    "billing_account_id": Source(("billingaccountid",), is_required=True),
    "sub_account_id": Source(("subaccountid",)),
    "invoice_id": Source(("invoiceid",)),
    "invoice_issuer_name": Source(("invoiceissuername", "invoiceissuer")),
    "billing_currency": Source(("billingcurrency",), is_required=True),
    "charge_category": Source(("chargecategory",), is_required=True),
    "charge_class": Source(("chargeclass",)),
    "service_name": Source(("servicename",), is_required=True),
    "sku_meter": Source(("skumeter", "skuid")),
    "region_id": Source(("regionid", "region")),
    "availability_zone": Source(("availabilityzone",)),
    "resource_id": Source(("resourceid",), is_required=True),
    "pricing_category": Source(("pricingcategory",)),
    "commitment_discount_id": Source(("commitmentdiscountid",)),
    "commitment_discount_category": Source(("commitmentdiscountcategory",)),
    "commitment_discount_status": Source(("commitmentdiscountstatus",)),
}
"""What a daily row is grouped by."""

COSTS = {
    name: Source((name.replace("_", ""),), COST, is_required=True)
    for name in ("list_cost", "contracted_cost", "billed_cost", "effective_cost")
}
CHARGE_START = Source(("chargeperiodstart",), is_required=True)
PERIOD_START = Source(("billingperiodstart",))
QUANTITY = Source(("consumedquantity", "usagequantity"), "float64")
TAGS = Source(("tags",))
SOURCES = (*KEYS.values(), *COSTS.values(), CHARGE_START, PERIOD_START, QUANTITY, TAGS)

CHARGE_CATEGORIES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")


@dataclass(frozen=True)
class Cloud:
    """How one provider's FOCUS rows are tied to Kubernetes.

    `service` and `meter` are the columns with the native bill's words, by which `category` and `provider_id` go.
    """

    service: Source
    meter: Source
    tags: tuple[str, ...]
    cluster: Callable[[ir.Table, Mapping[str, ir.StringValue]], ir.StringValue]
    provider_id: Callable[[ir.Table, Mapping[str, ir.StringValue]], ir.StringValue]
    category: Callable[[ir.Table], ir.StringValue]
    kubernetes_service: str = ""
    persistent_volume: str = ""


def _aws_cluster(rows: ir.Table, tags: Mapping[str, ir.StringValue]) -> ir.StringValue:
    owned = rows.tag_text.re_extract(r'"(?:user:)?kubernetes\.io/cluster/([^"]+)": ?"(?:owned|shared)"', 1).nullif("")
    return ibis.coalesce(*(tags[key] for key in aws_cur.CLUSTER_TAGS), owned, aws_cur.cluster_of_arn(rows))


CLOUDS: dict[Provider, Cloud] = {
    "aws": Cloud(
        Source(("xservicecode", "servicename")),
        Source(("xusagetype", "skumeter", "skuid")),
        aws_cur.KUBERNETES_TAGS,
        _aws_cluster,
        lambda rows, _: aws_cur.provider_id(rows),
        aws_cur.category,
        aws_cur.SERVICE_TAG,
        aws_cur.VOLUME_TAG,
    ),
    "gcp": Cloud(
        Source(("servicename",)),
        Source(("xskudescription", "skumeter", "skuid")),
        gcp_export.KUBERNETES_LABELS,
        lambda _, tags: tags[gcp_export.CLUSTER_LABEL],
        lambda rows, _: gcp_export.last_part(rows.resource_id),
        gcp_export.category,
    ),
    "azure": Cloud(
        Source(("xskumetercategory", "servicename")),
        Source(("xskumetername", "skumeter", "skuid")),
        azure_costs.KUBERNETES_TAGS,
        azure_costs.cluster_of,
        azure_costs.provider_id,
        azure_costs.category,
        azure_costs.SERVICE_TAG,
        azure_costs.VOLUME_TAG,
    ),
}


def canonical_name(header: str) -> str:
    """Return a column's name without case and underscores: `BilledCost`, `billed_cost` and `billedcost` are one."""
    return header.strip().lstrip("\ufeff").replace("_", "").lower()


def is_focus(columns: Sequence[str]) -> bool:
    """Say whether a bill is written as FOCUS is."""
    names = {canonical_name(name) for name in columns}
    return {"billedcost", "effectivecost", "chargeperiodstart"} <= names


def normalise(export: ir.Table, window: Window, label_keys: Sequence[str], provider: Provider) -> ir.Table:
    """Return the rows of `cloud_billing` for the days of `window`, with `date` and a column per label key.

    Args:
        export: rows of one FOCUS export: CSV as text, or Parquet. Those of other months are left out.
        window: days of one month.
        label_keys: tag keys to keep.
        provider: whose bill it is.

    Raises:
        UnknownBillError: a column that nothing can stand in for is missing.
    """
    names, cloud = SourceColumns(export, canonical_name), CLOUDS[provider]
    if missing := names.missing(SOURCES):
        raise UnknownBillError(
            f"not a FOCUS 1.x export: it lacks {', '.join(missing)}. Export every FOCUS column, version 1.0 or later."
        )
    daily = _sum_to_days(_read_rows(names, export, window, cloud))
    return _name(daily, window, label_keys, cloud)


def _read_rows(names: SourceColumns, export: ir.Table, window: Window, cloud: Cloud) -> ir.Table:
    costs = {name: names.number(source) for name, source in COSTS.items()}
    rows = export.select(
        # A row without a day fails the cast, by these words.
        charge_period_start=_day(names.text(CHARGE_START).fill_null("no ChargePeriodStart")),
        period_start=_day(names.text(PERIOD_START)),
        **{ours: names.text(source) for ours, source in KEYS.items()},
        service=names.text(cloud.service),
        meter=names.text(cloud.meter),
        tag_text=_tag_text(names, export),
        **{name: value.fill_null(0) for name, value in costs.items()},
        usage_quantity=names.number(QUANTITY),
        missing_cost_lines=(costs["billed_cost"].isnull() | costs["effective_cost"].isnull()).cast("int64"),
    )
    return within_month(rows, window)


def _day(text: ir.StringValue) -> ir.DateValue:
    return text.substr(0, 10).cast("date")


def _tag_text(names: SourceColumns, export: ir.Table) -> ir.StringValue:
    found = names.find(TAGS)
    if found is None:
        return ibis.null().cast("string")
    nested = isinstance(export[found].type(), (dt.Map, dt.Struct))
    return (export[found].cast("json") if nested else export[found]).cast("string")


def _sum_to_days(rows: ir.Table) -> ir.Table:
    measures = [*COSTS, "usage_quantity", "missing_cost_lines"]
    keys = [name for name in rows.columns if name not in measures]
    return rows.group_by(keys).aggregate(line_items=rows.count(), **{name: rows[name].sum() for name in measures})


def _name(daily: ir.Table, window: Window, label_keys: Sequence[str], cloud: Cloud) -> ir.Table:
    keys = tuple(dict.fromkeys((*label_keys, *cloud.tags, *ATTRIBUTION_TAGS)))
    columns = {key: f"tag_{position}" for position, key in enumerate(keys)}
    parsed = daily.mutate(tag_map=read_object(daily.tag_text))
    # From here on, the provider's own words where it writes them: its rules go by them.
    native = parsed.mutate(
        **{column: _tag(parsed.tag_map, key) for key, column in columns.items()},
        focus_service=parsed.service_name,
        focus_meter=parsed.sku_meter,
        service_name=parsed.service.fill_null(""),
        sku_meter=parsed.meter.fill_null(""),
        vm_name=ibis.null().cast("string"),
        ip_address=ibis.null().cast("string"),
    ).drop("tag_map")
    tags = {key: native[column] for key, column in columns.items()}
    cluster = cloud.cluster(native, tags)
    has_tag = azure_costs.has_kubernetes_tag(native.tag_text)
    for key in cloud.tags:
        has_tag = has_tag | tags[key].notnull()
    named: dict[str, ir.Value] = {
        "billing_period_start": ibis.date(billing_period(window)[0]),
        "charge_type": native.charge_category,
        "service_name": native.focus_service,
        "sku_meter": native.focus_meter,
        "amortized_cost": native.effective_cost,
        "net_cost": native.billed_cost,
        "invoiced_cost": native.billed_cost,
        "provider_id": cloud.provider_id(native, tags),
        "category": cloud.category(native),
        "is_kubernetes": cluster.notnull() | has_tag,
        "cluster": cluster,
        "kubernetes_service": tags.get(cloud.kubernetes_service, ibis.null()),
        "persistent_volume": tags.get(cloud.persistent_volume, ibis.null()),
        "tags": as_json(native, columns),
    }
    return as_cloud_billing(native, named, {label_column(key): tags[key] for key in label_keys})


def _tag(tags: ir.MapValue, key: str) -> ir.StringValue:
    """Return a tag; AWS may write `user:` before those that people set."""
    return ibis.coalesce(tags.get(key).nullif(""), tags.get(f"user:{key}").nullif(""))
