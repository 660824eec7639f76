"""reconciled_allocations_hourly: a cluster's workload costs by the hour, which add up to those of the day."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from kubecost_pipelines.core.expectations import Expectation
from kubecost_pipelines.core.hourly import (
    TOLERANCE,
    hour_gaps,
    place_in_hours,
    spread_over_hours,
    summarise_hours,
    unknown_hours,
    use_by_hour,
)
from kubecost_pipelines.core.tables import ALLOCATIONS_HOURLY, RECONCILED_ALLOCATIONS, RECONCILED_ALLOCATIONS_HOURLY
from kubecost_pipelines.defs.describing import check_spec, daily_asset, of_cluster
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.reconciled_allocations import ROWS_IN_MEMORY, NothingToReconcileError
from kubecost_pipelines.defs.reporting import STATE, Materialized, Report, window_of
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.settings import ClusterSettings, Settings

HOURS_ADD_UP = Expectation(
    "hours_add_up_to_the_day",
    f"Σ of a day's hours = the day in reconciled_allocations, to {TOLERANCE:f}, per namespace and type of row. A "
    "day that breaks it is not published.",
    lambda gaps: gaps,
)
HOURS_ARE_KNOWN = Expectation(
    "hours_are_known",
    "The cluster told by the hour about every workload that it told by the day about. The named ones are spread over "
    "the time in which they ran. Cure: materialise allocations and allocations_hourly of the day together.",
    lambda unknown: unknown,
    severity="warn",
)


class HoursDoNotAddUpError(Exception):
    """A day's hours are not its day. The message says where, by how much, and the cure."""


def build_reconciled_allocations_hourly(settings: Settings, cluster: ClusterSettings) -> dg.AssetsDefinition:
    """Build the asset with a cluster's workload costs by the hour."""
    sources = (ALLOCATIONS_HOURLY, RECONCILED_ALLOCATIONS)
    key = asset_key(RECONCILED_ALLOCATIONS_HOURLY, cluster.name)

    @daily_asset(
        settings,
        RECONCILED_ALLOCATIONS_HOURLY,
        [cluster.name],
        deps={table.name: [asset_key(table, cluster.name)] for table in sources},
        check_specs=[check_spec(key, one) for one in (HOURS_ADD_UP, HOURS_ARE_KNOWN)],
        **of_cluster(cluster),
    )
    def reconciled_allocations_hourly(
        context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]
    ) -> Materialized:
        with workbench.open() as tools:
            days = window_of(context).days
            report = Report(context, settled=tools.settled(days))
            held = {table.name: tools.lake.held_days(table, [cluster.name]) for table in sources}
            for day in days:
                if missing := [name for name, known in held.items() if day not in known]:
                    report.failures[str(day)] = NothingToReconcileError(
                        f"{cluster.name} has no {' and no '.join(missing)} of that day. Materialise them, then this "
                        "again; hours that the cluster no longer remembers stay missing."
                    )
                    continue
                try:
                    _write(tools, [cluster.name], [day], report)
                except HoursDoNotAddUpError as error:
                    report.failures[str(day)] = error
            return report.result()

    return reconciled_allocations_hourly


def _write(tools: Tools, key: Sequence[str], days: list[date], report: Report) -> None:
    daily = tools.lake.read(RECONCILED_ALLOCATIONS, key, days, tools.engine, is_numbered=True)
    used = tools.keep(use_by_hour(tools.lake.read(ALLOCATIONS_HOURLY, key, days, tools.engine)))
    placed = tools.keep(place_in_hours(daily, used))
    is_held = placed.count().to_pyarrow().as_py() <= ROWS_IN_MEMORY
    rows = spread_over_hours(daily, placed)
    staged = tools.lake.stage(
        RECONCILED_ALLOCATIONS_HOURLY, rows, tools.engine, summarise=summarise_hours, is_held=is_held
    )
    gaps = hour_gaps(daily, staged.summary).to_pyarrow().to_pylist()
    report.note(HOURS_ADD_UP, gaps)
    if gaps:
        raise HoursDoNotAddUpError(
            f"{key[0]}: {gaps[0]['namespace']} costs {gaps[0]['cost']} by the day, and {gaps[0]['gap']} more by the "
            "hour. Nothing was replaced. Materialise reconciled_allocations of the day, then this again; if it stays, "
            "please report it."
        )
    report.check(HOURS_ARE_KNOWN, unknown_hours(daily, used))
    states = {day: {STATE: report.state_of(day)} for day in days}
    report.add(tools.lake.publish(staged, key, days, details=states))
