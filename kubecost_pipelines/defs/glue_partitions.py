"""glue_partitions: what Athena sees of an export, registered in the same run and counted there."""

from collections.abc import Sequence
from datetime import date
from math import isclose
from typing import Any

import dagster as dg

from kubecost_pipelines.core.expectations import Expectation
from kubecost_pipelines.core.exports.keys import drop_in_key, native_key
from kubecost_pipelines.core.exports.tables import ALLOCATION_EXPORT, GLUE_PARTITIONS
from kubecost_pipelines.defs.describing import check_spec, daily_asset, of_cluster
from kubecost_pipelines.defs.exporting import source_table
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.reporting import Materialized, Report, as_table, window_of
from kubecost_pipelines.lake import Written
from kubecost_pipelines.settings import ClusterSettings, ExportSettings, GlueSettings, Settings
from kubecost_pipelines.sinks import Bucket, ExportError, GlueCatalog, Manifest, Registered, open_bucket

ATHENA_AGREES = Expectation(
    "athena_agrees",
    "Athena counts the rows and the cost that each file says of itself. Where it does not, a partition or a column of "
    "the table is wrong: look at the table in Glue, and materialise this day again.",
    lambda rows: rows,
)


def build_glue_partitions(
    export: ExportSettings, glue: GlueSettings, settings: Settings, cluster: ClusterSettings
) -> dg.AssetsDefinition:
    """Build the asset that registers a cluster's exported days."""
    key = asset_key(GLUE_PARTITIONS, cluster.name)
    place = of_cluster(cluster) | {"group": "export"}

    @daily_asset(
        settings,
        GLUE_PARTITIONS,
        [cluster.name],
        deps={ALLOCATION_EXPORT.name: [asset_key(ALLOCATION_EXPORT, cluster.name)]},
        kinds={"glue", "athena"},
        path=f"{glue.database}.{glue.table}",
        check_specs=[check_spec(key, ATHENA_AGREES)] if glue.verify else [],
        **place,
    )
    def glue_partitions(context: dg.AssetExecutionContext) -> Materialized:
        report = Report(context)
        bucket = open_bucket(export)
        catalog = GlueCatalog(export, glue, source_table(export), bucket, settings.clusters)
        exported = _exported(bucket, export, cluster, window_of(context).days, report)
        registered = catalog.register(cluster, list(exported)) if exported else []
        shown = [{"table": r.table, "partition": "/".join(r.values), "state": r.state} for r in registered]
        report.metadata["partitions"] = as_table(shown)
        for day, manifest in exported.items():
            try:
                offenders = _compare(catalog, bucket, cluster, day) if glue.verify else []
            except ExportError as error:
                context.log.error(str(error))
                report.failures[str(day)] = error
                continue
            if glue.verify:
                report.note(ATHENA_AGREES, offenders)
            report.add([Written(day, len(registered), {"total_cost": manifest.total_cost}, details=_of(registered))])
        return report.result()

    return glue_partitions


def _exported(
    bucket: Bucket, export: ExportSettings, cluster: ClusterSettings, days: Sequence[date], report: Report
) -> dict[date, Manifest]:
    """Return what the file of each day says of itself; a day without a file is a failure of that day."""
    found = {}
    for day in days:
        is_drop_in = "drop_in" in export.layouts
        key = drop_in_key(cluster.exported, day) if is_drop_in else native_key(cluster.name, day, "allocations")
        manifest = bucket.describe(key)
        if manifest is None:
            report.failures[str(day)] = ExportError(
                f"{bucket.uri(key)} is missing, or not ours. Materialise allocation_export/{cluster.name} of that day."
            )
        else:
            found[day] = manifest
    return found


def _compare(catalog: GlueCatalog, bucket: Bucket, cluster: ClusterSettings, day: date) -> list[dict[str, Any]]:
    """Return the files of which Athena sees something else than they say of themselves."""
    offenders = []
    for seen in catalog.count(cluster, day):
        said = bucket.describe(seen.key)
        if said and said.rows == seen.rows and isclose(said.total_cost, seen.total_cost, rel_tol=1e-9, abs_tol=1e-9):
            continue
        figures = {"rows_in_athena": seen.rows, "total_cost_in_athena": seen.total_cost}
        held = {"rows": said.rows, "total_cost": said.total_cost} if said else {"rows": None, "total_cost": None}
        offenders.append({"date": day, "table": seen.table, **held, **figures})
    return offenders


def _of(registered: Sequence[Registered]) -> dict[str, int]:
    states = [one.state for one in registered]
    return {state: states.count(state) for state in dict.fromkeys(states)}
