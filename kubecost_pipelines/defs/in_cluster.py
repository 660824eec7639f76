"""in_cluster_assets, allocations and allocations_hourly: what one cluster believes it costs, day by day."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import dagster as dg

from kubecost_pipelines.clusters import ClusterClient, ClusterError, FetchedDay
from kubecost_pipelines.core.expectations import ALLOCATION_EXPECTATIONS, ASSET_EXPECTATIONS, Expectation
from kubecost_pipelines.core.tables import ALLOCATIONS, ALLOCATIONS_HOURLY, IN_CLUSTER_ASSETS, Table
from kubecost_pipelines.defs.describing import check_spec, daily_asset, of_cluster
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.reporting import Materialized, Report, window_of
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.lake import LakeError, quoted
from kubecost_pipelines.settings import ClusterSettings, Settings

Fetch = Callable[[ClusterClient, date, Path], FetchedDay]


def build_in_cluster_assets(settings: Settings, cluster: ClusterSettings) -> dg.AssetsDefinition:
    """Build the asset with a cluster's nodes, disks, load balancers and management fee."""
    return _build(settings, cluster, IN_CLUSTER_ASSETS, ClusterClient.fetch_assets, ASSET_EXPECTATIONS)


def build_allocations(settings: Settings, cluster: ClusterSettings) -> dg.AssetsDefinition:
    """Build the asset with a cluster's workload costs."""
    return _build(settings, cluster, ALLOCATIONS, ClusterClient.fetch_allocations, ALLOCATION_EXPECTATIONS)


def build_allocations_hourly(settings: Settings, cluster: ClusterSettings) -> dg.AssetsDefinition:
    """Build the asset with a cluster's workload costs hour by hour."""
    fetch = ClusterClient.fetch_hourly_allocations
    return _build(settings, cluster, ALLOCATIONS_HOURLY, fetch, ALLOCATION_EXPECTATIONS)


def _build(
    settings: Settings, cluster: ClusterSettings, table: Table, fetch: Fetch, expectations: tuple[Expectation, ...]
) -> dg.AssetsDefinition:
    key = asset_key(table, cluster.name)

    @daily_asset(
        settings,
        table,
        [cluster.name],
        deps={},
        pool=f"cluster_{cluster.slug}",
        kinds={"kubernetes"},
        check_specs=[check_spec(key, one) for one in expectations],
        **of_cluster(cluster),
    )
    def cluster_days(context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]) -> Materialized:
        days = window_of(context).days
        client = ClusterClient(cluster)
        with workbench.open() as tools:
            report = Report(context, settled=tools.settled(days))
            for day in days:
                try:
                    _copy_day(tools, client, cluster.name, table, fetch, expectations, day, report)
                except (ClusterError, LakeError) as error:
                    context.log.error(str(error))
                    report.failures[str(day)] = error
            return report.result()

    return cluster_days


def _copy_day(
    tools: Tools,
    client: ClusterClient,
    cluster: str,
    table: Table,
    fetch: Fetch,
    expectations: tuple[Expectation, ...],
    day: date,
    report: Report,
) -> None:
    file = tools.scratch / f"{table.name}-{day}.parquet"
    fetched = fetch(client, day, file)
    # The date is part of the view, so that all days are asked in the same words, which are compiled once.
    rows = tools.engine.view("day", f"SELECT *, DATE '{day}' AS date FROM read_parquet({quoted(str(file))})")
    staged = tools.lake.stage(table, rows, tools.engine, is_ordered=True)
    for expectation in expectations:
        report.check(expectation, staged.rows)
    details = {day: {"skipped_types": dict(fetched.skipped)}} if fetched.skipped else {}
    report.add(tools.lake.publish(staged, [cluster], [day], details=details, may_empty=False))
    tools.engine.drop(rows)
    file.unlink()
