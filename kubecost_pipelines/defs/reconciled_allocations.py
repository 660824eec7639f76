"""reconciled_allocations: a cluster's workloads at billed cost, with idle, shared and external cost beside them.

What is published adds up to the cluster's assets, to a millionth of the currency's unit; a day that does not is not.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import dagster as dg
import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.expectations import (
    DISTRIBUTIONS_ARE_ZERO_SUM,
    EXTERNAL_COSTS_ARE_THERE,
    PRICE_EXPECTATIONS,
    RECONCILED_ALLOCATION_EXPECTATIONS,
    Expectation,
    expect_billed,
)
from kubecost_pipelines.core.external_costs import external_rows
from kubecost_pipelines.core.sharing import POLICIES, SharingPolicy, share, summarise, zero_sum_gaps
from kubecost_pipelines.core.tables import (
    ALLOCATIONS,
    ASSET_COSTS,
    EXTERNAL_COSTS,
    RECONCILED_ALLOCATIONS,
)
from kubecost_pipelines.core.workload_costs import Prices, price_assets, reconcile_allocations
from kubecost_pipelines.defs.charts import waterfall
from kubecost_pipelines.defs.completeness import name_missing
from kubecost_pipelines.defs.describing import check_spec, daily_asset, of_cluster
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.movers import PARTS_SHOWN, explain_movers
from kubecost_pipelines.defs.reporting import SHOWN, STATE, Materialized, Report, as_table, window_of
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.lake import Staged
from kubecost_pipelines.settings import ClusterSettings, Settings
from kubecost_pipelines.settings.allocation import AllocationSettings

ROWS_IN_MEMORY = 200_000
"""Workloads whose wide rows are held; a day with more of them passes without."""

MOVERS = 10
"""Workloads whose cost moved most; `kubecost-pipelines explain` says why, down to the rows of the bill."""

TOLERANCE = 1e-6
"""What the sum of a day's rows may differ from its assets, in the currency: floats, rounded a million times."""

CLUSTER_IS_CONSERVED = Expectation(
    "cluster_is_conserved",
    f"Σ reconciled_allocations without external rows = Σ asset_costs of the cluster, to {TOLERANCE:f}, on every day. A "
    "day that breaks it is not published.",
    lambda rows: rows,
)


class NothingToReconcileError(Exception):
    """A day lacks what its workload costs are made from. The message says what, and the cure."""


class ClusterNotConservedError(Exception):
    """A cluster's rows do not add up to its assets. The message says on which day, by how much, and the cure."""


def build_reconciled_allocations(settings: Settings, cluster: ClusterSettings) -> dg.AssetsDefinition:
    """Build the asset with a cluster's workload costs, moved to what its assets really cost."""
    deps = {
        ALLOCATIONS.name: [asset_key(ALLOCATIONS, cluster.name)],
        ASSET_COSTS.name: [asset_key(ASSET_COSTS)],
        EXTERNAL_COSTS.name: [asset_key(EXTERNAL_COSTS)],
    }
    about_rows = (*RECONCILED_ALLOCATION_EXPECTATIONS, expect_billed(settings.minimum_coverage))
    about_day = (CLUSTER_IS_CONSERVED, DISTRIBUTIONS_ARE_ZERO_SUM, EXTERNAL_COSTS_ARE_THERE)
    expectations = (*about_day, *PRICE_EXPECTATIONS.values(), *about_rows)
    key = asset_key(RECONCILED_ALLOCATIONS, cluster.name)

    @daily_asset(
        settings,
        RECONCILED_ALLOCATIONS,
        [cluster.name],
        deps=deps,
        check_specs=[check_spec(key, one) for one in expectations],
        **of_cluster(cluster),
    )
    def reconciled_allocations(
        context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]
    ) -> Materialized:
        with workbench.open() as tools:
            window = window_of(context)
            report = Report(context, settled=tools.settled(window.days))
            for month in window.by_month():
                for days in _batches(tools, cluster, _ready(tools, cluster, month.days, report)):
                    try:
                        _write(tools, cluster, days, about_rows, report)
                    except ClusterNotConservedError as error:
                        report.failures[f"{days[0]} to {days[-1]}"] = error
            return report.result()

    return reconciled_allocations


