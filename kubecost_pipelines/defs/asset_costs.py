"""asset_costs: the Daily Asset Store, every in-cluster asset once, reconciled or still estimated."""

from collections.abc import Iterator
from datetime import date

import dagster as dg
import ibis.expr.types as ir

from kubecost_pipelines.core.coverage import match_coverage, unmatched
from kubecost_pipelines.core.expectations import ASSET_EXPECTATIONS, EVERY_BILL_IS_THERE, expect_coverage
from kubecost_pipelines.core.reconciliation import cost_assets
from kubecost_pipelines.core.short_term import price_recent, recent_days
from kubecost_pipelines.core.tables import ASSET_COSTS, ASSET_INVENTORY, RECONCILED_ASSETS
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.defs.charts import bars
from kubecost_pipelines.defs.completeness import name_missing
from kubecost_pipelines.defs.describing import check_spec, daily_asset
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.reporting import SHOWN, STATE, Materialized, Report, as_table, window_of
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.settings import CloudStoreSettings, Settings


def build_asset_costs(settings: Settings) -> dg.AssetsDefinition:
    """Build the Daily Asset Store over all clusters and bills."""
    deps = {
        ASSET_INVENTORY.name: [asset_key(ASSET_INVENTORY)],
        RECONCILED_ASSETS.name: [asset_key(RECONCILED_ASSETS, *store.key.parts) for store in _reconciled(settings)],
    }
    coverage = [expect_coverage(settings.minimum_coverage)] if settings.runs("reconciliation") else []
    expectations = (ASSET_EXPECTATIONS[0], *coverage)
    key = asset_key(ASSET_COSTS)
    bills = {str(store.key): list(store.key.parts) for store in _reconciled(settings)}

    @daily_asset(
        settings,
        ASSET_COSTS,
        [],
        deps=deps,
        group="costs",
        check_specs=[check_spec(key, one) for one in (*expectations, EVERY_BILL_IS_THERE)],
    )
    def asset_costs(context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]) -> Materialized:
        with workbench.open() as tools:
            window = window_of(context)
            report = Report(context, settled=tools.settled(window.days))
            for days in _batches(tools, window):
                missing = name_missing(tools, report, EVERY_BILL_IS_THERE, RECONCILED_ASSETS, bills, days)
                staged = tools.lake.stage(ASSET_COSTS, _costs(tools, days), tools.engine)
                for expectation in expectations:
                    report.check(expectation, staged.rows)
                if "unmatched" not in report.metadata or tools.settled(days):
                    _tell(report, days, staged.rows)
                details = {day: {STATE: report.state_of(day), **missing.get(day, {})} for day in days}
                report.add(tools.lake.publish(staged, [], days, details=details))
            return report.result()

    return asset_costs


def _batches(tools: Tools, window: Window) -> Iterator[list[date]]:
    """Yield the days of each month, the settled ones first: the others are priced by what those have cost."""
    for month in window.by_month():
        settled = tools.settled(month.days)
        yield from filter(None, (settled, [day for day in month.days if day not in settled]))


def _costs(tools: Tools, days: list[date]) -> ir.Table:
    stores = _reconciled(tools.settings)
    inventory = tools.lake.read(ASSET_INVENTORY, [], days, tools.engine)
    reconciled = [tools.lake.read(RECONCILED_ASSETS, store.key.parts, days, tools.engine) for store in stores]
    costs = cost_assets(inventory, reconciled, tools.last_settled, tools.settings.label_keys)
    recent = recent_days(days, tools.now, tools.settings.settle_after, tools.settings.allocation.short_term_days)
    if tools.settled(days) or not recent:
        return costs
    return price_recent(costs, tools.lake.read(ASSET_COSTS, [], recent, tools.engine))


def _tell(report: Report, days: list[date], rows: ir.Table) -> None:
    coverage = match_coverage(rows, ("cluster", "asset_type")).to_pyarrow().to_pylist()
    report.metadata["match_coverage"] = as_table(coverage)
    shares = {f"{row['cluster']} {row['asset_type']}": row["share"] or 0.0 for row in coverage[:SHOWN]}
    in_words = Window.of_days(days[0], days[-1]).in_words
    report.metadata["match_coverage_chart"] = bars(f"Estimate found on the bill, {in_words}", shares, "{:.0%}")
    report.metadata["unmatched"] = as_table(unmatched(rows).limit(SHOWN).to_pyarrow().to_pylist())


def _reconciled(settings: Settings) -> list[CloudStoreSettings]:
    return [store for store in settings.cloud_stores if settings.runs("reconciliation", store)]
