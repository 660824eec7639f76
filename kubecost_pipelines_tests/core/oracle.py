"""A second opinion on workload costs: the rules of docs/reconciliation.md in plain Python, container by container."""

from collections import defaultdict
from typing import Any

Row = dict[str, Any]
RESOURCES = {"cpu": "cpu_core_hours", "ram": "ram_byte_hours", "gpu": "gpu_hours"}


def cost_of_day(assets: list[Row], allocations: list[Row]) -> dict[tuple[str, str], float]:
    """Return (allocation type, name) -> total cost, for one cluster and day; names are those of the rows."""
    nodes = [asset for asset in assets if asset["asset_type"] == "Node"]
    costs: dict[tuple[str, str], float] = defaultdict(float)
    homes = [_home(one, nodes) for one in allocations]
    for one in allocations:
        costs["workload", one["name"]] += 0.0
    for node in nodes:
        mine = [one for one, home in zip(allocations, homes, strict=True) if home is node]
        _node(node, mine, costs)
        _network(node, assets, mine, costs)
    own = [disk for disk in assets if disk["asset_type"] == "Disk" and _is_own(disk, nodes)]
    volumes = [disk for disk in assets if disk["asset_type"] == "Disk" and disk not in own]
    balancers = [asset for asset in assets if asset["asset_type"] == "LoadBalancer"]
    _volumes(volumes, allocations, costs)
    _balancers(balancers, allocations, costs)
    for asset in [*own, *(one for one in assets if one["asset_type"] == "ClusterManagement")]:
        costs["shared", f"prod/__shared__/{asset['asset_type']}" + (f"/{asset['name']}" if asset["name"] else "")] += (
            asset["total_cost"]
        )
    return dict(costs)


def _first(assets: list[Row], key: str, value: Any) -> Row | None:
    found = [asset for asset in assets if value and asset.get(key) == value]
    return min(found, key=lambda asset: asset["asset_id"]) if found else None


def _home(one: Row, nodes: list[Row]) -> Row | None:
    return _first(nodes, "provider_id", one.get("provider_id")) or _first(nodes, "name", one.get("node"))


def _node(node: Row, mine: list[Row], costs: dict[tuple[str, str], float]) -> None:
    keep = 1 - node["discount"]
    listed = {"cpu": node["cpu_cost"] * keep, "ram": node["ram_cost"] * keep, "gpu": node["gpu_cost"]}
    whole, idle = sum(listed.values()), 0.0
    for name, hours in RESOURCES.items():
        part = node["total_cost"] * listed[name] / whole if whole > 0 else node["total_cost"] if name == "cpu" else 0.0
        used = sum(one[hours] for one in mine)
        available = max(node[hours], used)
        if available == 0:
            idle += part
            continue
        for one in mine:
            costs["workload", one["name"]] += part * one[hours] / available
        idle += part * (available - used) / available
    costs["idle", f"prod/{node['name']}/__idle__"] += idle


def _network(node: Row, assets: list[Row], mine: list[Row], costs: dict[tuple[str, str], float]) -> None:
    traffic = [a for a in assets if a["asset_type"] == "Network" and a["asset_id"] == node["asset_id"] + "/network"]
    for asset in traffic:
        if not mine:
            costs["shared", f"prod/__shared__/Network/{asset['name']}"] += asset["total_cost"]
            continue
        for weigh in (
            lambda one: one["network_cost"],
            lambda one: one["network_transfer_bytes"] + one["network_receive_bytes"],
            lambda one: one["minutes"],
            lambda one: 1.0,
        ):
            whole = sum(weigh(one) for one in mine)
            if whole > 0:
                for one in mine:
                    costs["workload", one["name"]] += asset["total_cost"] * weigh(one) / whole
                break


def _is_own(disk: Row, nodes: list[Row]) -> bool:
    if disk.get("volume_name") or disk.get("claim_name"):
        return False
    return bool(
        disk.get("storage_class") == "__local__"
        or _first(nodes, "name", disk["name"])
        or _first(nodes, "provider_id", disk["name"])
        or _first(nodes, "provider_id", disk.get("provider_id"))
    )


def _volumes(disks: list[Row], allocations: list[Row], costs: dict[tuple[str, str], float]) -> None:
    volumes = [{**disk, "volume": disk.get("volume_name") or disk["name"]} for disk in disks]
    for disk in volumes:
        mounts = []
        for one in allocations:
            for entry in one["pvs"]:
                found = _first(volumes, "volume", entry["name"]) or _first(volumes, "provider_id", entry["provider_id"])
                if found is disk:
                    mounts.append((one, entry))
        used = sum(entry["byte_hours"] for _, entry in mounts)
        left = 1.0
        if used > 0:
            whole = disk["byte_hours"] if used < disk["byte_hours"] * (1 - 1e-6) else used
            left = (whole - used) / whole
            for one, entry in mounts:
                costs["workload", one["name"]] += disk["total_cost"] * entry["byte_hours"] / whole
        elif mounts:
            left = 0.0
            for one, _ in mounts:
                costs["workload", one["name"]] += disk["total_cost"] / len(mounts)
        if left > 0:
            namespace = disk.get("claim_namespace") or "__unmounted__"
            costs["unmounted", f"prod/{namespace}/__unmounted__/{disk['volume']}"] += disk["total_cost"] * left


def _balancers(balancers: list[Row], allocations: list[Row], costs: dict[tuple[str, str], float]) -> None:
    for balancer in balancers:
        uses = []
        for one in allocations:
            for entry in one["load_balancers"]:
                found = _first(balancers, "name", entry["service"]) or _first(balancers, "provider_id", entry["ip"])
                if found is balancer:
                    uses.append((one, entry["hours"]))
        hours = sum(used for _, used in uses)
        for one, used in uses:
            costs["workload", one["name"]] += balancer["total_cost"] * (used / hours if hours > 0 else 1 / len(uses))
        if not uses:
            namespace = balancer["name"].split("/")[0] if "/" in balancer["name"] else "__unmounted__"
            costs["unmounted", f"prod/{namespace}/__unmounted__/{balancer['name']}"] += balancer["total_cost"]
