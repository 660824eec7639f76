"""reconciled_assets and cloud_assets: the two halves of a bill, what clusters claim and what they do not.

Every dollar is in exactly one half. Both assets prove it before they publish: what they write and what the other
half would hold add up to the bill's own total, in exact decimals.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import dagster as dg
import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.claiming import claim, number_rows, share_scale_sets
from kubecost_pipelines.core.coverage import difference, match_coverage
from kubecost_pipelines.core.expectations import RECONCILED_EXPECTATIONS, Expectation, expect_monitored_clusters
from kubecost_pipelines.core.reconciliation import (
    for_claiming,
    for_reconciling,
    leave_unclaimed,
    reconcile,
    sum_by_asset,
)
from kubecost_pipelines.core.tables import (
    ASSET_INVENTORY,
    CLOUD_ASSETS,
    CLOUD_BILLING,
    RECONCILED_ASSETS,
    Table,
)
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.defs.charts import bars, waterfall
from kubecost_pipelines.defs.describing import check_spec, daily_asset, of_bill
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.reporting import STATE, Materialized, Report, as_table, window_of
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.lake import Written
from kubecost_pipelines.settings import CloudStoreSettings, Settings

BILL_IS_CONSERVED = Expectation(
    "bill_is_conserved",
    "Σ cloud_billing = Σ claimed by in-cluster assets + Σ cloud_assets, billed and effective, exactly, on every day. "
    "A day that breaks it is not published.",
    lambda rows: rows,
)
EACH_ROW_HAS_ONE_ASSET = Expectation(
    "each_bill_row_has_one_asset",
    "Every row of cloud_billing is claimed by one in-cluster asset or is a cloud asset, and none is both or twice. A "
    "day that breaks it is not published.",
    lambda rows: rows,
)
_CONSERVED = ("billed_cost", "effective_cost")
THREADS = 1
"""Daily rows are few: two threads would wait for each other, which takes a fifth more CPU and saves no time."""
Tell = Callable[[Report, Window, ir.Table, ir.Table], None]


class NotConservedError(Exception):
    """Both halves of a bill do not add up to it. The message says on which day, by how much, and the cure."""


@dataclass(frozen=True)
class _Half:
    """One half of a bill: its table, whether it is the claimed one, and what to check and to tell of it."""

    table: Table
    is_claimed: bool
    expectations: tuple[Expectation, ...]
    tell: Tell


def build_reconciled_assets(settings: Settings, store: CloudStoreSettings) -> dg.AssetsDefinition:
    """Build the asset with the in-cluster assets that one bill claims, at their billed cost."""
    return _build(settings, store, _Half(RECONCILED_ASSETS, True, RECONCILED_EXPECTATIONS, _tell_adjustments))


def build_cloud_assets(settings: Settings, store: CloudStoreSettings) -> dg.AssetsDefinition:
    """Build the asset with everything on one bill that no cluster claims."""
    monitored = expect_monitored_clusters([cluster.name for cluster in settings.clusters])
    return _build(settings, store, _Half(CLOUD_ASSETS, False, (monitored,), _tell_services))


def _build(settings: Settings, store: CloudStoreSettings, half: _Half) -> dg.AssetsDefinition:
    parts = store.key.parts
    key = asset_key(half.table, *parts)
    deps = {CLOUD_BILLING.name: [asset_key(CLOUD_BILLING, *parts)], ASSET_INVENTORY.name: [asset_key(ASSET_INVENTORY)]}

    @daily_asset(
        settings,
        half.table,
        parts,
        deps=deps,
        check_specs=[check_spec(key, one) for one in (BILL_IS_CONSERVED, EACH_ROW_HAS_ONE_ASSET, *half.expectations)],
        **of_bill(store),
    )
    def half_of_bill(context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]) -> Materialized:
        with workbench.open(THREADS) as tools:
            window = window_of(context)
            report = Report(context, settled=tools.settled(window.days))
            for month in window.by_month():
                try:
                    _write_half(tools, store, month, half, report)
                except NotConservedError as error:
                    report.failures[month.in_words] = error
            return report.result()

    return half_of_bill


def _write_half(tools: Tools, store: CloudStoreSettings, month: Window, half: _Half, report: Report) -> None:
    bill = tools.lake.read(CLOUD_BILLING, store.key.parts, month.days, tools.engine)
    inventory, labels = tools.lake.read(ASSET_INVENTORY, [], month.days, tools.engine), tools.settings.label_keys
    # Kept: the rules of matching read it once each, and every reading opens a file per day.
    inventory = tools.keep(for_claiming(inventory, labels))
    if half.is_claimed:
        bill = for_reconciling(bill, tools.settings.cost_metric, labels)
    claims = claim(bill, inventory)
    if store.provider == "azure":
        claims = share_scale_sets(tools.keep(number_rows(claims)), inventory)
    if half.is_claimed:
        claims = sum_by_asset(claims, tools.settings.cost_metric, labels)
    claims = tools.keep(claims)
    mine = leave_unclaimed(claims)
    if half.is_claimed:
        mine = reconcile(
            claims,
            inventory,
            provider_key=str(store.key),
            last_settled=tools.last_settled,
            label_keys=labels,
        )
    staged = tools.lake.stage(half.table, mine, tools.engine)
    other = claims.filter(claims.asset_id.isnull() if half.is_claimed else claims.asset_id.notnull())
    _prove_conservation(tools, store, month, staged.rows, other, report)
    for expectation in half.expectations:
        report.check(expectation, staged.rows)
    half.tell(report, month, staged.rows, inventory)
    states = {day: {STATE: report.state_of(day)} for day in month.days}
    report.add(tools.lake.publish(staged, store.key.parts, month.days, details=states))


def _prove_conservation(
    tools: Tools, store: CloudStoreSettings, month: Window, mine: ir.Table, other: ir.Table, report: Report
) -> None:
    """Fail unless, on every day and to the last decimal, both halves add up to what the bill's file says of itself."""
    halves = [_held_by_day(mine), _held_by_day(other)]
    gaps = [_gap(tools.lake.describe(CLOUD_BILLING, store.key.parts, day), day, halves) for day in month.days]
    costs = [gap for gap in gaps if any(gap[name] for name in _CONSERVED)]
    rows = [gap for gap in gaps if gap["rows"]]
    report.note(BILL_IS_CONSERVED, costs)
    report.note(EACH_ROW_HAS_ONE_ASSET, rows)
    if offenders := costs or rows:
        raise NotConservedError(
            f"{store.key}: {offenders[0]['date']}: the bill is not conserved: it has {offenders[0]} more than both "
            "halves. Nothing was replaced. Materialise cloud_billing and asset_inventory of these days, then this "
            "again; if it stays, please report it."
        )


