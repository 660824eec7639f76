"""What a cluster believes it costs: the assets and allocations of one day, in the JSON shapes of Kubecost.

Estimates, at list price: a cluster knows neither the bill nor how its nodes were bought. Costs are decimals
of six places, and the idle cost of a node is what its containers leave, so that they add up exactly.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from kubecost_pipelines.demo.company import COMPANY
from kubecost_pipelines.demo.model import Cluster, Container, InstanceType, Node, Purchase, Workload

Item = dict[str, Any]
"""An asset or an allocation; its numbers are decimals."""

GIB = 2**30
ZERO = Decimal(0)

ASSET_SUMS = ("adjustment", "totalCost")
ALLOCATION_SUMS = (
    *("cpuCoreHours", "cpuCost", "cpuCostAdjustment", "gpuHours", "gpuCost", "gpuCostAdjustment"),
    *("networkTransferBytes", "networkReceiveBytes", "networkCost", "networkCrossZoneCost"),
    *("networkCrossRegionCost", "networkInternetCost", "networkCostAdjustment"),
    *("loadBalancerCost", "loadBalancerCostAdjustment", "pvByteHours", "pvCost", "pvCostAdjustment"),
    *("ramByteHours", "ramCost", "ramCostAdjustment", "sharedCost", "externalCost", "totalCost"),
)


def assets(cluster: Cluster, day: date) -> dict[str, Item]:
    """Return the cluster's nodes, disks, load balancers and management fee on a day, by asset key."""
    items = [*_nodes(cluster), *_disks(cluster), *_load_balancers(cluster), _management()]
    return {_asset_key(cluster, item): _whole_asset(cluster, item, day) for item in items}


def allocations(cluster: Cluster, day: date, *, with_idle: bool) -> dict[str, Item]:
    """Return the cost of every container on a day and, `with_idle`, of what each node has left, by name."""
    items = [_container_item(cluster, run, day) for run in _runs(cluster, day)]
    if with_idle:
        items += [_idle_item(cluster, node, items, day) for node in cluster.nodes]
    return {item["name"]: item for item in items}


def total(cluster: Cluster, items: Iterable[Item], names: Iterable[str], day: date) -> dict[str, Item]:
    """Return what `aggregate=cluster` answers: one item with the sums of `names`, or none."""
    items = list(items)
    sums = {name: sum((item.get(name, ZERO) for item in items), ZERO) for name in names}
    whole = {"name": cluster.name, "properties": {"cluster": cluster.name}, **_times(day), **sums}
    return {cluster.name: whole} if items else {}


def _nodes(cluster: Cluster) -> Iterator[Item]:
    for node in cluster.nodes:
        kind = node.instance_type
        cpu, ram = _node_costs(node)
        yield {
            **_properties("Node", "Compute", node.name, node.instance_id),
            "labels": {
                "label_env": cluster.env,
                "label_eks_amazonaws_com_nodegroup": node.purchase.value,
                "label_node_kubernetes_io_instance_type": kind.name,
                "label_topology_kubernetes_io_region": COMPANY.region,
                "label_topology_kubernetes_io_zone": node.zone,
            },
            "nodeType": kind.name,
            "cpuCores": Decimal(kind.cores),
            "ramBytes": Decimal(kind.gib * GIB),
            "cpuCoreHours": Decimal(24 * kind.cores),
            "ramByteHours": Decimal(24 * kind.gib * GIB),
            "GPUHours": ZERO,
            "cpuBreakdown": _breakdown(),
            "ramBreakdown": _breakdown(),
            "preemptible": Decimal(node.purchase is Purchase.SPOT),
            "discount": ZERO,
            "cpuCost": cpu,
            "gpuCost": ZERO,
            "gpuCount": ZERO,
            "ramCost": ram,
            "adjustment": ZERO,
            "totalCost": cpu + ram,
        }


