"""Allocating: what each workload costs at the price that its node, its volumes and its load balancers really have.

Prices first, which are few (one per node, volume and load balancer), then the workloads at those prices, in one pass
over their wide rows. What nobody used is not lost: `unused` turns it into rows of its own.
"""

from collections.abc import Mapping
from datetime import date
from functools import reduce
from operator import add, or_

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.attaching import BASES, Attachments, basis, find_assets, rank
from kubecost_pipelines.core.tables import ADJUSTED_RESOURCES, RECONCILED_ALLOCATIONS

HOURS = {"cpu": "cpu_core_hours", "ram": "ram_byte_hours", "gpu": "gpu_hours"}
"""What a node is shared by, per resource."""

SPECIAL_NAMES = ("__idle__", "__unmounted__", "__shared__", "__external__")

NARROW = (
    *("date", "row", "node", "provider_id", "minutes", *HOURS.values(), "network_transfer_bytes"),
    *("network_receive_bytes", "pvs", "load_balancers", *(f"{name}_cost" for name in ADJUSTED_RESOURCES)),
)
"""The columns of the workloads that prices depend on."""


def workloads(allocations: ir.Table) -> ir.Table:
    """Return the allocations of containers: idle and unmounted ones are the cluster's own, and computed anew.

    Args:
        allocations: rows of `allocations` with `date`.
    """
    # One expression: four comparisons of a long text take as long as all else that is read here.
    parts = [allocations.name.re_search(f"/({'|'.join(SPECIAL_NAMES)})$")]
    parts += [allocations[name].isin(SPECIAL_NAMES) for name in ("pod", "container")]
    return allocations.filter(~reduce(or_, (part.fill_null(False) for part in parts)))


def find_nodes(rows: ir.Table, assets: ir.Table) -> ir.Table:
    """Add `node_id`, the asset that a workload ran on: by provider id, else by name; null when no asset is either.

    The provider id comes first, for a name can return within a day (Google gives a repaired node its old one).

    Args:
        rows: `date`, `provider_id` and `node` of workloads, and whatever else.
        assets: rows of `asset_costs`.
    """
    nodes = assets.filter(assets.asset_type == "Node")
    return find_assets(rows, nodes, {"provider_id": "provider_id", "node": "name"}).rename(node_id="asset_id")


def price_nodes(assets: ir.Table, narrow: ir.Table) -> ir.Table:
    """Return one row per node: what a core-hour, a byte-hour and a GPU-hour of it cost, and what nobody used.

    The node's total goes to CPU, RAM and GPU as its list price does (after its discount), and from there by hours. The
    hours are its capacity; more than that when its workloads took more (they share the node's total then, and
    nothing is idle). A node that has no list price is priced by core-hours alone.

    Args:
        assets: rows of `asset_costs` of one cluster.
        narrow: workloads with `node_id`.

    Returns:
        `date`, `node_id`, and per resource `<x>_rate` (currency per hour), `<x>_used`, `<x>_idle_hours`, `<x>_idle`
        (currency), `<x>_idle_estimate`; `network_rate`, `network_by`; `workloads`; and of the asset what a row needs.
    """
    nodes = assets.filter(assets.asset_type == "Node")
    networks = assets.filter(assets.asset_type == "Network")
    networks = networks.group_by(network_date=networks.date, network_of=networks.asset_id.re_replace("/network$", ""))
    networks = networks.aggregate(network_total=ibis._.total_cost.sum())
    used = narrow.filter(narrow.node_id.notnull())
    used = used.group_by(used_date=used.date, used_node=used.node_id).aggregate(
        workloads=used.count(),
        minutes_used=used.minutes.sum(),
        network_bytes=(used.network_transfer_bytes + used.network_receive_bytes).sum(),
        network_estimate=used.network_cost.sum(),
        **{f"{name}_used": used[hours].sum() for name, hours in HOURS.items()},
        **{f"{name}_estimate": used[f"{name}_cost"].sum() for name in HOURS},
    )
    joined = nodes.left_join(used, [nodes.date == used.used_date, nodes.asset_id == used.used_node])
    joined = joined.left_join(networks, [joined.date == networks.network_date, joined.asset_id == networks.network_of])
    joined = joined.mutate(
        **{f"{name}_used": joined[f"{name}_used"].fill_null(0.0) for name in HOURS},
        **{f"{name}_listed": value for name, value in listed(joined).items()},
        workloads=joined.workloads.fill_null(0),
        network_total=joined.network_total.fill_null(0.0),
    )
    return joined.select(
        "date",
        *("cluster", "name", "provider_id", "start", "end", "minutes", "currency", "is_settled", "cost_basis"),
        *("total_cost", "cost", "workloads", "network_total"),
        node_id=joined.asset_id,
        **{key: value for name in HOURS for key, value in _priced(joined, name).items()},
        **_priced_network(joined),
    )


def listed(nodes: ir.Table) -> dict[str, ir.FloatingValue]:
    """Return what a node's CPU, RAM and GPU cost by its price list, after the discount (which GPUs do not get)."""
    factor = 1 - nodes.discount.fill_null(0.0)
    return {
        "cpu": nodes.cpu_cost.fill_null(0.0) * factor,
        "ram": nodes.ram_cost.fill_null(0.0) * factor,
        "gpu": nodes.gpu_cost.fill_null(0.0),
    }


