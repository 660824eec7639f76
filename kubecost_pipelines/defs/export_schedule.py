"""export_gaps_<cluster>: the bucket heals itself: compare it with the cluster, and request what differs.

What `kubecost-pipelines export` does by hand. A day that the lake has and the bucket lacks is exported; a day that the
cluster has restated is read again, and the tables that are made from it follow.
"""

from collections.abc import Iterable, Sequence
from datetime import date

import dagster as dg

from kubecost_pipelines.clusters import ClusterClient, ClusterError
from kubecost_pipelines.core.exports.tables import ALLOCATION_EXPORT, GLUE_PARTITIONS
from kubecost_pipelines.core.tables import ALLOCATIONS
from kubecost_pipelines.defs.export_gaps import Gap, find_gaps
from kubecost_pipelines.defs.exporting import is_outdated, source_table
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.pools import limit_pools
from kubecost_pipelines.defs.requests import request_days, unfinished_run
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.settings import ClusterSettings, ExportSettings, Settings
from kubecost_pipelines.settings.locations import locate
from kubecost_pipelines.sinks import ExportError, ExportIndex, open_bucket


def build_export_schedule(
    export: ExportSettings, settings: Settings, cluster: ClusterSettings
) -> dg.ScheduleDefinition:
    """Build the schedule that heals the exported days of one cluster."""
    tables = [ALLOCATION_EXPORT, *([GLUE_PARTITIONS] if export.glue else [])]
    exported = [asset_key(table, cluster.name) for table in tables]
    collected = asset_key(ALLOCATIONS, cluster.name)
    name = f"export_gaps_{cluster.slug}"

    @dg.schedule(
        name=name,
        target=dg.AssetSelection.assets(*exported, collected),
        # Behind the collection of the night, and not all clusters at once.
        cron_schedule=f"{sum(map(ord, cluster.name)) % 60} 4,10,16,22 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING
        if settings.runs_by_itself
        else dg.DefaultScheduleStatus.STOPPED,
        description=f"Every six hours: exports the days of the last {cluster.retention_days} that the bucket lacks or "
        f"holds in another state, and reads those again whose total {cluster.name} has changed.",
        tags={"cluster": cluster.name},
    )
    def export_gaps(
        context: dg.ScheduleEvaluationContext, workbench: dg.ResourceParam[Workbench]
    ) -> Sequence[dg.RunRequest] | dg.SkipReason:
        limit_pools(context)
        if run := unfinished_run(context.instance, "dagster/schedule_name", name):
            return dg.SkipReason(f"Run {run} still works on the days of an earlier tick.")
        with workbench.open() as tools:
            try:
                gaps = _gaps(tools, export, cluster)
            except (ClusterError, ExportError) as error:
                return dg.SkipReason(str(error))
            restated, lacking = _sort(tools, export, cluster, gaps)
            for gap in gaps:
                context.log.info(f"{gap.day}: {gap.why}")
            wanted = {**dict.fromkeys(exported, lacking), collected: restated}
            requests = list(request_days(wanted, f"{name}:{tools.now:%Y-%m-%dT%H}"))
            if requests:
                return requests
            if gaps:
                return dg.SkipReason(f"The lake does not have them yet: {', '.join(str(gap.day) for gap in gaps)}.")
            return dg.SkipReason(f"The bucket has every day that {cluster.name} keeps.")

    return export_gaps


def _gaps(tools: Tools, export: ExportSettings, cluster: ClusterSettings) -> list[Gap]:
    index = ExportIndex.load(locate(tools.settings.lake), cluster.name)
    survey = find_gaps(ClusterClient(cluster), export, open_bucket(export), index, tools.now.date())
    index.save()
    return [gap for gap in survey.gaps if gap.day >= tools.settings.start_date]


def _sort(
    tools: Tools, export: ExportSettings, cluster: ClusterSettings, gaps: Iterable[Gap]
) -> tuple[list[date], list[date]]:
    """Return the days to read again, and those to export. A day that the lake lacks is neither: others see to it."""
    held = tools.lake.held_days(source_table(export), [cluster.name])
    restated, lacking = [], []
    for gap in gaps:
        written = tools.lake.describe(ALLOCATIONS, [cluster.name], gap.day)
        if written and is_outdated(written, gap.cluster_total):
            restated.append(gap.day)
        elif gap.day in held:
            lacking.append(gap.day)
    return restated, lacking