def _ready(tools: Tools, cluster: ClusterSettings, days: Sequence[date], report: Report) -> list[date]:
    """Return the days that have allocations and assets; the others fail, for all of such a day would seem idle."""
    held = {
        "allocations": tools.lake.held_days(ALLOCATIONS, [cluster.name]),
        "asset_costs": tools.lake.held_days(ASSET_COSTS, []),
    }
    for day in days:
        if missing := [name for name, known in held.items() if day not in known]:
            report.failures[str(day)] = NothingToReconcileError(
                f"{cluster.name} has no {' and no '.join(missing)} of that day. Materialise them, then this again."
            )
    return [day for day in days if all(day in known for known in held.values())]


def _batches(tools: Tools, cluster: ClusterSettings, days: Sequence[date]) -> Iterator[list[date]]:
    """Yield as many days at once as fit into memory: a query takes as long to compile as many days to compute."""
    batch, rows = list[date](), 0
    for day in days:
        found = tools.lake.describe(ALLOCATIONS, [cluster.name], day)
        count = found.rows if found else 0
        if batch and rows + count > ROWS_IN_MEMORY:
            yield batch
            batch, rows = [], 0
        batch.append(day)
        rows += count
    if batch:
        yield batch


def _write(
    tools: Tools, cluster: ClusterSettings, days: list[date], about_rows: Sequence[Expectation], report: Report
) -> None:
    assets = tools.lake.read(ASSET_COSTS, [], days, tools.engine)
    external = tools.lake.read(EXTERNAL_COSTS, [], days, tools.engine)
    is_ours = (external.cluster == cluster.name) & (external.billing_currency == cluster.currency)
    external = external_rows(external.filter(is_ours), tools.last_settled)
    staged, prices = stage_workload_costs(tools, cluster.name, days, assets, external)
    summary = staged.summary
    _prove_conservation(summary, prices.assets, cluster, report)
    for name, expectation in PRICE_EXPECTATIONS.items():
        report.check(expectation, getattr(prices, name))
    for expectation in about_rows:
        report.check(expectation, summary)
    for policy in dict.fromkeys((*POLICIES.values(), _configured(tools.settings.allocation))):
        before = staged.rows if policy.share_labels else summary  # sums tell no labels
        report.check(DISTRIBUTIONS_ARE_ZERO_SUM, zero_sum_gaps(before, share(before, policy)))
    movers = _tell(report, summary)
    explained = explain_movers(tools, cluster.name, days[-1], movers, prices)
    report.metadata["largest_movers_explained"] = as_table(explained, PARTS_SHOWN)
    sources: dict[str, Sequence[str]] = {EXTERNAL_COSTS.name: []}
    missing = name_missing(tools, report, EXTERNAL_COSTS_ARE_THERE, EXTERNAL_COSTS, sources, days)
    states = {day: {STATE: report.state_of(day), **missing.get(day, {})} for day in days}
    report.add(tools.lake.publish(staged, [cluster.name], days, details=states))


def _configured(settings: AllocationSettings) -> SharingPolicy:
    """Return what questions share unless they say otherwise, without the flat cost: that one adds to the day."""
    return SharingPolicy(
        settings.share_idle,
        settings.share_tenancy_costs,
        settings.share_namespaces,
        settings.share_labels,
        share_split=settings.share_split,
    )


