"""A cluster's answer to measure with: the allocations of one day, about 2.5 kB each, in Kubecost's JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

CLUSTER = "prod-1"
SEED = 20261005
START, END = "2026-10-05T00:00:00Z", "2026-10-06T00:00:00Z"
LABELS = ("app", "app_kubernetes_io_name", "app_kubernetes_io_instance", "helm_sh_chart", "pod_template_hash", "team")
ANNOTATIONS = {"prometheus_io_scrape": "true", "prometheus_io_port": "8080"}


def write_answer(file: Path, count: int, volume_share: float = 1 / 12, rare_labels: float = 0) -> None:
    """Write one day of `count` allocations; one container in thirty is balanced.

    Args:
        file: to write.
        count: how many.
        volume_share: share of the containers that mount a volume.
        rare_labels: how many different keys there are on a tenth of the containers.
    """
    random = Random(SEED)
    mounts_every = round(1 / volume_share) if volume_share else 0
    with file.open("w", encoding="utf-8") as out:
        out.write('{"code":200,"status":"success","data":[{')
        for number, item in enumerate(_items(random, count, mounts_every, int(rare_labels))):
            out.write(f"{',' if number else ''}{json.dumps(item['name'])}:{json.dumps(item, separators=(',', ':'))}")
        out.write("}]}")


def _items(random: Random, count: int, mounts_every: int, rare_labels: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        app, namespace, node = (
            f"app-{number // 40}",
            f"namespace-{number // 900}",
            f"ip-10-0-{number // 25}.ec2.internal",
        )
        pod = f"{app}-{random.getrandbits(40):010x}-{number % 40:05d}"
        name = f"{CLUSTER}/{node}/{namespace}/{pod}/server"
        costs = {kind: round(random.random(), 5) for kind in ("cpu", "ram", "network", "loadBalancer", "pv")}
        hours = round(24 * random.random(), 5)
        yield {
            "name": name,
            "properties": {
                "cluster": CLUSTER,
                "node": node,
                "container": "server",
                "controller": app,
                "controllerKind": "deployment",
                "namespace": namespace,
                "pod": pod,
                "services": [app],
                "providerID": f"i-{number // 25:017x}",
                "labels": {key: f"{app}-{key}" for key in LABELS} | _rare(number, rare_labels),
                # No two containers have the same checksum: the worst for the size of a file.
                "annotations": ANNOTATIONS | {"checksum_config": f"{random.getrandbits(128):032x}"},
                "namespaceLabels": {"kubernetes_io_metadata_name": namespace, "team": f"team-{number % 20}"},
            },
            "window": {"start": START, "end": END},
            "start": START,
            "end": END,
            "minutes": 1440.0,
            **_resource("cpuCore", "cpu", costs["cpu"], hours),
            **_resource("ramByte", "ram", costs["ram"], hours * 2**30),
            "gpuCount": 0,
            "gpuHours": 0,
            "gpuCost": 0,
            "gpuCostAdjustment": 0,
            "gpuEfficiency": None,
            "networkTransferBytes": random.random() * 2**30,
            "networkReceiveBytes": random.random() * 2**30,
            "networkCost": costs["network"],
            "networkCrossZoneCost": 0,
            "networkCrossRegionCost": 0,
            "networkInternetCost": costs["network"],
            "networkCostAdjustment": 0,
            "loadBalancerCost": costs["loadBalancer"],
            "loadBalancerCostAdjustment": 0,
            "pvBytes": 10.0 * 2**30,
            "pvByteHours": 240.0 * 2**30,
            "pvCost": costs["pv"],
            "pvCostAdjustment": 0,
            "pvs": _volumes(pod, costs["pv"]) if mounts_every and number % mounts_every == 0 else {},
            "sharedCost": 0,
            "externalCost": 0,
            "totalCost": sum(costs.values()),
            "totalEfficiency": random.random(),
            "rawAllocationOnly": {"cpuCoreUsageMax": random.random(), "ramByteUsageMax": random.random() * 2**30},
            "lbAllocations": _balancers(namespace, app, costs["loadBalancer"]) if number % 30 == 0 else {},
        }


def _rare(number: int, keys: int) -> dict[str, str]:
    return {f"rare_label_{number // 10 % keys}": "x"} if keys and number % 10 == 0 else {}


def _resource(unit: str, kind: str, cost: float, hours: float) -> dict[str, float]:
    return {
        f"{unit}s": hours / 24,
        f"{unit}RequestAverage": hours / 24,
        f"{unit}UsageAverage": hours / 48,
        f"{unit}Hours": hours,
        f"{kind}Cost": cost,
        f"{kind}CostAdjustment": 0,
        f"{kind}Efficiency": 0.5,
    }


def _volumes(pod: str, cost: float) -> dict[str, Any]:
    key = f"cluster={CLUSTER}:name=pvc-{pod}"
    return {key: {"byteHours": 240.0 * 2**30, "cost": cost, "providerID": f"vol-{pod}", "adjustment": 0}}


def _balancers(namespace: str, app: str, cost: float) -> dict[str, Any]:
    service = f"{namespace}/{app}"
    return {
        service: {"service": service, "cost": cost, "private": False, "ip": f"{app}.elb", "hours": 24, "adjustment": 0}
    }
