"""Reasons: why a workload or an asset cost what it did on a day, as steps and as assets with their bill rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from kubecost_pipelines.core.tables import ASSET_COSTS
from kubecost_pipelines.defs.workbench import Workbench
from kubecost_pipelines.operations.errors import NothingToExplainError
from kubecost_pipelines.operations.explain import bill_rows, explain

Row = dict[str, Any]

_RESOURCES = {
    "cpu": "CPU",
    "ram": "RAM",
    "gpu": "GPU",
    "pv": "Volumes",
    "network": "Network",
    "load_balancer": "Load balancers",
}


@dataclass(frozen=True)
class Step:
    """One bar of a waterfall: a total, or what is added to the step before it."""

    name: str
    kind: Literal["total", "change"]
    cost: float


@dataclass(frozen=True)
class Reasons:
    """`assets`: what each costs, the subject's `share` of it, what that costs, and the `bill_rows` it claims."""

    date: date
    is_settled: bool
    steps: Sequence[Step]
    assets: Sequence[Row]


def reasons_of_workload(workbench: Workbench, cluster: str, day: date, namespace: str, pod: str) -> Reasons:
    """Return why a pod cost what it did, or a namespace, or a whole cluster, where the narrower ones are empty.

    Raises:
        NothingToExplainError: the cluster, the day or the workload is not there.
    """
    found = explain(workbench, cluster, day, namespace=namespace or None, pod=pod or None)
    added = [row for row in found.resources if row["resource"] not in _RESOURCES]
    steps = [
        Step("Estimate", "total", found.estimate - sum(row["total_cost"] for row in added)),
        *(
            Step(f"{_RESOURCES[row['resource']]} adjustment", "change", row["adjustment"])
            for row in found.resources
            if row["resource"] in _RESOURCES and row["adjustment"]
        ),
        *(
            [Step("In the cluster", "total", found.total_cost - sum(row["total_cost"] for row in added))]
            if added
            else []
        ),
        *(Step(f"{row['resource'].capitalize()} cost", "change", row["total_cost"]) for row in added),
        Step("Cost", "total", found.total_cost),
    ]
    parts: dict[str, list[Row]] = {}
    for row in found.assets:
        parts.setdefault(row["asset_id"] or "", []).append(row)
    assets = [_asset(asset_id, rows, found.bill) for asset_id, rows in parts.items()]
    return Reasons(day, found.is_settled, steps, sorted(assets, key=lambda one: -one["share_cost"]))


def reasons_of_asset(workbench: Workbench, cluster: str, day: date, name: str, asset_type: str) -> Reasons:
    """Return why an asset cost what it did; an empty answer where it did not exist."""
    with workbench.open() as tools:
        rows = tools.lake.read(ASSET_COSTS, (), [day], tools.engine)
        rows = rows.filter(rows.cluster == cluster, rows.asset_type == asset_type)
        rows = rows.filter(rows.name == name) if name else rows
        found: list[Row] = rows.limit(1).to_pyarrow().to_pylist()
        if not found:
            raise NothingToExplainError(f"{cluster} has no {asset_type} {name} on {day}: choose another day.")
        [asset] = found
        bill = bill_rows(tools, day, [{**asset, "asset_provider_key": asset["provider_key"]}])
    steps = [
        Step("Estimate", "total", asset["cost"]),
        Step("Adjustment", "change", asset["adjustment"]),
        Step("Cost", "total", asset["total_cost"]),
    ]
    whole = {f"asset_{key.removeprefix('asset_')}": value for key, value in asset.items()}
    return Reasons(day, asset["is_settled"], steps, [_asset(asset["asset_id"], [{**whole, **asset}], bill)])


def _asset(asset_id: str, parts: Sequence[Row], bill: Iterable[Row]) -> Row:
    first = parts[0]
    cost, share_cost = first["asset_total_cost"] or 0.0, sum(part["total_cost"] for part in parts)
    estimate = first["asset_cost"] or 0.0
    return {
        "asset_id": asset_id,
        "asset_type": first["asset_type"] or "no asset",
        "name": first["asset_name"] or first["asset_provider_id"] or asset_id,
        "provider_id": first["asset_provider_id"],
        "match_rule": first["asset_match_rule"],
        "cost": estimate,
        "adjustment": cost - estimate,
        "total_cost": cost,
        "share": share_cost / cost if cost else 1.0,
        "share_cost": share_cost,
        "bill_rows": [
            {name: str(value) if name.endswith("_cost") else value for name, value in row.items() if name != "asset_id"}
            for row in bill
            if row["asset_id"] == asset_id
        ],
    }