def _priced(nodes: ir.Table, name: str) -> dict[str, ir.Value]:
    whole = reduce(add, (nodes[f"{one}_listed"] for one in HOURS))
    unlisted = nodes.total_cost if name == "cpu" else ibis.literal(0.0)
    part = ibis.ifelse(whole > 0, nodes.total_cost * nodes[f"{name}_listed"] / whole.nullif(0.0), unlisted)
    used, capacity = nodes[f"{name}_used"], nodes[HOURS[name]].fill_null(0.0)
    hours = ibis.greatest(capacity, used)
    rate = (part / hours.nullif(0.0)).fill_null(0.0)
    idle_hours = hours - used
    estimate = nodes[f"{name}_listed"] - nodes[f"{name}_estimate"].fill_null(0.0)
    return {
        f"{name}_rate": rate,
        f"{name}_used": used,
        f"{name}_capacity": capacity,
        f"{name}_idle_hours": idle_hours,
        f"{name}_idle": ibis.ifelse(hours > 0, rate * idle_hours, part),
        f"{name}_idle_estimate": ibis.greatest(estimate, 0.0),
    }


def _priced_network(nodes: ir.Table) -> dict[str, ir.Value]:
    """Return by what a node's traffic is shared, the first that was measured at all, and at which price."""
    sums = {
        "cost": nodes.network_estimate,
        "bytes": nodes.network_bytes,
        "minutes": nodes.minutes_used,
        "rows": nodes.workloads.cast("float64"),
    }
    by = ibis.cases(*((value > 0, name) for name, value in sums.items()))
    whole = ibis.cases(*((value > 0, value) for value in sums.values()))
    return {"network_by": by, "network_rate": (nodes.network_total / whole).fill_null(0.0)}


def network_share(rows: ir.Table) -> ir.FloatingValue:
    """Return a workload's share of its node's traffic, in the unit that `network_by` names."""
    return ibis.cases(
        (rows.network_by == "cost", rows.network_cost),
        (rows.network_by == "bytes", rows.network_transfer_bytes + rows.network_receive_bytes),
        (rows.network_by == "minutes", rows.minutes),
        (rows.network_by == "rows", 1.0),
        else_=0.0,
    )


def price_workloads(
    rows: ir.Table, nodes: ir.Table, volumes: Attachments, load_balancers: Attachments, last_settled: date
) -> ir.Table:
    """Return the workloads at the prices of what they used: rows of `reconciled_allocations`, with `date`.

    `<x>_cost` stays the cluster's estimate. A workload whose node no asset names has nothing that it could cost: its
    estimate is adjusted to 0, and the check `allocations_have_a_node` names it. The same goes for a volume or a load
    balancer without an asset, and for traffic that no bill shows.

    Args:
        rows: workloads with `date`, `row` and `node_id`.
        nodes: what `price_nodes` returns.
        volumes: the volumes that they mounted, priced.
        load_balancers: likewise.
        last_settled: the last day that is settled.
    """
    rates = nodes.select(
        *("network_by", "network_rate", *(f"{name}_rate" for name in HOURS)),
        rate_date=nodes.date,
        rate_node=nodes.node_id,
        node_rank=rank(nodes.cost_basis),
    )
    rows = rows.left_join(rates, [rows.date == rates.rate_date, rows.node_id == rates.rate_node])
    rows = volumes.join(rows)
    rows = load_balancers.join(rows)
    targets: dict[str, ir.FloatingValue] = {
        **{name: rows[hours] * rows[f"{name}_rate"] for name, hours in HOURS.items()},
        "network": network_share(rows) * rows.network_rate,
        "pv": rows.pv_total,
        "load_balancer": rows.load_balancer_total,
    }
    rows = rows.mutate(**{f"{name}_target": target.fill_null(0.0) for name, target in targets.items()})
    worst = ibis.greatest(
        rows.node_rank.fill_null(len(BASES) - 1), rows.pv_rank.fill_null(0), rows.load_balancer_rank.fill_null(0)
    )
    return shape(
        rows,
        {
            **{f"{name}_cost_adjustment": rows[f"{name}_target"] - rows[f"{name}_cost"] for name in ADJUSTED_RESOURCES},
            "pvs": rows.priced_pvs,
            "load_balancers": rows.priced_load_balancers,
            "shared_cost": ibis.literal(0.0),
            "external_cost": ibis.literal(0.0),
            "total_cost": reduce(add, (rows[f"{name}_target"] for name in ADJUSTED_RESOURCES)),
            "total_efficiency": _total_efficiency(rows),
            "allocation_type": ibis.literal("workload"),
            "cost_basis": basis(worst),
            "is_reconciled": worst == 0,
            "is_settled": rows.date <= ibis.literal(last_settled),
        },
    )


def _total_efficiency(rows: ir.Table) -> ir.FloatingValue:
    """Return CPU and RAM efficiency weighted by reconciled cost, as OpenCost does by its own; null when unknown."""
    weighted = [
        (rows[f"{name}_efficiency"].fill_null(0.0) * rows[f"{name}_target"], rows[f"{name}_target"])
        for name in ("cpu", "ram")
    ]
    is_known = rows.cpu_efficiency.notnull() | rows.ram_efficiency.notnull()
    whole = weighted[0][1] + weighted[1][1]
    return ibis.ifelse(is_known, (weighted[0][0] + weighted[1][0]) / whole.nullif(0.0), None)


def shape(rows: ir.Table, values: Mapping[str, ir.Value]) -> ir.Table:
    """Return `date` and the columns of `reconciled_allocations`: those of `values`, else of `rows`, else null."""
    schema = RECONCILED_ALLOCATIONS.schema()
    found = {name: values.get(name, rows[name] if name in rows.columns else ibis.null()) for name in schema}
    return rows.select("date", **{name: value.cast(schema[name]) for name, value in found.items()})
