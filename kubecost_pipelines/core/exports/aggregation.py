"""Aggregation: allocations summed to pods, namespaces, controllers, nodes or the cluster, as Kubecost sums them.

Costs and hours add up. An average is taken over the time from the first start to the last end; a text or label stays
where all rows of a group agree on it.
"""

import ibis
import ibis.expr.types as ir
from ibis import _

from kubecost_pipelines.core.tables import Table

UNALLOCATED, IDLE = "__unallocated__", "__idle__"

_TEXTS = ("node", "namespace", "pod", "container", "controller", "controller_kind", "provider_id", "reported_cluster")
_OVER_TIME = {
    "cpu_cores": "cpu_core_hours",
    "gpu_count": "gpu_hours",
    "ram_bytes": "ram_byte_hours",
    "pv_bytes": "pv_byte_hours",
}
"""A level -> the hours that it makes over the time of the row."""
_AVERAGES = (
    "cpu_core_request_average",
    "cpu_core_usage_average",
    "ram_byte_request_average",
    "ram_byte_usage_average",
    "gpu_request_average",
    "gpu_usage_average",
)
_MAXIMA = ("cpu_core_usage_max", "ram_byte_usage_max")
"""Of a container alone: what several used at most at once, nobody knows."""
_EFFICIENCIES = {"cpu_efficiency": "cpu_core", "ram_efficiency": "ram_byte", "gpu_efficiency": "gpu"}
_MAPS = ("labels", "annotations", "namespace_labels", "namespace_annotations")


def aggregate(rows: ir.Table, table: Table, by: str) -> ir.Table:
    """Sum allocations to what `by` says, in the same columns; idle rows stay apart where they belong to no group.

    Args:
        rows: columns of `table`: `allocations` or `reconciled_allocations`.
        table: which of the two.
        by: pod, namespace, controller, controllerKind, node or cluster.
    """
    kinds = ["allocation_type"] if "allocation_type" in table.names else []
    keyed = rows.mutate(group=_group(rows, by))
    groups = keyed.group_by("group", *kinds)
    summed = groups.aggregate(**_measures(keyed, table)).rename(name="group")
    labels = {name: _common_entries(keyed, name, kinds) for name in _MAPS}
    for name, common in labels.items():
        joined = summed.left_join(common, [("name", "group"), *kinds])
        summed = joined.drop(*(c for c in joined.columns if c == "group" or c.endswith("_right")))
        summed = summed.mutate(**{name: ibis.coalesce(summed[name], ibis.literal({}, type="map<string, string>"))})
    summed = summed.mutate(**{name: ibis.null("float64") for name in _MAXIMA})
    return _levels(summed).select(*table.names)


def _group(rows: ir.Table, by: str) -> ir.StringValue:
    column = {"controllerKind": "controller_kind"}.get(by, by)
    value = rows[column].nullif("")
    if by == "controller":
        value = ibis.coalesce(rows.controller_kind + ":" + value, value)
    if by == "pod":
        value = ibis.coalesce(rows.namespace + "/" + value, value)
    is_idle = rows.name.endswith(IDLE) & ibis.literal(by not in ("node", "cluster"))
    return is_idle.ifelse(IDLE, value.fill_null(UNALLOCATED))


def _measures(rows: ir.Table, table: Table) -> dict[str, ir.Value]:
    agreed = {name: _agreed(rows[name]) for name in _TEXTS if name in table.names}
    sums = {
        column.name: rows[column.name].sum()
        for column in table.columns
        if column.type == "float64"
        and not column.name.endswith("efficiency")
        and column.name not in (*_OVER_TIME, *_MAXIMA)
    }
    weighted = {name: (rows[name] * rows.minutes).sum() for name in _AVERAGES}
    minutes = (rows.end.max().epoch_seconds() - rows.start.min().epoch_seconds()) / 60
    measures = {
        "cluster": rows.cluster.min(),
        "currency": rows.currency.min(),
        "start": rows.start.min(),
        "end": rows.end.max(),
        "services": rows.services.collect().flatten().unique(),
        "pvs": rows.pvs.collect().flatten(),
        "load_balancers": rows.load_balancers.collect().flatten(),
        **agreed,
        **sums,
        **weighted,
        "minutes": ibis.coalesce(minutes.cast("float64"), rows.minutes.max()),
    }
    for name in ("is_reconciled", "is_settled"):
        if name in table.names:
            measures[name] = rows[name].all()
    if "cost_basis" in table.names:
        measures["cost_basis"] = _agreed(rows.cost_basis)
    return measures


def _agreed(values: ir.Column) -> ir.Value:
    is_agreed = (values.nunique() == 1) & values.isnull().sum().fill_null(0).cast("int64").__eq__(0)
    return is_agreed.ifelse(values.min(), ibis.null())


def _common_entries(rows: ir.Table, column: str, kinds: list[str]) -> ir.Table:
    """Return, per group, the entries of a map that all of its rows have."""
    sizes = rows.group_by("group", *kinds).aggregate(size=_.count())
    entries = rows.select("group", *kinds, key=rows[column].keys().unnest(), value=rows[column].values().unnest())
    counted = entries.group_by("group", *kinds, "key", "value").aggregate(found=_.count())
    shared = counted.inner_join(sizes, ["group", *kinds]).filter(_.found == _.size)
    pairs = shared.group_by("group", *kinds).aggregate(keys=_.key.collect(), items=_.value.collect())
    return pairs.select("group", *kinds, **{column: ibis.map(pairs["keys"], pairs["items"])})


def _levels(rows: ir.Table) -> ir.Table:
    """Turn hours into levels, sums over time into averages, and those into efficiencies."""
    hours = (rows.minutes / 60).nullif(0)
    rows = rows.mutate(**{name: (rows[source] / hours).fill_null(0.0) for name, source in _OVER_TIME.items()})
    rows = rows.mutate(**{name: (rows[name] / rows.minutes.nullif(0)).fill_null(0.0) for name in _AVERAGES})
    ratios = {n: rows[f"{u}_usage_average"] / rows[f"{u}_request_average"].nullif(0) for n, u in _EFFICIENCIES.items()}
    rows = rows.mutate(**ratios)
    cpu, ram = (_cost(rows, name) for name in ("cpu", "ram"))
    efficient = rows.cpu_efficiency.fill_null(0.0) * cpu + rows.ram_efficiency.fill_null(0.0) * ram
    return rows.mutate(total_efficiency=efficient / (cpu + ram).nullif(0))


def _cost(rows: ir.Table, resource: str) -> ir.FloatingValue:
    adjustment = next(
        name for name in (f"{resource}_cost_adjustment", f"reported_{resource}_adjustment") if name in rows.columns
    )
    return rows[f"{resource}_cost"] + rows[adjustment]