def _disks(cluster: Cluster) -> Iterator[Item]:
    for volume in cluster.volumes:
        yield {
            **_properties("Disk", "Storage", volume.name, volume.volume_id),
            "byteHours": Decimal(24 * volume.gib * GIB),
            "bytes": Decimal(volume.gib * GIB),
            "byteHoursUsed": None,
            "byteUsageMax": None,
            "breakdown": _breakdown(),
            "adjustment": ZERO,
            "totalCost": 24 * volume.gib * COMPANY.estimated_volume_gib_hour_price,
            "storageClass": "gp3",
            "volumeName": volume.name,
            "claimName": volume.claim,
            "claimNamespace": volume.namespace,
        }


def _load_balancers(cluster: Cluster) -> Iterator[Item]:
    for balancer in cluster.load_balancers:
        yield {
            **_properties("LoadBalancer", "Network", balancer.service, balancer.provider_id),
            "adjustment": ZERO,
            "totalCost": 24 * COMPANY.estimated_load_balancer_hour_price,
            "private": False,
            "ip": balancer.hostname,
        }


def _management() -> Item:
    return {**_properties("ClusterManagement", "Management"), "totalCost": 24 * COMPANY.management_hour_price}


def _properties(kind: str, category: str, name: str = "", provider_id: str = "") -> Item:
    given = {"name": name, "providerID": provider_id}
    properties = {
        "category": category,
        "service": "Kubernetes",
    }
    return {"type": kind, "properties": properties | {key: value for key, value in given.items() if value}}


def _owner(cluster: Cluster) -> dict[str, str]:
    names = {"aws": "AWS", "gcp": "GCP", "azure": "Azure"}
    kind = "project" if cluster.provider == "gcp" else "account"
    return {"provider": names[cluster.provider], kind: cluster.account or COMPANY.account_id}


def _whole_asset(cluster: Cluster, item: Item, day: date) -> Item:
    properties = {**item["properties"], **_owner(cluster), "cluster": cluster.name}
    return {"labels": {}, **item, **_times(day), "properties": properties}


def _asset_key(cluster: Cluster, item: Item) -> str:
    of = {**item["properties"], **_owner(cluster), "cluster": cluster.name, "type": item["type"]}
    parts = ("provider", "account", "project", "category", "cluster", "type", "service", "providerID", "name")
    return "/".join(of.get(part, "__undefined__") for part in parts)


def _breakdown() -> dict[str, Decimal]:
    return dict.fromkeys(("idle", "other", "system", "user"), ZERO)


@dataclass(frozen=True)
class _Run:
    """A container that ran on a day, and how many share its pod's volume and its service's load balancer."""

    workload: Workload
    node: Node
    pod: str
    container: Container
    volume_sharers: int
    balancer_sharers: int


def _runs(cluster: Cluster, day: date) -> Iterator[_Run]:
    for workload in cluster.workloads:
        in_pod, in_service = len(workload.containers), len(workload.containers) * len(workload.nodes)
        for replica, index in enumerate(workload.nodes):
            pod = _pod_name(cluster, workload, replica, day)
            for container in workload.containers:
                yield _Run(workload, cluster.nodes[index], pod, container, in_pod, in_service)