def stage_workload_costs(
    tools: Tools, cluster: str, days: list[date], assets: ir.Table, external: ir.Table
) -> tuple[Staged, Prices]:
    """Compute a cluster's workload costs of some days; return them unpublished, with their prices."""
    allocations = tools.lake.read(ALLOCATIONS, [cluster], days, tools.engine, is_numbered=True)
    assets = tools.keep(assets.filter(assets.cluster == cluster))
    prices = price_assets(assets, allocations, tools.keep)
    rows = reconcile_allocations(allocations, prices, tools.last_settled).union(external)
    found = [tools.lake.describe(ALLOCATIONS, [cluster], day) for day in days]
    is_held = sum(one.rows for one in found if one) <= ROWS_IN_MEMORY
    staged = tools.lake.stage(RECONCILED_ALLOCATIONS, rows, tools.engine, summarise=summarise, is_held=is_held)
    return staged, prices


def _prove_conservation(rows: ir.Table, assets: ir.Table, cluster: ClusterSettings, report: Report) -> None:
    """Fail unless, on every day, the rows add up to the assets."""
    ours = rows.filter(rows.allocation_type != "external")
    allocated, owned = _by_day(ours), _by_day(assets)
    gaps = {day: owned.get(day, 0.0) - allocated.get(day, 0.0) for day in sorted({*allocated, *owned})}
    offenders = [{"date": day, "missing_cost": gap} for day, gap in gaps.items() if not abs(gap) <= TOLERANCE]
    report.note(CLUSTER_IS_CONSERVED, offenders)
    if offenders:
        raise ClusterNotConservedError(
            f"{cluster.name}: {offenders[0]['date']}: the cluster is not conserved: its assets cost "
            f"{offenders[0]['missing_cost']} more than its allocations. Nothing was replaced. Materialise asset_costs "
            "and allocations of these days, then this again; if it stays, please report it."
        )


def _by_day(rows: ir.Table) -> dict[date, float]:
    found = rows.group_by("date").aggregate(cost=rows.total_cost.sum()).to_pyarrow().to_pylist()
    return {row["date"]: row["cost"] for row in found}


def _tell(report: Report, rows: ir.Table) -> list[dict[str, Any]]:
    """Tell what the days cost and what moved it; return the largest movers."""
    adjustment = _adjustment(rows)
    inside = rows.total_cost - rows.external_cost
    sums = {"estimate": (inside - adjustment).sum(), "adjustment": adjustment.sum(), "total_cost": inside.sum()}
    by_namespace = rows.group_by("namespace").aggregate(**sums, external_cost=rows.external_cost.sum())
    found = by_namespace.order_by(ibis.desc("total_cost")).limit(SHOWN).to_pyarrow().to_pylist()
    report.metadata["cost_by_namespace"] = as_table(found)
    moved = rows.filter(rows.allocation_type != "external").group_by("namespace", "controller").aggregate(**sums)
    by_size = (ibis.desc(moved.adjustment.abs().round(6)), "namespace", "controller")
    movers = moved.order_by(by_size).limit(MOVERS).to_pyarrow().to_pylist()
    report.metadata["largest_movers"] = as_table(movers)
    [whole] = rows.aggregate(**sums).to_pyarrow().to_pylist()
    if movers and whole["estimate"]:
        steps = {"/".join(filter(None, (one["namespace"], one["controller"]))): one["adjustment"] for one in movers}
        steps["all others"] = whole["adjustment"] - sum(steps.values())
        report.metadata["from_estimate_to_total"] = waterfall(
            "The ten largest movers, from estimate to total", whole["estimate"], steps, "total"
        )
    inside_rows = rows.filter(rows.allocation_type != "external")
    billed = inside_rows.total_cost.sum(where=inside_rows.is_reconciled).fill_null(0.0)
    by_day = inside_rows.group_by("date").aggregate(billed=billed, whole=inside_rows.total_cost.sum())
    for row in by_day.to_pyarrow().to_pylist():
        share = 1 - row["billed"] / row["whole"] if row["whole"] else 0.0
        report.by_day.setdefault(row["date"], {})["share_not_billed"] = round(share, 6)
    return list(movers)


def _adjustment(rows: ir.Table) -> ir.FloatingValue:
    names = [name for name in rows.columns if name.endswith("_cost_adjustment")]
    first, *others = (rows[name] for name in names)
    return sum(others, first)
