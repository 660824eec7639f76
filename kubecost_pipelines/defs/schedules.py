"""Schedules: what is to be done every day, whether or not anybody says that something has changed.

`collect_<cluster>` reads yesterday, and every day that the cluster still remembers and that is missing. `settle` moves
the days that have become settled to their bill, prices the later ones by what these have cost, and makes what has been
lost from the lake.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import dagster as dg

from kubecost_pipelines.core.tables import (
    ALLOCATIONS,
    ALLOCATIONS_HOURLY,
    ASSET_COSTS,
    IN_CLUSTER_ASSETS,
    RECONCILED_ASSETS,
    TABLES,
    Table,
)
from kubecost_pipelines.core.window import DAY, Window
from kubecost_pipelines.defs.describing import utc_days
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.pools import limit_pools
from kubecost_pipelines.defs.reporting import PROVISIONAL, STATE
from kubecost_pipelines.defs.requests import request_days, unfinished_run
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.settings import ClusterSettings, Settings

SETTLING_DAYS = 14
"""How long before the last settled day `settle` looks for provisional days, in case it could not run."""

_SETTLING = (RECONCILED_ASSETS.name, ASSET_COSTS.name)
_TABLES = {table.name: table for table in TABLES}


def build_collect_schedule(settings: Settings, cluster: ClusterSettings) -> dg.ScheduleDefinition:
    """Build the daily collection of one cluster."""
    tables = [IN_CLUSTER_ASSETS, *([ALLOCATIONS] if settings.runs("allocations", cluster) else [])]
    tables += [ALLOCATIONS_HOURLY] if settings.has_hours(cluster) else []
    keys = {asset_key(table, cluster.name): table for table in tables}
    name = f"collect_{cluster.slug}"

    @dg.schedule(
        name=name,
        target=dg.AssetSelection.assets(*keys),
        # Not all at once, and after the clusters have built their last hour.
        cron_schedule=f"{30 + sum(map(ord, cluster.name)) % 30} 1 * * *",
        execution_timezone="UTC",
        default_status=_status(settings),
        description=f"Every day: yesterday, and what is missing of the {cluster.retention_days} days that "
        f"{cluster.name} remembers.",
        tags={"cluster": cluster.name},
    )
    def collect(
        context: dg.ScheduleEvaluationContext, workbench: dg.ResourceParam[Workbench]
    ) -> Sequence[dg.RunRequest] | dg.SkipReason:
        limit_pools(context)
        if run := unfinished_run(context.instance, "dagster/schedule_name", name):
            return dg.SkipReason(f"Run {run} still collects the days of an earlier tick.")
        with workbench.open() as tools:
            yesterday = tools.now.date() - DAY
            first = max(settings.start_date, yesterday - (cluster.retention_days - 1) * DAY)
            days = Window.of_days(first, yesterday).days if first <= yesterday else []
            wanted = {key: _to_collect(context.instance, tools, key, table, days) for key, table in keys.items()}
            # Alone, so that a day which the cluster has lost does not stain the run of the newest one.
            newest = {key: [day for day in found if day == yesterday] for key, found in wanted.items()}
            older = {key: [day for day in found if day != yesterday] for key, found in wanted.items()}
            tick = f"{cluster.name}:{tools.now:%Y-%m-%dT%H}"
            return [*request_days(newest, tick), *request_days(older, tick)]

    return collect


def _to_collect(
    instance: dg.DagsterInstance, tools: Tools, key: dg.AssetKey, table: Table, days: Sequence[date]
) -> list[date]:
    """Return yesterday, and the days that the lake or Dagster lacks.

    A day before the first one that is there was asked for together with it; if that failed, the cluster did not exist
    yet, or no longer remembers it.
    """
    held = tools.lake.held_days(table, key.path[1:])
    there = held & _materialized(instance, key)
    first = min(held, default=None)
    before = [day for day in days if first and day < first]
    given_up = _failed(instance, key, before, tools.settings)
    return [day for day in days if day == days[-1] or (day not in there and day not in given_up)]


def _failed(instance: dg.DagsterInstance, key: dg.AssetKey, days: Sequence[date], settings: Settings) -> set[date]:
    if not days:
        return set()
    statuses = instance.get_status_by_partition(key, list(map(str, days)), utc_days(settings)) or {}
    return {date.fromisoformat(day) for day, status in statuses.items() if status and status.value == "FAILED"}


def build_settle_schedule(settings: Settings, derived: Sequence[dg.AssetKey]) -> dg.ScheduleDefinition:
    """Build the schedule of what time alone brings about: days that become settled, and files that are gone."""
    after_midnight = timedelta(hours=settings.settle_hours % 24, minutes=10)
    minutes = int(after_midnight.total_seconds() // 60)
    name = "settle"

    @dg.schedule(
        name=name,
        target=dg.AssetSelection.assets(*derived),
        cron_schedule=f"{minutes % 60} {minutes // 60 % 24} * * *",
        execution_timezone="UTC",
        default_status=_status(settings),
        description=f"Every day: moves the day that ended {settings.settle_hours:g} hours ago to its bill, prices the "
        "days after it by what settled ones have cost, and makes the derived tables of days that the lake has lost.",
    )
    def settle(
        context: dg.ScheduleEvaluationContext, workbench: dg.ResourceParam[Workbench]
    ) -> Sequence[dg.RunRequest] | dg.SkipReason:
        limit_pools(context)
        if run := unfinished_run(context.instance, "dagster/schedule_name", name):
            return dg.SkipReason(f"Run {run} still works on the days of an earlier tick.")
        with workbench.open() as tools:
            wanted = {key: [*_lost(context.instance, tools, key), *_provisional(tools, key)] for key in derived}
            requests = list(request_days(wanted, f"{tools.now:%Y-%m-%dT%H}"))
            return requests or dg.SkipReason("No day is provisional, and the lake has lost none.")

    return settle


def _lost(instance: dg.DagsterInstance, tools: Tools, key: dg.AssetKey) -> Iterator[date]:
    """Yield the days that Dagster knows and the lake does not have."""
    if table := _TABLES.get(key.path[0]):
        yield from _materialized(instance, key) - tools.lake.held_days(table, key.path[1:])


def _provisional(tools: Tools, key: dg.AssetKey) -> Iterator[date]:
    """Yield the days that were not settled when they were made.

    They are by now, or their nodes are priced by what the last settled days have cost, and there is one more of these.
    """
    if key.path[0] not in _SETTLING:
        return
    last = tools.now.date() - DAY
    first = max(last - timedelta(days=SETTLING_DAYS) - tools.settings.settle_after, tools.settings.start_date)
    for day in Window.of_days(first, last).days if first <= last else []:
        written = tools.lake.describe(_TABLES[key.path[0]], key.path[1:], day)
        if written and written.details.get(STATE) == PROVISIONAL:
            yield day


def _materialized(instance: dg.DagsterInstance, key: dg.AssetKey) -> set[date]:
    return {date.fromisoformat(day) for day in instance.get_materialized_partitions(key)}


def _status(settings: Settings) -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if settings.runs_by_itself else dg.DefaultScheduleStatus.STOPPED