def _container_item(cluster: Cluster, run: _Run, day: date) -> Item:
    workload, container, kind = run.workload, run.container, run.node.instance_type
    name = f"{cluster.name}/{run.node.name}/{workload.namespace}/{run.pod}/{container.name}"
    hours = workload.end_hour - workload.start_hour
    cores_used, gib_used = (asked * _load(f"{name}/{what}", day) for what, asked in _requests(container))
    cores, gib = max(container.cores, cores_used), max(container.gib, gib_used)
    cpu_cost = _money(cores * hours * _core_hour_price(kind))
    ram_cost = _money(gib * hours * COMPANY.ram_gib_hour_price)
    pvs, balancers = _volumes_of(cluster, run), _load_balancers_of(cluster, run)
    pv_cost = sum((pv["cost"] for pv in pvs.values()), ZERO)
    balancer_cost = sum((balancer["cost"] for balancer in balancers.values()), ZERO)
    cpu_efficiency, ram_efficiency = cores_used / container.cores, gib_used / container.gib
    return {
        "name": name,
        "properties": {
            "cluster": cluster.name,
            "node": run.node.name,
            "container": container.name,
            "controller": workload.name,
            "controllerKind": workload.kind,
            "namespace": workload.namespace,
            "pod": run.pod,
            **({"services": [workload.name]} if workload.service else {}),
            "providerID": run.node.instance_id,
            "labels": {"app": workload.name, "team": workload.team, "env": cluster.env},
            "namespaceLabels": {"kubernetes_io_metadata_name": workload.namespace},
        },
        **_times(day, workload.start_hour, workload.end_hour),
        "cpuCores": cores,
        "cpuCoreRequestAverage": container.cores,
        "cpuCoreUsageAverage": cores_used,
        "cpuCoreHours": cores * hours,
        "cpuCost": cpu_cost,
        "cpuEfficiency": cpu_efficiency,
        **_nothing(),
        "networkTransferBytes": _money(_load(f"{name}/sent", day) * hours * GIB / 100),
        "networkReceiveBytes": _money(_load(f"{name}/received", day) * hours * GIB / 50),
        "loadBalancerCost": balancer_cost,
        "pvBytes": sum((pv["byteHours"] for pv in pvs.values()), ZERO) / hours,
        "pvByteHours": sum((pv["byteHours"] for pv in pvs.values()), ZERO),
        "pvCost": pv_cost,
        "pvs": pvs or None,
        "ramBytes": gib * GIB,
        "ramByteRequestAverage": container.gib * GIB,
        "ramByteUsageAverage": gib_used * GIB,
        "ramByteHours": gib * GIB * hours,
        "ramCost": ram_cost,
        "ramEfficiency": ram_efficiency,
        "totalCost": cpu_cost + ram_cost + pv_cost + balancer_cost,
        "totalEfficiency": _efficiency(cpu_efficiency, cpu_cost, ram_efficiency, ram_cost),
        "rawAllocationOnly": {"cpuCoreUsageMax": cores_used, "ramByteUsageMax": gib_used * GIB},
        "lbAllocations": balancers or None,
    }


def _idle_item(cluster: Cluster, node: Node, items: Iterable[Item], day: date) -> Item:
    used = [item for item in items if item["properties"]["node"] == node.name]
    cpu_cost, ram_cost = _node_costs(node)
    cpu_cost -= sum((item["cpuCost"] for item in used), ZERO)
    ram_cost -= sum((item["ramCost"] for item in used), ZERO)
    core_hours = 24 * node.instance_type.cores - sum((item["cpuCoreHours"] for item in used), ZERO)
    byte_hours = 24 * node.instance_type.gib * GIB - sum((item["ramByteHours"] for item in used), ZERO)
    return {
        "name": f"{cluster.name}/{node.name}/__idle__",
        "properties": {"cluster": cluster.name, "node": node.name, "providerID": node.instance_id},
        **_times(day),
        "cpuCores": core_hours / 24,
        "cpuCoreRequestAverage": ZERO,
        "cpuCoreUsageAverage": ZERO,
        "cpuCoreHours": core_hours,
        "cpuCost": cpu_cost,
        "cpuEfficiency": ZERO,
        **_nothing(),
        "ramBytes": byte_hours / 24,
        "ramByteRequestAverage": ZERO,
        "ramByteUsageAverage": ZERO,
        "ramByteHours": byte_hours,
        "ramCost": ram_cost,
        "ramEfficiency": ZERO,
        "totalCost": cpu_cost + ram_cost,
        "totalEfficiency": ZERO,
        "rawAllocationOnly": None,
    }


