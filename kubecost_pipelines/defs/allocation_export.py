"""allocation_export: a cluster's day as Parquet in the bucket that Athena and QuickSight users have today."""

from datetime import date

import dagster as dg

from kubecost_pipelines.core.exports.tables import ALLOCATION_EXPORT
from kubecost_pipelines.defs.describing import daily_asset, of_cluster
from kubecost_pipelines.defs.exporting import DAY_CURE, rows_of_lake, source_table
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.reporting import Materialized, Report, as_table, window_of
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.lake import LakeError, Written
from kubecost_pipelines.settings import ClusterSettings, ExportSettings, Settings
from kubecost_pipelines.settings.locations import locate
from kubecost_pipelines.sinks import (
    Bucket,
    ExportedDay,
    ExportError,
    ExportIndex,
    export_day,
    in_file_words,
    open_bucket,
)


def build_allocation_export(
    export: ExportSettings, settings: Settings, cluster: ClusterSettings
) -> dg.AssetsDefinition:
    """Build the asset that writes a cluster's allocations where `export.location` says."""
    table = source_table(export)
    place = of_cluster(cluster) | {"group": "export"}

    @daily_asset(
        settings,
        ALLOCATION_EXPORT,
        [cluster.name],
        deps={table.name: [asset_key(table, cluster.name)]},
        kinds={"s3" if export.location.startswith("s3:") else "file"},
        path=export.location,
        **place,
    )
    def allocation_export(context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]) -> Materialized:
        days = window_of(context).days
        bucket = open_bucket(export)
        with workbench.open() as tools:
            report = Report(context, settled=tools.settled(days))
            index = ExportIndex.load(locate(settings.lake), cluster.name)
            for day in days:
                try:
                    exported = _export(tools, export, cluster, bucket, day)
                except (ExportError, LakeError) as error:
                    context.log.error(str(error))
                    report.failures[str(day)] = error
                else:
                    index.add(exported)
                    report.add([_written(exported)])
            index.save()
            return report.result()

    return allocation_export


def _export(tools: Tools, export: ExportSettings, cluster: ClusterSettings, bucket: Bucket, day: date) -> ExportedDay:
    with in_file_words(f"export {day} of {cluster.name}", DAY_CURE):
        source = rows_of_lake(tools.lake, tools.engine, cluster, export, day)
        return export_day(source, day, cluster, export, bucket, tools.scratch)


def _written(exported: ExportedDay) -> Written:
    files = [
        {"table": one.table, "uri": one.uri, "rows": one.manifest.rows, "bytes": one.bytes} for one in exported.files
    ]
    manifest = exported.manifest
    details = {"files": as_table(files), "source": manifest.source, "fingerprint": manifest.fingerprint}
    return Written(exported.day, manifest.rows, {"total_cost": manifest.total_cost}, details=details)
