"""Explain: for one cluster and day, which assets a workload pays, which bill rows are behind them, and by which rule.

Everything is computed again from the tables, by the functions that made them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.claiming import claim, number_rows, share_scale_sets
from kubecost_pipelines.core.tables import (
    ADJUSTED_RESOURCES,
    ALLOCATIONS,
    ASSET_COSTS,
    ASSET_INVENTORY,
    CLOUD_ASSETS,
    CLOUD_BILLING,
    EXTERNAL_COSTS,
    RECONCILED_ALLOCATIONS,
)
from kubecost_pipelines.core.tracing import trace, trace_unused
from kubecost_pipelines.core.workload_costs import price_assets
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.operations.errors import NothingToExplainError

Row = dict[str, Any]
WORKLOADS = "workloads"
"""`used_by` of what workloads use; of the rest it is the namespace that it stands in, such as `__idle__`."""

MOST_BILL_ROWS = 500
"""Of one explanation; a node has a handful a day."""

_OF_ASSET = ("asset_type", "name", "provider_id", "cost", "total_cost", "match_rule", "provider_key", "cost_basis")
_OF_BILL = ("charge_category", "charge_type", "service_name", "sku_meter", "usage_quantity", "line_items")
_COSTS = ("list_cost", "billed_cost", "effective_cost")


@dataclass(frozen=True)
class Explanation:
    """Why a workload, or what nobody used, costs what it costs on a day.

    `resources`: per resource `estimate`, `adjustment`, `total_cost`, as reconciled_allocations has them. `assets`:
    per asset and resource the `amount` that is theirs of the `whole`, their `share`, who they are (`used_by`), and
    the asset's own estimate, total, rule and price basis; a cloud resource whose labels name them stands there too.
    `bill`: the rows of cloud_billing behind those assets.
    """

    cluster: str
    day: date
    namespace: str | None
    pod: str | None
    is_settled: bool
    resources: Sequence[Row]
    assets: Sequence[Row]
    bill: Sequence[Row]

    @property
    def estimate(self) -> float:
        return float(sum(row["estimate"] for row in self.resources))

    @property
    def total_cost(self) -> float:
        return float(sum(row["total_cost"] for row in self.resources))

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, sums included."""
        sums = {"estimate": self.estimate, "adjustment": self.total_cost - self.estimate, "total_cost": self.total_cost}
        return {**asdict(self), **sums}


def explain(
    workbench: Workbench, cluster: str, day: date, *, namespace: str | None = None, pod: str | None = None
) -> Explanation:
    """Explain what a namespace or a pod of a cluster cost on a day; the whole cluster where neither is given.

    `__idle__`, `__unmounted__` and `__shared__` are namespaces like others.

    Raises:
        NothingToExplainError: the cluster, the day or the workload is not there.
    """
    names = [one.name for one in workbench.settings.clusters]
    if cluster not in names:
        raise NothingToExplainError(f"no cluster {cluster!r}: the settings have {', '.join(names) or 'none'}.")
    with workbench.open() as tools:
        if tools.lake.describe(RECONCILED_ALLOCATIONS, [cluster], day) is None:
            raise NothingToExplainError(
                f"{cluster} has no reconciled allocations of {day}. Materialise reconciled_allocations/{cluster} of it."
            )
        chosen = {"namespace": namespace, "pod": pod}
        rows = _choose(tools.lake.read(RECONCILED_ALLOCATIONS, [cluster], [day], tools.engine), chosen)
        resources, is_settled = _sum_resources(tools.keep(rows))
        if not resources:
            wanted = " and ".join(f"{name} {value!r}" for name, value in chosen.items() if value)
            raise NothingToExplainError(f"nothing ran in {cluster} on {day} with {wanted}. Check the name.")
        assets = _trace(tools, cluster, day, chosen)
        external = _external(tools, cluster, day, chosen)
        bill = bill_rows(tools, day, assets) + _external_bill_rows(tools, day, external)
        assets += external
    return Explanation(cluster, day, namespace, pod, is_settled, resources, assets, bill)


def _choose(rows: ir.Table, chosen: Mapping[str, str | None]) -> ir.Table:
    for name, value in chosen.items():
        if value:
            rows = rows.filter(rows[name] == value)
    return rows


def _sum_resources(rows: ir.Table) -> tuple[list[Row], bool]:
    """Return estimate, adjustment and total of each resource that costs something, and whether the day is settled."""
    sums = {
        **{f"{name}_estimate": rows[f"{name}_cost"].sum() for name in ADJUSTED_RESOURCES},
        **{f"{name}_adjustment": rows[f"{name}_cost_adjustment"].sum() for name in ADJUSTED_RESOURCES},
        **{f"{name}_estimate": rows[f"{name}_cost"].sum() for name in ("shared", "external")},
    }
    [found] = rows.aggregate(rows=rows.count(), is_settled=rows.is_settled.all(), **sums).to_pyarrow().to_pylist()
    resources = []
    for name in (*ADJUSTED_RESOURCES, "shared", "external"):
        estimate, adjustment = found[f"{name}_estimate"] or 0.0, found.get(f"{name}_adjustment") or 0.0
        if estimate or adjustment:
            resources.append(
                {"resource": name, "estimate": estimate, "adjustment": adjustment, "total_cost": estimate + adjustment}
            )
    if found["rows"] and not resources:
        resources.append({"resource": "cpu", "estimate": 0.0, "adjustment": 0.0, "total_cost": 0.0})
    return resources, bool(found["is_settled"])