def _held_by_day(half: ir.Table) -> dict[date, dict[str, Any]]:
    """Return, per day, how many rows of the bill and which costs a half holds."""
    rows = half.bill_rows.sum() if "bill_rows" in half.columns else half.count()
    sums = {name: half[name].sum().fill_null(0) for name in _CONSERVED}
    return {row["date"]: row for row in half.group_by("date").aggregate(rows=rows, **sums).to_pyarrow().to_pylist()}


def _gap(billed: Written | None, day: date, halves: Sequence[Mapping[date, Mapping[str, Any]]]) -> dict[str, Any]:
    whole = {"rows": billed.rows, **billed.sums} if billed else {}
    held = [half.get(day, {}) for half in halves]
    return {
        "date": day,
        **{
            name: difference(Decimal(whole.get(name, 0)), *(Decimal(half.get(name, 0)) for half in held))
            for name in ("rows", *_CONSERVED)
        },
    }


def _tell_adjustments(report: Report, month: Window, rows: ir.Table, inventory: ir.Table) -> None:
    by_type = rows.group_by("asset_type").aggregate(
        assets=rows.count(),
        cost=rows.cost.sum(),
        adjustment=rows.adjustment.sum(),
        total_cost=rows.total_cost.sum(),
        billed_cost=rows.billed_cost.sum(),
        reconciled=rows.is_reconciled.sum(),
    )
    found = by_type.order_by(ibis.desc("total_cost")).to_pyarrow().to_pylist()
    report.metadata["adjustments"] = as_table(found)
    if found:
        start = sum(row["cost"] for row in found)
        steps = {row["asset_type"]: row["adjustment"] for row in found}
        report.metadata["adjustment_waterfall"] = waterfall(
            f"From estimated to billed, {month.in_words}", start, steps, "billed"
        )
    claims = rows.select("date", "asset_id", "match_rule")
    covered = inventory.left_join(claims, ["date", "asset_id"])
    report.metadata["match_coverage"] = as_table(match_coverage(covered).to_pyarrow().to_pylist())


def _tell_services(report: Report, month: Window, rows: ir.Table, _inventory: ir.Table) -> None:
    by_service = rows.group_by("service_name").aggregate(
        billed_cost=rows.billed_cost.sum(), effective_cost=rows.effective_cost.sum()
    )
    found = by_service.order_by(ibis.desc("effective_cost")).limit(12).to_pyarrow().to_pylist()
    report.metadata["out_of_cluster_cost_by_service"] = as_table(found)
    if found:
        values = {row["service_name"] or "(none)": float(row["effective_cost"]) for row in found}
        report.metadata["cost_by_service"] = bars(f"Out-of-cluster effective cost, {month.in_words}", values)
