"""Unused: what a cluster costs that no workload used, as rows of their own.

`__idle__` per node, `__unmounted__` per volume (and load balancer) that nobody used, `__shared__` for what the cluster
needs as a whole: its management fee, the nodes' own disks, traffic of a node on which nothing ran. With the workloads
they add up to the cluster's assets. Nothing here decides who pays for them: `sharing` does, when somebody asks.
"""

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.allocating import HOURS, shape
from kubecost_pipelines.core.attaching import Attachments
from kubecost_pipelines.core.tables import RECONCILED_ALLOCATIONS

_MAPS = ("labels", "annotations", "namespace_labels", "namespace_annotations")
IDLE, UNMOUNTED, SHARED, EXTERNAL = "__idle__", "__unmounted__", "__shared__", "__external__"


def idle_rows(nodes: ir.Table) -> ir.Table:
    """Return one row per node: what of it nobody asked for, per resource, at the node's own price.

    `<x>_cost` is what its list price leaves after the workloads' estimates. No negative idle: a node that its
    workloads took more of than it has is theirs alone.

    Args:
        nodes: what `price_nodes` returns.
    """
    hours = (nodes.minutes / 60).nullif(0.0)
    costs = {f"{name}_cost": nodes[f"{name}_idle_estimate"] for name in HOURS}
    adjustments = {f"{name}_cost_adjustment": nodes[f"{name}_idle"] - nodes[f"{name}_idle_estimate"] for name in HOURS}
    return _special(
        nodes,
        "idle",
        {
            "name": nodes.cluster + "/" + nodes.name + f"/{IDLE}",
            "node": nodes.name,
            "namespace": ibis.literal(IDLE),
            **{amount: nodes[f"{name}_idle_hours"] for name, amount in HOURS.items()},
            "cpu_cores": nodes.cpu_idle_hours / hours,
            "ram_bytes": nodes.ram_idle_hours / hours,
            "gpu_count": nodes.gpu_idle_hours / hours,
            **costs,
            **adjustments,
            "total_cost": nodes.cpu_idle + nodes.ram_idle + nodes.gpu_idle,
        },
    )


def unmounted_rows(volumes: Attachments) -> ir.Table:
    """Return one row per volume that nothing mounted, or not all the time: the rest of its byte-hours."""
    disks = volumes.assets.filter(volumes.assets.unused_share > 0)
    volume = ibis.coalesce(disks.volume_name, disks.name)
    adjustment = disks.unused_cost - disks.unused_estimate
    entry = ibis.struct(
        {
            "name": volume,
            "provider_id": disks.provider_id,
            "byte_hours": disks.unused_amount,
            "cost": disks.unused_estimate,
            "adjustment": adjustment,
        }
    )
    return _special(
        disks,
        "unmounted",
        {
            **_unmounted(disks, disks.claim_namespace, volume),
            "pv_bytes": disks.unused_amount / (disks.minutes / 60).nullif(0.0),
            "pv_byte_hours": disks.unused_amount,
            "pv_cost": disks.unused_estimate,
            "pv_cost_adjustment": adjustment,
            "total_cost": disks.unused_cost,
            "pvs": ibis.array([entry]),
        },
    )


def unserved_rows(load_balancers: Attachments) -> ir.Table:
    """Return one row per load balancer that no pod stands behind; OpenCost calls that unmounted as well."""
    idle = load_balancers.assets.filter(load_balancers.assets.unused_share > 0)
    namespace = namespace_of(idle)
    return _special(
        idle,
        "unmounted",
        {
            **_unmounted(idle, namespace, idle.name),
            "load_balancer_cost": idle.unused_estimate,
            "load_balancer_cost_adjustment": idle.unused_cost - idle.unused_estimate,
            "total_cost": idle.unused_cost,
        },
    )


def namespace_of(load_balancers: ir.Table) -> ir.StringValue:
    """Return the namespace of a load balancer's service; null where its name tells none."""
    name = load_balancers.name
    return ibis.ifelse(name.contains("/"), name.re_replace("/.*", ""), None)


def _unmounted(assets: ir.Table, namespace: ir.StringValue, what: ir.StringValue) -> dict[str, ir.Value]:
    namespace = namespace.fill_null(UNMOUNTED)
    return {
        "name": assets.cluster + "/" + namespace + f"/{UNMOUNTED}/" + what,
        "namespace": namespace,
        "pod": ibis.literal(UNMOUNTED),
        "container": ibis.literal(UNMOUNTED),
    }


def shared_rows(assets: ir.Table) -> ir.Table:
    """Return one row per asset that serves the cluster as a whole, its total in `shared_cost`.

    Args:
        assets: rows of `asset_costs`, with `node_name` where they belong to a node.
    """
    what = assets.name.nullif("")
    return _special(
        assets,
        "shared",
        {
            "name": assets.cluster + f"/{SHARED}/" + assets.asset_type + ("/" + what).fill_null(""),
            "node": assets.node_name,
            "namespace": ibis.literal(SHARED),
            "shared_cost": assets.total_cost,
            "total_cost": assets.total_cost,
        },
    )


def _special(assets: ir.Table, allocation_type: str, values: dict[str, ir.Value]) -> ir.Table:
    """Return rows with the identity of their asset, no amounts but those of `values`, and nothing of a workload."""
    of_asset = ("cluster", "provider_id", "start", "end", "minutes", "currency", "is_settled", "cost_basis")
    schema = RECONCILED_ALLOCATIONS.schema()
    nothing = {
        name: ibis.literal(0.0) for name, type_ in schema.items() if type_.is_float64() and "efficiency" not in name
    }
    empty = {name: ibis.literal({}, type=schema[name]) for name in _MAPS}
    empty |= {name: ibis.literal([], type=schema[name]) for name in ("services", "pvs", "load_balancers")}
    identity = {name: assets[name] for name in of_asset}
    absent = {name: ibis.null() for name in schema}
    marks = {
        "allocation_type": ibis.literal(allocation_type),
        "is_reconciled": assets.cost_basis == "billed",
    }
    return shape(assets, {**absent, **nothing, **empty, **identity, **marks, **values})