def _nothing() -> Item:
    """Return the fields that are zero unless an item says otherwise: GPUs, network, volumes, adjustments."""
    zeros = (
        *("cpuCostAdjustment", "gpuCount", "gpuHours", "gpuCost", "gpuCostAdjustment", "gpuEfficiency"),
        *("networkTransferBytes", "networkReceiveBytes", "networkCost", "networkCrossZoneCost"),
        *("networkCrossRegionCost", "networkInternetCost", "networkCostAdjustment"),
        *(
            "loadBalancerCost",
            "loadBalancerCostAdjustment",
            "pvBytes",
            "pvByteHours",
            "pvCost",
            "pvCostAdjustment",
        ),
        *("ramCostAdjustment", "sharedCost", "externalCost"),
    )
    return {**dict.fromkeys(zeros, ZERO), "pvs": None, "lbAllocations": None}


def _volumes_of(cluster: Cluster, run: _Run) -> dict[str, Item]:
    claim = (run.workload.namespace, run.workload.name)
    return {
        f"cluster={cluster.name}:name={volume.name}": {
            "byteHours": Decimal(24 * volume.gib * GIB) / run.volume_sharers,
            "cost": 24 * volume.gib * COMPANY.estimated_volume_gib_hour_price / run.volume_sharers,
            "providerID": volume.volume_id,
            "adjustment": ZERO,
        }
        for volume in cluster.volumes
        if (volume.namespace, volume.claim) == claim
    }


def _load_balancers_of(cluster: Cluster, run: _Run) -> dict[str, Item]:
    service = run.workload.service
    return {
        f"{cluster.name}/{service}": {
            "service": service,
            "cost": 24 * COMPANY.estimated_load_balancer_hour_price / run.balancer_sharers,
            "private": False,
            "ip": balancer.hostname,
            "hours": Decimal(24),
            "adjustment": ZERO,
        }
        for balancer in cluster.load_balancers
        if balancer.service == service
    }


def _node_costs(node: Node) -> tuple[Decimal, Decimal]:
    """Return the list price of a node's CPU and of its RAM for a day."""
    kind = node.instance_type
    return 24 * kind.cores * _core_hour_price(kind), 24 * kind.gib * COMPANY.ram_gib_hour_price


def _core_hour_price(kind: InstanceType) -> Decimal:
    return (kind.hour_price - kind.gib * COMPANY.ram_gib_hour_price) / kind.cores


def _requests(container: Container) -> tuple[tuple[str, Decimal], tuple[str, Decimal]]:
    return ("cpu", container.cores), ("ram", container.gib)


def _efficiency(cpu: Decimal, cpu_cost: Decimal, ram: Decimal, ram_cost: Decimal) -> Decimal:
    return round((cpu * cpu_cost + ram * ram_cost) / (cpu_cost + ram_cost), 5)


def _load(name: str, day: date) -> Decimal:
    """Return how much of its request something uses on a day: 0.60 to 1.15, the same every time."""
    return Decimal(60 + int(_digest(f"{name}|{day}"), 16) % 56) / 100


def _pod_name(cluster: Cluster, workload: Workload, replica: int, day: date) -> str:
    suffix = _digest(f"{cluster.name}/{workload.namespace}/{workload.name}/{replica}")
    match workload.kind:
        case "statefulset":
            return f"{workload.name}-{replica}"
        case "daemonset":
            return f"{workload.name}-{suffix[:5]}"
        case "job":
            return f"{workload.name}-{day:%Y%m%d}-{suffix[:5]}"
        case _:
            replica_set = _digest(f"{cluster.name}/{workload.namespace}/{workload.name}")
            return f"{workload.name}-{replica_set[:10]}-{suffix[:5]}"


def _times(day: date, start_hour: int = 0, end_hour: int = 24) -> Item:
    midnight = datetime.combine(day, time(), UTC)
    return {
        "window": {"start": _hour(midnight, 0), "end": _hour(midnight, 24)},
        "start": _hour(midnight, start_hour),
        "end": _hour(midnight, end_hour),
        "minutes": Decimal(60 * (end_hour - start_hour)),
    }


def _hour(midnight: datetime, hour: int) -> str:
    return f"{midnight + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"


def _money(amount: Decimal) -> Decimal:
    return round(amount, 6)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
