"""Allocation shapes: items of an answer as the JSON that clients of Kubecost and OpenCost read.

Fields: OpenCost `core/pkg/opencost/allocation_json.go`; ours on top: `reconciled`, `settled`, `currency`. Numbers are
computed and rounded as columns: item by item it would take ten times as long.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from math import isfinite
from typing import TYPE_CHECKING, Any

from kubecost_pipelines.api.shapes import DECIMALS, Json, number, window_json
from kubecost_pipelines.core.window import HOURS_PER_MONTH
from kubecost_pipelines.operations.costs.allocations import Allocations
from kubecost_pipelines.operations.costs.questions import HOUR

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[np.float64]]

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


def rates(metric: str, found: Allocations) -> "Numbers":
    """Return what the costs of each item are multiplied by to be per hour, day or month."""
    import numpy as np  # noqa: PLC0415 - not needed to start

    per = {"hourly": 1, "daily": 24, "monthly": HOURS_PER_MONTH}.get(metric)
    if not per:
        return np.ones(len(found.columns["name"]))
    return per / np.repeat([(end - start) / HOUR for start, end in found.sets], np.diff(found.bounds))


def allocations_json(found: Allocations, metric: str = "cumulative") -> list[Json]:
    """Return each allocation."""
    if not found.columns:
        return []
    v, factor = found.columns, rates(metric, found)
    times = _times(found)
    minutes, hours = times.minutes, times.minutes / 60
    cpu, ram = (_use(v, resource, minutes) for resource in ("cpu", "ram"))
    costs = {
        f"{theirs}{suffix}": v[f"{ours}_cost{'_adjustment' if suffix else ''}"] * factor
        for ours, theirs in _CAMEL.items()
        for suffix in ("", "Adjustment")
    }
    numbers = {
        "cpuCores": _per(v["cpu_core_hours"], hours),
        "cpuCoreRequestAverage": cpu.request,
        "cpuCoreUsageAverage": cpu.usage,
        "cpuCoreHours": v["cpu_core_hours"],
        "cpuEfficiency": cpu.efficiency,
        "gpuCount": _per(v["gpu_hours"], hours),
        "gpuHours": v["gpu_hours"],
        "networkTransferBytes": v["network_transfer_bytes"],
        "networkReceiveBytes": v["network_receive_bytes"],
        **costs,
        "networkCrossZoneCost": v["network_cross_zone_cost"] * factor,
        "networkCrossRegionCost": v["network_cross_region_cost"] * factor,
        "networkInternetCost": v["network_internet_cost"] * factor,
        "pvBytes": _per(v["pv_byte_hours"], hours),
        "pvByteHours": v["pv_byte_hours"],
        "ramBytes": _per(v["ram_byte_hours"], hours),
        "ramByteRequestAverage": ram.request,
        "ramByteUsageAverage": ram.usage,
        "ramByteHours": v["ram_byte_hours"],
        "ramEfficiency": ram.efficiency,
        "sharedCost": v["shared_cost"] * factor,
        "externalCost": v["external_cost"] * factor,
        "totalCost": v["total_cost"] * factor,
        "totalEfficiency": _weighted(v, cpu.efficiency, ram.efficiency),
    }
    clusters = v["cluster"].tolist() if "cluster" in v else repeat(None)
    columns = {
        "name": v["name"].tolist(),
        "properties": _properties(v),
        "window": times.windows,
        "start": times.starts,
        "end": times.ends,
        "minutes": _numbers(minutes),
        **{name: _numbers(values) for name, values in numbers.items()},
        "pvs": map(_volumes, _lists(v["pvs"]), clusters) if "pvs" in v else repeat(None),
        "lbAllocations": map(_balancers, _lists(v["load_balancers"])) if "load_balancers" in v else repeat(None),
        "rawAllocationOnly": repeat(None),
        "reconciled": v["is_reconciled"].tolist(),
        "settled": v["is_settled"].tolist(),
        "currency": v["currency"].tolist(),
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=False)]


def summaries_json(found: Allocations, metric: str = "cumulative") -> list[Json]:
    """Return each allocation as `/allocation/summary` does: adjustments are part of the costs."""
    if not found.columns:
        return []
    v, factor = found.columns, rates(metric, found)
    times = _times(found)
    cpu, ram = (_use(v, resource, times.minutes) for resource in ("cpu", "ram"))
    numbers = {
        "cpuCoreRequestAverage": cpu.request,
        "cpuCoreUsageAverage": cpu.usage,
        "ramByteRequestAverage": ram.request,
        "ramByteUsageAverage": ram.usage,
        **{theirs: (v[f"{ours}_cost"] + v[f"{ours}_cost_adjustment"]) * factor for ours, theirs in _CAMEL.items()},
        "sharedCost": v["shared_cost"] * factor,
        "externalCost": v["external_cost"] * factor,
        "totalCost": v["total_cost"] * factor,
        "totalEfficiency": _weighted(v, cpu.efficiency, ram.efficiency),
    }
    columns = {
        "name": v["name"].tolist(),
        "start": times.starts,
        "end": times.ends,
        **{name: _numbers(values) for name, values in numbers.items()},
        "reconciled": v["is_reconciled"].tolist(),
        "settled": v["is_settled"].tolist(),
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@dataclass(frozen=True)
class _Times:
    """When the items of an answer ran."""

    windows: list[Json]
    starts: list[str]
    ends: list[str]
    minutes: "Numbers"


@dataclass(frozen=True)
class _Use:
    """What the items of an answer asked for and used of a resource, on average, and how much of it."""

    request: "Numbers"
    usage: "Numbers"
    efficiency: "Numbers"


def _times(found: Allocations) -> _Times:
    """Return when each item ran: what has no times of its own, for all of its set."""
    import numpy as np  # noqa: PLC0415 - not needed to start

    v = found.columns
    edges = found.edges.astype("float64")
    lengths = np.diff(found.bounds)
    first, last = (np.repeat(edges[:, edge], lengths) for edge in (0, 1))
    own = ~(np.ma.getmaskarray(v["start"]) | np.ma.getmaskarray(v["end"]))
    starts, ends = (
        np.where(own, np.ma.filled(v[name], 0.0), of_set) for name, of_set in (("start", first), ("end", last))
    )
    # One row ran for as long as it says; several cover the time from the first to the last.
    minutes = np.where(own & (v["rows"] == 1), np.ma.filled(v["minutes"], 0.0), (ends - starts) / 60)
    windows = [
        window
        for (start, end), length in zip(found.sets, lengths, strict=True)
        for window in [window_json(start, end)] * length
    ]
    return _Times(windows, _texts(starts), _texts(ends), minutes)


def _texts(seconds: "Numbers") -> list[str]:
    import numpy as np  # noqa: PLC0415 - as above

    # Few times are many items'.
    known, which = np.unique(seconds, return_inverse=True)
    texts = [f"{text}Z" for text in np.datetime_as_string(known.astype("int64").astype("datetime64[s]"))]
    return [texts[one] for one in which.tolist()]


def _numbers(values: "Numbers") -> list[float | None]:
    import numpy as np  # noqa: PLC0415 - as above

    rounded = np.round(values, DECIMALS) + 0.0
    if np.isfinite(rounded).all():
        return rounded.tolist()  # type: ignore[no-any-return]
    return [value if isfinite(value) else None for value in rounded.tolist()]


def _per(amounts: "Numbers", times: "Numbers") -> "Numbers":
    import numpy as np  # noqa: PLC0415 - as above

    return np.divide(amounts, times, out=np.zeros_like(amounts), where=times != 0)


def _use(v: "Mapping[str, Numbers]", resource: str, minutes: "Numbers") -> _Use:
    import numpy as np  # noqa: PLC0415 - as above

    request, usage = (_per(v[f"{resource}_{of}_minutes"], minutes) for of in ("request", "usage"))
    # OpenCost: what nobody asked for and somebody pays for is used in full.
    unasked = ((usage != 0) & (v[f"{resource}_cost"] != 0)).astype("float64")
    return _Use(request, usage, np.divide(usage, request, out=unasked, where=request > 0))


def _weighted(v: "Mapping[str, Numbers]", cpu: "Numbers", ram: "Numbers") -> "Numbers":
    import numpy as np  # noqa: PLC0415 - as above

    cpu_cost, ram_cost = (v[f"{x}_cost"] + v[f"{x}_cost_adjustment"] for x in ("cpu", "ram"))
    cost = cpu_cost + ram_cost
    return np.divide(cpu * cpu_cost + ram * ram_cost, cost, out=np.zeros_like(cost), where=cost > 0)


def _lists(values: "Numbers") -> list[Any]:
    """Return values as Python has them: lists come as arrays."""
    return [value.tolist() if hasattr(value, "tolist") else value for value in values.tolist()]


def _properties(v: "Mapping[str, Any]") -> list[Json]:
    known = {theirs: _lists(v[ours]) for ours, theirs in _PROPERTIES.items() if ours in v}
    return [
        {name: value for name, value in zip(known, values, strict=True) if value}
        for values in zip(*known.values(), strict=True)
    ]


def _volumes(volumes: Sequence[Json] | None, cluster: str | None) -> Json | None:
    if not volumes:
        return None
    return {
        f"cluster={cluster}:name={one['name']}": {
            "byteHours": number(one["byte_hours"]),
            "cost": number(one["cost"]),
            "providerID": one["provider_id"] or "",
            "adjustment": number(one.get("adjustment") or 0.0),
        }
        for one in volumes
    }


def _balancers(balancers: Sequence[Json] | None) -> Json | None:
    if not balancers:
        return None
    return {
        one["name"]: {
            "service": one["service"] or "",
            "cost": number(one["cost"]),
            "private": bool(one["is_private"]),
            "ip": one["ip"] or "",
            "hours": number(one["hours"]),
            "adjustment": number(one.get("adjustment") or 0.0),
        }
        for one in balancers
    }
