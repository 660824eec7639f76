"""Shapes: assets and cloud costs as the JSON, and everything as the CSV, that clients of Kubecost and OpenCost read.

Fields: OpenCost `core/pkg/opencost/asset_json.go`, `cloudcost.go`. Ours on top: `reconciled` and
`settled`. Costs have nine decimals, where theirs have five, so that items add up to their total; a number that is none
is null.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from kubecost_pipelines.operations.costs.assets import Asset, AssetSet
from kubecost_pipelines.operations.costs.cloud_costs import METRICS, CloudCost, CloudCostSet

DECIMALS = 9
Json = dict[str, Any]


def window_json(start: date, end: date) -> Json:
    """Return `[start, end)` in UTC, of days or of times."""
    return {"start": _instant(start), "end": _instant(end)}


def _instant(time: date) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}" if isinstance(time, datetime) else f"{time}T00:00:00Z"


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
        "minutes": number(minutes),
    }
    adjustment = {} if v["asset_type"] == "ClusterManagement" else {"adjustment": number(v["adjustment"])}
    ours = {
        "totalCost": number(asset.total),
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
            "cpuCores": number(_per(v["cpu_core_hours"], hours)),
            "ramBytes": number(_per(v["ram_byte_hours"], hours)),
            "cpuCoreHours": number(v["cpu_core_hours"]),
            "ramByteHours": number(v["ram_byte_hours"]),
            "GPUHours": number(v["gpu_hours"]),
            "preemptible": number(v["spot_share"] or 0.0),
            "discount": number(v["discounted"] / estimate if estimate else 0.0),
            "cpuCost": number(v["cpu_cost"]),
            "gpuCost": number(v["gpu_cost"]),
            "gpuCount": number(_per(v["gpu_hours"], hours)),
            "ramCost": number(v["ram_cost"]),
        }
    if v["asset_type"] == "Disk":
        return {
            "byteHours": number(v["byte_hours"]),
            "bytes": number(_per(v["byte_hours"], hours)),
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
    return {"credit": number(v["credit"])} if v["asset_type"] == "Cloud" else {}


def cloud_cost_json(item: CloudCost, one: CloudCostSet) -> Json:
    """Return the charges of one name."""
    v = item.properties
    properties = {
        "providerID": v.get("provider_id"),
        "provider": v.get("provider"),
        "accountID": v.get("account_id"),
        # Bills have ids: OpenCost, too, says them where it knows no name.
        "accountName": v.get("account_id"),
        "invoiceEntityID": v.get("invoice_entity_id"),
        "invoiceEntityName": v.get("invoice_entity_id"),
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
            metric: {"cost": number(item.cost(metric)), "kubernetesPercent": number(item.kubernetes_share(metric))}
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
        "kubernetesPercent": number(item.kubernetes_share(metric)),
        "cost": number(item.cost(metric)),
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


def number(value: float | None) -> float | None:
    """Return a number as JSON takes it, with nine decimals."""
    if value is None or not math.isfinite(value):
        return None
    return round(value, DECIMALS) + 0.0


def _per(amount: Any, time: Any) -> Any:
    return amount / time if time else 0.0