def _trace(tools: Tools, cluster: str, day: date, chosen: Mapping[str, str | None]) -> list[Row]:
    allocations = tools.lake.read(ALLOCATIONS, [cluster], [day], tools.engine)
    allocations = tools.keep(allocations.mutate(row=ibis.row_number()))
    costs = tools.lake.read(ASSET_COSTS, [], [day], tools.engine)
    costs = tools.keep(costs.filter(costs.cluster == cluster))
    prices = price_assets(costs, allocations, tools.keep)
    found = trace(_choose(allocations, chosen), prices).mutate(used_by=ibis.literal(WORKLOADS))
    unused = _choose(trace_unused(prices), chosen)
    found = found.union(unused.mutate(used_by=unused.namespace).select(found.columns))
    of_asset = costs.select("asset_id", **{f"asset_{name.removeprefix('asset_')}": costs[name] for name in _OF_ASSET})
    joined = found.left_join(of_asset, "asset_id").drop("asset_id_right", "date")
    rows: list[Row] = joined.order_by(ibis.desc("total_cost"), "asset_id", "resource").to_pyarrow().to_pylist()
    return rows


def _external(tools: Tools, cluster: str, day: date, chosen: Mapping[str, str | None]) -> list[Row]:
    """Return the cloud resources whose labels name what is explained, in the shape of its assets."""
    [settings] = [one for one in tools.settings.clusters if one.name == cluster]
    rows = tools.lake.read(EXTERNAL_COSTS, [], [day], tools.engine)
    rows = rows.filter((rows.cluster == cluster) & (rows.billing_currency == settings.currency))
    rows = _choose(rows.mutate(namespace=rows.namespace.fill_null("__external__")), chosen)
    keys = ("provider_key", "resource_id", "provider_id", "service_name", "matched_label")
    found = rows.group_by(keys).aggregate(cost=rows.cost.sum()).order_by(ibis.desc("cost")).to_pyarrow().to_pylist()
    return [
        {
            "asset_id": "/".join(filter(None, (row["provider_key"], row["service_name"], row["resource_id"]))),
            "resource": "external",
            "used_by": WORKLOADS,
            "unit": "",
            **dict.fromkeys(("amount", "whole", "share")),
            "estimate": row["cost"],
            "total_cost": row["cost"],
            "adjustment": 0.0,
            "asset_type": "Cloud",
            "asset_name": row["resource_id"] or row["service_name"],
            "asset_cost": row["cost"],
            "asset_total_cost": row["cost"],
            "asset_cost_basis": "billed",
            "asset_match_rule": f"label {row['matched_label']}",
            "asset_provider_id": row["provider_id"],
            "asset_provider_key": row["provider_key"],
            "asset_resource": (row["resource_id"], row["service_name"]),
        }
        for row in found
    ]


def _external_bill_rows(tools: Tools, day: date, external: Iterable[Row]) -> list[Row]:
    """Return the bill rows of those resources: all of what each cost, whoever else its labels name."""
    found: list[Row] = []
    for row in external:
        provider_key, (resource_id, service_name) = row["asset_provider_key"], row.pop("asset_resource")
        bill = tools.lake.read(CLOUD_ASSETS, provider_key.split("/"), [day], tools.engine)
        is_its = (bill.resource_id.fill_null("") == (resource_id or "")) & (bill.service_name == service_name)
        mine = bill.filter(is_its).select(
            *_OF_BILL,
            *_COSTS,
            asset_id=ibis.literal(row["asset_id"]),
            match_rule=ibis.literal(row["asset_match_rule"]),
            provider_key=ibis.literal(provider_key),
        )
        found += mine.order_by(ibis.desc("effective_cost")).limit(MOST_BILL_ROWS).to_pyarrow().to_pylist()
    return found


def bill_rows(tools: Tools, day: date, assets: Iterable[Row]) -> list[Row]:
    """Return the bill rows behind the assets: each bill is claimed again, for who claimed what is not kept."""
    by_bill: dict[str, set[str]] = {}
    for row in assets:
        if row["asset_provider_key"]:
            by_bill.setdefault(row["asset_provider_key"], set()).add(row["asset_id"])
    found: list[Row] = []
    inventory = tools.lake.read(ASSET_INVENTORY, [], [day], tools.engine)
    for provider_key in [store.key for store in tools.settings.cloud_stores if str(store.key) in by_bill]:
        bill = tools.lake.read(CLOUD_BILLING, provider_key.parts, [day], tools.engine)
        claims = tools.keep(number_rows(claim(bill, inventory)))
        if provider_key.provider == "azure":
            claims = tools.keep(share_scale_sets(claims, inventory))
        of_network = (claims.reveals == "Network").fill_null(False)
        claims = claims.mutate(asset_id=claims.asset_id + ibis.ifelse(of_network, "/network", ""))
        mine = claims.filter(claims.asset_id.isin(sorted(by_bill[str(provider_key)]))).select(
            "asset_id", "match_rule", *_OF_BILL, *_COSTS, provider_key=ibis.literal(str(provider_key))
        )
        found += mine.order_by("asset_id", ibis.desc("effective_cost")).limit(MOST_BILL_ROWS).to_pyarrow().to_pylist()
    return found
