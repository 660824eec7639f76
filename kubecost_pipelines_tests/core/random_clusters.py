"""Random cluster-days, with everything that can be odd about one: no cost, no capacity, no name, nobody home."""

from datetime import date, timedelta
from random import Random
from typing import Any

Row = dict[str, Any]
FIRST = date(2026, 1, 1)


def random_days(seed: int, days: int) -> list[tuple[date, list[Row], list[Row]]]:
    """Return (day, assets, allocations), each a day of the cluster `prod`."""
    random = Random(seed)
    return [(day, *_day(random, day)) for day in (FIRST + timedelta(days=number) for number in range(days))]


def _some(random: Random, most: float) -> float:
    return random.choice([0.0, random.uniform(0, most), random.uniform(0, most)])


def _day(random: Random, day: date) -> tuple[list[Row], list[Row]]:
    nodes = [_node(random, number) for number in range(random.randint(0, 4))]
    traffic = [
        _asset("Network", random, name=node["name"], provider_id=node["provider_id"], of=node["asset_id"])
        for node in nodes
        if random.random() < 0.6
    ]
    disks = [_disk(random, number) for number in range(random.randint(0, 4))]
    own = [
        _asset(
            "Disk", random, name=node["name"], provider_id=random.choice([None, node["provider_id"]]), byte_hours=24.0
        )
        for node in nodes
        if random.random() < 0.5
    ]
    balancers = [
        _asset(
            "LoadBalancer", random, name=random.choice([f"web/svc{number}", f"lb{number}"]), provider_id=f"ip{number}"
        )
        for number in range(random.randint(0, 2))
    ]
    fee = [_asset("ClusterManagement", random, name="", provider_id=None)] if random.random() < 0.7 else []
    allocations = [_allocation(random, number) for number in range(random.randint(0, 12))]
    rows = [*nodes, *traffic, *disks, *own, *balancers, *fee]
    return [{"date": day, **row} for row in rows], [{"date": day, **row} for row in allocations]


def _asset(asset_type: str, random: Random, of: str = "", **more: Any) -> Row:
    name = more.get("name", "")
    asset_id = f"{of}/network" if of else f"prod/{asset_type}/{more.get('provider_id') or ''}/{name}"
    cost = _some(random, 5)
    return {
        "asset_type": asset_type,
        "asset_id": asset_id,
        "cost": cost,
        "total_cost": random.choice([cost, _some(random, 5)]),
        **more,
    }


def _node(random: Random, number: int) -> Row:
    return _asset(
        "Node",
        random,
        name=random.choice([f"node{number}", f"node{number}", "node0"]),
        provider_id=random.choice([f"i-{number}", f"i-{number}", None]) or f"i-x{number}",
        minutes=random.choice([0.0, 720.0, 1440.0]),
        cpu_core_hours=_some(random, 48),
        ram_byte_hours=_some(random, 2e11),
        gpu_hours=random.choice([0.0, 0.0, 24.0]),
        cpu_cost=_some(random, 3),
        ram_cost=_some(random, 2),
        gpu_cost=random.choice([0.0, 0.0, 7.0]),
        discount=random.choice([0.0, 0.3, 1.0]),
    )


def _disk(random: Random, number: int) -> Row:
    return _asset(
        "Disk",
        random,
        name=f"pvc-{number}",
        provider_id=f"vol-{number}",
        volume_name=random.choice([None, f"pvc-{number}"]),
        claim_namespace=random.choice([None, "web"]),
        claim_name=random.choice([None, "data"]),
        byte_hours=_some(random, 1e12),
    )


def _allocation(random: Random, number: int) -> Row:
    where = random.randint(0, 5)
    return {
        "name": f"prod/{number}",
        "namespace": "web",
        "pod": f"pod{number}",
        "container": "main",
        "node": random.choice([f"node{where}", f"node{where}", None]),
        "provider_id": random.choice([f"i-{where}", f"i-{where}", None]),
        "minutes": random.choice([0.0, 720.0, 1440.0]),
        "cpu_core_hours": _some(random, 24),
        "ram_byte_hours": _some(random, 1e11),
        "gpu_hours": random.choice([0.0, 0.0, 24.0]),
        "cpu_cost": _some(random, 1),
        "ram_cost": _some(random, 1),
        "gpu_cost": 0.0,
        "network_cost": random.choice([0.0, 0.0, 0.5]),
        "network_transfer_bytes": random.choice([0.0, 0.0, 1e9]),
        "network_receive_bytes": random.choice([0.0, 0.0, 1e9]),
        "pvs": [_mount(random) for _ in range(random.choice([0, 0, 1, 2]))],
        "load_balancers": [_use(random) for _ in range(random.choice([0, 0, 1, 2]))],
    }


def _mount(random: Random) -> Row:
    number = random.randint(0, 4)
    return {
        "name": random.choice([f"pvc-{number}", "unknown"]),
        "provider_id": random.choice([f"vol-{number}", None]),
        "byte_hours": _some(random, 1e12),
        "cost": _some(random, 1),
    }


def _use(random: Random) -> Row:
    number = random.randint(0, 3)
    return {
        "name": f"prod/web/svc{number}",
        "service": random.choice([f"web/svc{number}", None]),
        "ip": random.choice([f"ip{number}", None]),
        "is_private": False,
        "hours": _some(random, 24),
        "cost": _some(random, 1),
    }
