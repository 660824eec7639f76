"""Tracing: which assets a workload pays, and for which share of each; and whose the rest is.

The same prices as in `allocating`, one row per workload's part of an asset instead of one per workload.
"""

from functools import reduce

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.allocating import HOURS, find_nodes, network_share, workloads
from kubecost_pipelines.core.attaching import Attachments, Kind, find_assets, list_entries
from kubecost_pipelines.core.unused import IDLE, SHARED, UNMOUNTED, namespace_of
from kubecost_pipelines.core.workload_costs import Prices

UNITS = {
    "cpu": "core-hours",
    "ram": "byte-hours",
    "gpu": "GPU-hours",
    "pv": "byte-hours",
    "load_balancer": "hours",
    "cost": "estimated traffic cost",
    "bytes": "bytes",
    "minutes": "minutes",
    "rows": "workloads",
    "shared": "assets",
}
"""Unit of `amount` and `whole`, by resource; for traffic by what it is shared."""


def trace(allocations: ir.Table, prices: Prices, *, is_by_row: bool = False) -> ir.Table:
    """Return what workloads pay for each asset, and how that comes about.

    Args:
        allocations: rows of `allocations`, with `date` and `row`: those to explain.
        prices: of the whole cluster.
        is_by_row: whether each workload is told by itself, by its `row`.

    Returns:
        `date`, `asset_id` (null where no asset was found), `resource`, `unit`, `amount` (theirs), `whole` (what the
        asset is shared by), `share`, `estimate`, `adjustment` and `total_cost`, their sum.
    """
    rows = find_nodes(workloads(allocations), prices.assets)
    nodes = prices.nodes.rename(node_date="date", priced_node="node_id").drop("name", "provider_id", "cluster")
    on_nodes = rows.left_join(
        nodes, [rows.date == nodes.node_date, rows.node_id == nodes.priced_node], rname="node_{name}"
    )
    parts = [
        *(_of_node(on_nodes, name) for name in HOURS),
        _of_network(on_nodes),
        *(_of_entries(rows, one) for one in (prices.volumes, prices.load_balancers)),
    ]
    return _summed(reduce(ir.Table.union, parts), ("row",) if is_by_row else ())


def trace_unused(prices: Prices) -> ir.Table:
    """Return which part of each asset is idle, unmounted or shared: as `trace`, with `namespace` and `pod`.

    Args:
        prices: of the whole cluster.
    """
    nodes, volumes, balancers = prices.nodes, prices.volumes.assets, prices.load_balancers.assets
    volumes, balancers = volumes.filter(volumes.unused_share > 0), balancers.filter(balancers.unused_share > 0)
    parts = [
        _part(
            nodes,
            name,
            asset_id=nodes.node_id,
            amount=nodes[f"{name}_idle_hours"],
            whole=ibis.greatest(nodes[f"{name}_capacity"], nodes[f"{name}_used"]),
            estimate=nodes[f"{name}_idle_estimate"],
            total_cost=nodes[f"{name}_idle"],
            **_named(IDLE, None),
        )
        for name in HOURS
    ]
    parts += [
        _part(
            assets,
            name,
            asset_id=assets.asset_id,
            unit=ibis.literal(unit),
            amount=amount,
            whole=whole,
            estimate=assets.unused_estimate,
            total_cost=assets.unused_cost,
            **_named(namespace, UNMOUNTED),
        )
        for assets, name, unit, amount, whole, namespace in (
            (
                volumes,
                "pv",
                UNITS["pv"],
                volumes.unused_amount,
                volumes.used + volumes.unused_amount,
                volumes.claim_namespace.fill_null(UNMOUNTED),
            ),
            (
                balancers,
                "load_balancer",
                UNITS["shared"],
                balancers.unused_share,
                ibis.literal(1.0),
                namespace_of(balancers).fill_null(UNMOUNTED),
            ),
        )
    ]
    shared = prices.shared
    parts.append(
        _part(
            shared,
            "shared",
            asset_id=shared.asset_id,
            amount=ibis.literal(1.0),
            whole=ibis.literal(1.0),
            estimate=shared.total_cost,
            total_cost=shared.total_cost,
            **_named(SHARED, None),
        )
    )
    return _summed(reduce(ir.Table.union, parts), ("namespace", "pod"))


def _named(namespace: str | ir.StringValue, pod: str | None) -> dict[str, ir.Value]:
    return {"namespace": ibis.literal(namespace) if isinstance(namespace, str) else namespace, "pod": ibis.literal(pod)}


def _summed(found: ir.Table, keys: tuple[str, ...]) -> ir.Table:
    grouped = found.group_by("date", "asset_id", "resource", "unit", *keys).aggregate(
        amount=found.amount.sum(),
        whole=found.whole.max(),
        estimate=found.estimate.sum(),
        total_cost=found.total_cost.sum(),
    )
    return grouped.filter((grouped.total_cost != 0) | (grouped.estimate != 0)).mutate(
        share=ibis._.amount / ibis._.whole.nullif(0.0), adjustment=ibis._.total_cost - ibis._.estimate
    )


def _part(rows: ir.Table, resource: str, **values: ir.Value) -> ir.Table:
    plain = {"resource": ibis.literal(resource), "unit": ibis.literal(UNITS.get(resource, "")), **values}
    plain |= {name: plain[name].fill_null(0.0).cast("float64") for name in ("amount", "estimate", "total_cost")}
    names = ("asset_id", "resource", "unit", "amount", "whole", "estimate", "total_cost")
    more: dict[str, ir.Value] = {name: plain[name].cast("string") for name in ("namespace", "pod") if name in plain}
    more |= {"row": rows["row"]} if "row" in rows.columns else {}
    return rows.select("date", **{name: plain[name] for name in names}, **more)


def _of_node(rows: ir.Table, name: str) -> ir.Table:
    amount = rows[HOURS[name]]
    return _part(
        rows,
        name,
        asset_id=rows.node_id,
        amount=amount,
        whole=ibis.greatest(rows[f"{name}_capacity"], rows[f"{name}_used"]),
        estimate=rows[f"{name}_cost"],
        total_cost=amount * rows[f"{name}_rate"],
    )


def _of_network(rows: ir.Table) -> ir.Table:
    amount = network_share(rows)
    units = ibis.cases(*((rows.network_by == by, UNITS[by]) for by in ("cost", "bytes", "minutes", "rows")), else_="")
    return _part(
        rows,
        "network",
        asset_id=ibis.ifelse(rows.network_total != 0, rows.node_id + "/network", None),
        unit=units,
        amount=amount,
        whole=(rows.network_total / rows.network_rate.nullif(0.0)).cast("float64"),
        estimate=rows.network_cost,
        total_cost=amount * rows.network_rate,
    )


def _of_entries(rows: ir.Table, attached: Attachments) -> ir.Table:
    kind: Kind = attached.kind
    entries = find_assets(list_entries(kind, rows), attached.assets, kind.keys)
    rates = attached.assets.select(
        "rate", "is_measured", "used", "users", "unused_amount", rate_date="date", rate_asset="asset_id"
    )
    paid = entries.left_join(rates, [entries.date == rates.rate_date, entries.asset_id == rates.rate_asset])
    amount = ibis.ifelse(paid.is_measured, paid[kind.amount], 1.0)
    return _part(
        paid,
        kind.name,
        asset_id=paid.asset_id,
        amount=amount,
        whole=ibis.ifelse(paid.is_measured, paid.used + paid.unused_amount, paid.users.cast("float64")),
        estimate=paid.cost,
        total_cost=amount * paid.rate,
    )
