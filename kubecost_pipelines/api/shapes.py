"""Shapes: items as the JSON and the CSV that clients of Kubecost and OpenCost read.

Fields: OpenCost `core/pkg/opencost/allocation_json.go`, `asset_json.go`, `cloudcost.go`. Ours on top: `reconciled` and
`settled`. Costs have nine decimals, where theirs have five, so that items add up to their total; a number that is none
is null.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from kubecost_pipelines.operations.costs.allocations import Item, ItemSet
from kubecost_pipelines.operations.costs.assets import Asset, AssetSet
from kubecost_pipelines.operations.costs.cloud_costs import METRICS, CloudCost, CloudCostSet
from kubecost_pipelines.operations.costs.questions import HOURS_PER_MONTH

DECIMALS = 9
Json = dict[str, Any]

_CAMEL = {
    "cpu": "cpuCost",
    "gpu": "gpuCost",
    "ram": "ramCost",
    "network": "networkCost",
    "load_balancer": "loadBalancerCost",
    "pv": "pvCost",
}
_PROPERTIES = {
    "cluster": "cluster",
    "node": "node",
    "container": "container",
    "controller": "controller",
    "controller_kind": "controllerKind",
    "namespace": "namespace",
    "pod": "pod",
    "services": "services",
    "provider_id": "providerID",
    "labels": "labels",
    "annotations": "annotations",
}


def window_json(start: date, end: date) -> Json:
    """Return `[start, end)` in UTC."""
    return {"start": f"{start}T00:00:00Z", "end": f"{end}T00:00:00Z"}


def rate(metric: str, hours: float) -> float:
    """Return what a cost of so many hours is multiplied by to be per hour, day or month."""
    per = {"hourly": 1, "daily": 24, "monthly": HOURS_PER_MONTH}.get(metric)
    return per / hours if per and hours else 1.0


def allocation_json(item: Item, one: ItemSet, factor: float = 1.0) -> Json:
    """Return one allocation."""
    v = item.values
    start, end, minutes = _span(v, one.start, one.end)
    hours = minutes / 60
    cpu_request, cpu_usage = (_per(v[f"cpu_{of}_minutes"], minutes) for of in ("request", "usage"))
    ram_request, ram_usage = (_per(v[f"ram_{of}_minutes"], minutes) for of in ("request", "usage"))
    cpu_efficiency = _efficiency(cpu_usage, cpu_request, v["cpu_cost"])
    ram_efficiency = _efficiency(ram_usage, ram_request, v["ram_cost"])
    costs = {
        f"{x}{suffix}": _number(v[f"{x}{suffix}"] * factor) for x in _CAMEL for suffix in ("_cost", "_cost_adjustment")
    }
    return {
        "name": item.name,
        "properties": {theirs: v[ours] for ours, theirs in _PROPERTIES.items() if v.get(ours)},
        "window": window_json(one.start, one.end),
        "start": start,
        "end": end,
        "minutes": _number(minutes),
        "cpuCores": _number(_per(v["cpu_core_hours"], hours)),
        "cpuCoreRequestAverage": _number(cpu_request),
        "cpuCoreUsageAverage": _number(cpu_usage),
        "cpuCoreHours": _number(v["cpu_core_hours"]),
        "cpuCost": costs["cpu_cost"],
        "cpuCostAdjustment": costs["cpu_cost_adjustment"],
        "cpuEfficiency": _number(cpu_efficiency),
        "gpuCount": _number(_per(v["gpu_hours"], hours)),
        "gpuHours": _number(v["gpu_hours"]),
        "gpuCost": costs["gpu_cost"],
        "gpuCostAdjustment": costs["gpu_cost_adjustment"],
        "networkTransferBytes": _number(v["network_transfer_bytes"]),
        "networkReceiveBytes": _number(v["network_receive_bytes"]),
        "networkCost": costs["network_cost"],
        "networkCrossZoneCost": _number(v["network_cross_zone_cost"] * factor),
        "networkCrossRegionCost": _number(v["network_cross_region_cost"] * factor),
        "networkInternetCost": _number(v["network_internet_cost"] * factor),
        "networkCostAdjustment": costs["network_cost_adjustment"],
        "loadBalancerCost": costs["load_balancer_cost"],
        "loadBalancerCostAdjustment": costs["load_balancer_cost_adjustment"],
        "pvBytes": _number(_per(v["pv_byte_hours"], hours)),
        "pvByteHours": _number(v["pv_byte_hours"]),
        "pvCost": costs["pv_cost"],
        "pvs": _volumes(v.get("pvs"), v.get("cluster")),
        "pvCostAdjustment": costs["pv_cost_adjustment"],
        "ramBytes": _number(_per(v["ram_byte_hours"], hours)),
        "ramByteRequestAverage": _number(ram_request),
        "ramByteUsageAverage": _number(ram_usage),
        "ramByteHours": _number(v["ram_byte_hours"]),
        "ramCost": costs["ram_cost"],
        "ramCostAdjustment": costs["ram_cost_adjustment"],
        "ramEfficiency": _number(ram_efficiency),
        "sharedCost": _number(v["shared_cost"] * factor),
        "externalCost": _number(v["external_cost"] * factor),
        "totalCost": _number(v["total_cost"] * factor),
        "totalEfficiency": _number(_weighted(v, cpu_efficiency, ram_efficiency)),
        "lbAllocations": _balancers(v.get("load_balancers")),
        "rawAllocationOnly": None,
        "reconciled": v["is_reconciled"],
        "settled": v["is_settled"],
        "currency": v["currency"],
    }


def summary_json(item: Item, one: ItemSet, factor: float = 1.0) -> Json:
    """Return one allocation of `/allocation/summary`: adjustments are part of the costs."""
    v = item.values
    start, end, minutes = _span(v, one.start, one.end)
    cpu_request, cpu_usage = (_per(v[f"cpu_{of}_minutes"], minutes) for of in ("request", "usage"))
    ram_request, ram_usage = (_per(v[f"ram_{of}_minutes"], minutes) for of in ("request", "usage"))
    costs = {
        theirs: _number((v[f"{ours}_cost"] + v[f"{ours}_cost_adjustment"]) * factor) for ours, theirs in _CAMEL.items()
    }
    efficiencies = (
        _efficiency(cpu_usage, cpu_request, v["cpu_cost"]),
        _efficiency(ram_usage, ram_request, v["ram_cost"]),
    )
    return {
        "name": item.name,
        "start": start,
        "end": end,
        "cpuCoreRequestAverage": _number(cpu_request),
        "cpuCoreUsageAverage": _number(cpu_usage),
        "ramByteRequestAverage": _number(ram_request),
        "ramByteUsageAverage": _number(ram_usage),
        **costs,
        "sharedCost": _number(v["shared_cost"] * factor),
        "externalCost": _number(v["external_cost"] * factor),
        "totalCost": _number(v["total_cost"] * factor),
        "totalEfficiency": _number(_weighted(v, *efficiencies)),
        "reconciled": v["is_reconciled"],
        "settled": v["is_settled"],
    }


def asset_json(asset: Asset, one: AssetSet) -> Json:
    """Return one asset, with the fields of its type."""
    v = asset.values
    start, end, minutes = _span(v, one.start, one.end)
    properties = {
        "category": v["category"],
        "provider": v["provider"],
        "account": v["account"],
        "project": v["account"] if v["provider"] == "GCP" else None,
        "service": v["service"],
        "cluster": v["cluster"],
        "name": v["name"],
        "providerID": v["provider_id"],
    }
    common: Json = {
        **({"type": v["asset_type"]} if v["asset_type"] else {}),
        "properties": {name: value for name, value in properties.items() if value},
        "labels": v["labels"] or {},
        "window": window_json(one.start, one.end),
        "start": start,
        "end": end,
        "minutes": _number(minutes),
    }
    adjustment = {} if v["asset_type"] == "ClusterManagement" else {"adjustment": _number(v["adjustment"])}
    ours = {
        "totalCost": _number(asset.total),
        "reconciled": v["is_reconciled"],
        "settled": v["is_settled"],
        "matchRule": v["match_rule"],
        "currency": v["currency"],
    }
    return {**common, **_of_type(v, minutes / 60), **adjustment, **ours}


def _of_type(v: Json, hours: float) -> Json:
    if v["asset_type"] == "Node":
        estimate = v["cpu_cost"] + v["ram_cost"]
        return {
            "nodeType": v["node_type"] or "",
            "cpuCores": _number(_per(v["cpu_core_hours"], hours)),
            "ramBytes": _number(_per(v["ram_byte_hours"], hours)),
            "cpuCoreHours": _number(v["cpu_core_hours"]),
            "ramByteHours": _number(v["ram_byte_hours"]),
            "GPUHours": _number(v["gpu_hours"]),
            "preemptible": _number(v["spot_share"] or 0.0),
            "discount": _number(v["discounted"] / estimate if estimate else 0.0),
            "cpuCost": _number(v["cpu_cost"]),
            "gpuCost": _number(v["gpu_cost"]),
            "gpuCount": _number(_per(v["gpu_hours"], hours)),
            "ramCost": _number(v["ram_cost"]),
        }
    if v["asset_type"] == "Disk":
        return {
            "byteHours": _number(v["byte_hours"]),
            "bytes": _number(_per(v["byte_hours"], hours)),
            "byteHoursUsed": None,
            "byteUsageMax": None,
            **{
                theirs: v[ours] or ""
                for ours, theirs in (
                    ("storage_class", "storageClass"),
                    ("volume_name", "volumeName"),
                    ("claim_name", "claimName"),
                    ("claim_namespace", "claimNamespace"),
                )
            },
        }
    return {"credit": _number(v["credit"])} if v["asset_type"] == "Cloud" else {}


def cloud_cost_json(item: CloudCost, one: CloudCostSet) -> Json:
    """Return the charges of one name."""
    v = item.properties
    properties = {
        "providerID": v.get("provider_id"),
        "provider": v.get("provider"),
        "accountID": v.get("account_id"),
        "invoiceEntityID": v.get("invoice_entity_id"),
        "regionID": v.get("region_id"),
        "availabilityZone": v.get("availability_zone"),
        "service": v.get("service"),
        "category": v.get("category"),
        "labels": v.get("labels"),
    }
    return {
        "properties": {name: value for name, value in properties.items() if value},
        "window": window_json(one.start, one.end),
        **{
            metric: {"cost": _number(item.cost(metric)), "kubernetesPercent": _number(item.kubernetes_share(metric))}
            for metric in METRICS
        },
        # A bill is what was billed: there is nothing to reconcile it with.
        "reconciled": True,
        "currency": v.get("currency"),
    }


def view_row(item: CloudCost, metric: str) -> Json:
    """Return a line of `/cloudCost/view/table`."""
    return {
        "name": item.name,
        "labels": item.properties.get("labels") or {},
        "kubernetesPercent": _number(item.kubernetes_share(metric)),
        "cost": _number(item.cost(metric)),
    }


def as_csv(rows: Sequence[Json]) -> str:
    """Return rows as CSV; what a spreadsheet would take for a formula becomes text."""
    flat = [dict(_flatten(row)) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in flat)
    return out.getvalue()


def _flatten(row: Json, prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict) and name not in ("labels", "annotations", "pvs", "lbAllocations"):
            yield from _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, dict):
            yield f"{prefix}{name}", ";".join(f"{key}={one}" for key, one in value.items())
        elif isinstance(value, list):
            yield f"{prefix}{name}", ";".join(map(str, value))
        else:
            yield f"{prefix}{name}", value


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if value is None else value


def _span(v: Json, start: date, end: date) -> tuple[str, str, float]:
    first, last = v["start"], v["end"]
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        window = window_json(start, end)
        return window["start"], window["end"], float((end - start).days * 1440)
    # One row ran for as long as it says; several cover the time from the first to the last.
    minutes = v["minutes"] if v["rows"] == 1 else (last - first).total_seconds() / 60
    return f"{first:%Y-%m-%dT%H:%M:%SZ}", f"{last:%Y-%m-%dT%H:%M:%SZ}", float(minutes or 0.0)


def _number(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return round(value, DECIMALS) + 0.0


def _per(amount: float, time: float) -> float:
    return amount / time if time else 0.0


def _efficiency(usage: float, request: float, cost: float) -> float:
    if request > 0:
        return usage / request
    # OpenCost: what nobody asked for and somebody pays for is used in full.
    return 1.0 if usage and cost else 0.0


def _weighted(v: Json, cpu: float, ram: float) -> float:
    cpu_cost, ram_cost = (v[f"{x}_cost"] + v[f"{x}_cost_adjustment"] for x in ("cpu", "ram"))
    return (cpu * cpu_cost + ram * ram_cost) / (cpu_cost + ram_cost) if cpu_cost + ram_cost > 0 else 0.0


def _volumes(volumes: Sequence[Json] | None, cluster: str | None) -> Json | None:
    if not volumes:
        return None
    return {
        f"cluster={cluster}:name={one['name']}": {
            "byteHours": _number(one["byte_hours"]),
            "cost": _number(one["cost"]),
            "providerID": one["provider_id"] or "",
            "adjustment": _number(one.get("adjustment") or 0.0),
        }
        for one in volumes
    }


def _balancers(balancers: Sequence[Json] | None) -> Json | None:
    if not balancers:
        return None
    return {
        one["name"]: {
            "service": one["service"] or "",
            "cost": _number(one["cost"]),
            "private": bool(one["is_private"]),
            "ip": one["ip"] or "",
            "hours": _number(one["hours"]),
            "adjustment": _number(one.get("adjustment") or 0.0),
        }
        for one in balancers
    }
