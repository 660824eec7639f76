"""Workload costs: a cluster's allocations moved to what its assets cost, and what nobody used beside them.

The two steps of `allocating`, `attaching` and `unused` in order: prices, which are few, then rows at those prices.
Σ of the rows is Σ of the cluster's assets, every day.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.allocating import NARROW, find_nodes, price_nodes, price_workloads, workloads
from kubecost_pipelines.core.attaching import (
    LOAD_BALANCERS,
    VOLUMES,
    Attachments,
    Kind,
    attach,
    find_assets,
    find_own_disks,
    list_entries,
)
from kubecost_pipelines.core.unused import idle_rows, shared_rows, unmounted_rows, unserved_rows

Keep = Callable[[ir.Table], ir.Table]


@dataclass(frozen=True)
class Prices:
    """What a cluster's assets cost per hour of use, day by day.

    `shared` are those that nobody uses by the hour, `lost` the workloads whose node no asset names.
    """

    assets: ir.Table
    nodes: ir.Table
    volumes: Attachments
    load_balancers: Attachments
    shared: ir.Table
    lost: ir.Table


def price_assets(assets: ir.Table, allocations: ir.Table, keep: Keep = lambda rows: rows) -> Prices:
    """Return the prices of a cluster's assets.

    Args:
        assets: rows of `asset_costs` of one cluster, with `date`.
        allocations: rows of `allocations` of that cluster, with `date` and `row`, unique within the day.
        keep: computes a table once, for it is read several times.
    """
    narrow = keep(find_nodes(workloads(allocations).select(*NARROW), assets))
    nodes = keep(price_nodes(assets, narrow))
    disks = keep(find_own_disks(assets.filter(assets.asset_type == "Disk"), assets.filter(assets.asset_type == "Node")))
    volumes = disks.filter(~disks.is_own)
    volumes = volumes.mutate(volume=volumes.volume_name.fill_null(volumes.name))
    balancers = assets.filter(assets.asset_type == "LoadBalancer")
    return Prices(
        assets,
        nodes,
        _attach(VOLUMES, volumes, narrow, keep),
        _attach(LOAD_BALANCERS, balancers, narrow, keep),
        keep(_shared_assets(assets, disks, nodes)),
        _lost(narrow),
    )


def _lost(narrow: ir.Table) -> ir.Table:
    rows = narrow.filter(narrow.node_id.isnull())
    estimate = rows.cpu_cost + rows.ram_cost + rows.gpu_cost
    return rows.group_by("date", "node", "provider_id").aggregate(workloads=rows.count(), estimate=estimate.sum())


def _attach(kind: Kind, assets: ir.Table, narrow: ir.Table, keep: Keep) -> Attachments:
    entries = keep(find_assets(list_entries(kind, narrow), assets, kind.keys))
    attached = attach(kind, assets, entries)
    return Attachments(kind, keep(attached.assets), keep(attached.by_row))


def _shared_assets(assets: ir.Table, disks: ir.Table, nodes: ir.Table) -> ir.Table:
    """Return the assets that serve the cluster as a whole, with `node_name` where they belong to a node."""
    others = assets.filter(assets.asset_type.notin(["Node", "Disk", "LoadBalancer", "Network"]))
    own = disks.filter(disks.is_own)
    traffic = assets.filter(assets.asset_type == "Network")
    used = nodes.filter(nodes.workloads > 0).select(used_date="date", used_node="node_id")
    of_node = traffic.asset_id.re_replace("/network$", "")
    unused = traffic.anti_join(used, [traffic.date == used.used_date, of_node == used.used_node])
    return (
        others.mutate(node_name=ibis.null().cast("string"))
        .union(own.select(*assets.columns, node_name=own.name))
        .union(unused.mutate(node_name=unused.name))
    )


def reconcile_allocations(allocations: ir.Table, prices: Prices, last_settled: date) -> ir.Table:
    """Return the rows of `reconciled_allocations`, external ones aside, with `date`.

    Args:
        allocations: what `price_assets` was given, with all columns.
        prices: what it returned.
        last_settled: the last day that is settled.
    """
    rows = find_nodes(workloads(allocations), prices.assets)
    priced = price_workloads(rows, prices.nodes, prices.volumes, prices.load_balancers, last_settled)
    return priced.union(
        idle_rows(prices.nodes),
        unmounted_rows(prices.volumes),
        unserved_rows(prices.load_balancers),
        shared_rows(prices.shared),
    )
