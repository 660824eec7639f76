"""`kubecost-pipelines export`: find the days that the bucket lacks, and export them, without Dagster."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import click

from kubecost_pipelines.clusters import ClusterClient, ClusterError
from kubecost_pipelines.core.tables import ALLOCATIONS
from kubecost_pipelines.defs.export_gaps import Gap, Survey, find_gaps
from kubecost_pipelines.defs.exporting import (
    DAY_CURE,
    is_outdated,
    leave_pandas_out,
    rows_of_cluster,
    rows_of_lake,
    source_table,
    state_in_lake,
)
from kubecost_pipelines.settings import ClusterSettings, ExportSettings, Settings, SettingsError, load_settings
from kubecost_pipelines.settings.locations import locate
from kubecost_pipelines.sinks import (
    Bucket,
    ExportedDay,
    ExportError,
    ExportIndex,
    GlueCatalog,
    SourceRows,
    export_day,
    in_file_words,
    open_bucket,
)


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    force: bool
    dry_run: bool
    today: date | None = None
    is_own_process: bool = False
    """Whether nothing else runs in this process, now or later."""


def run_export(names: Sequence[str], options: Options) -> int:
    """Export the gaps of the named clusters, or of all; return the exit code."""
    settings, export = export_settings()
    if options.is_own_process and export.source == "estimates" and export.aggregation == "container":
        leave_pandas_out()
    results = [_export_cluster(settings, export, one, options) for one in chosen_clusters(settings, names)]
    return 0 if all(results) else 1


def export_settings() -> tuple[Settings, ExportSettings]:
    """Return the settings, which must have an export."""
    settings = load_settings()
    if settings is None or settings.export is None:
        raise SettingsError("There is no `export` in the settings: add `export: {location: s3://…}`.")
    return settings, settings.export


def chosen_clusters(settings: Settings, names: Sequence[str]) -> list[ClusterSettings]:
    """Return the named clusters, or all that are exported."""
    known = {cluster.name: cluster for cluster in settings.clusters if settings.runs("export", cluster)}
    if unknown := sorted(set(names) - set(known)):
        raise SettingsError(f"No cluster {', '.join(unknown)} is exported; there are {', '.join(known) or 'none'}.")
    return [known[name] for name in names or known]


def _export_cluster(settings: Settings, export: ExportSettings, cluster: ClusterSettings, options: Options) -> bool:
    """Export one cluster's gaps; one day that fails does not keep the others from it."""
    client, bucket = ClusterClient(cluster), open_bucket(export)
    index = ExportIndex.load(locate(settings.lake), cluster.name)
    done = []
    failed = 0
    with tempfile.TemporaryDirectory(prefix="kubecost-pipelines-", dir=settings.scratch) as scratch:
        try:
            survey = _survey(settings, export, client, bucket, index, options, Path(scratch))
        except (ClusterError, ExportError) as error:
            click.echo(f"FAIL {cluster.name}  {error}")
            return False
        there = len(survey.days) - len(survey.gaps)
        click.echo(f"{cluster.name}: the cluster has {len(survey.days)} days, the bucket {there} of them")
        for gap in survey.gaps:
            if options.dry_run:
                click.echo(f"     {gap.day}  {gap.why}")
                continue
            try:
                exported = _export_gap(settings, export, client, bucket, gap, Path(scratch))
            except (ClusterError, ExportError) as error:
                click.echo(f"FAIL {gap.day}  {gap.why}; {error}")
                failed += 1
            else:
                done.append(exported)
                index.add(exported)
                click.echo(f"ok   {gap.day}  {gap.why}; {_in_words(exported, cluster)}")
    index.save()
    return _register(settings, export, cluster, bucket, done) and not failed


def _survey(
    settings: Settings,
    export: ExportSettings,
    client: ClusterClient,
    bucket: Bucket,
    index: ExportIndex,
    options: Options,
    scratch: Path,
) -> Survey:
    """Find the gaps. What is exported from the lake is compared with the lake too: a bill may have moved it."""
    today = options.today or datetime.now(UTC).date()
    if export.source == "estimates":
        return find_gaps(client, export, bucket, index, today, force=options.force)
    from kubecost_pipelines.lake import Lake  # noqa: PLC0415 - Ibis takes a second

    state_of = partial(state_in_lake, Lake(locate(settings.lake), scratch), client.cluster, export)
    return find_gaps(client, export, bucket, index, today, force=options.force, state_of=state_of)


def _in_words(exported: ExportedDay, cluster: ClusterSettings) -> str:
    manifest = exported.manifest
    return f"{manifest.rows} rows, {manifest.total_cost:,.2f} {cluster.currency}: {exported.files[-1].uri}"


def _export_gap(
    settings: Settings, export: ExportSettings, client: ClusterClient, bucket: Bucket, gap: Gap, scratch: Path
) -> ExportedDay:
    with ExitStack() as opened, in_file_words(f"export {gap.day} of {client.cluster.name}", DAY_CURE):
        if export.source == "estimates":
            source = rows_of_cluster(client, export, gap.day, scratch)
        else:
            source = _reconciled(settings, export, client, gap, scratch, opened)
        return export_day(source, gap.day, client.cluster, export, bucket, scratch)


def _reconciled(
    settings: Settings, export: ExportSettings, client: ClusterClient, gap: Gap, scratch: Path, opened: ExitStack
) -> SourceRows:
    from kubecost_pipelines.lake import Lake, LakeError, open_engine  # noqa: PLC0415 - Ibis takes a second

    engine = opened.enter_context(open_engine(settings.memory_limit, scratch))
    lake, name = Lake(locate(settings.lake), scratch), client.cluster.name
    try:
        collected = lake.describe(ALLOCATIONS, [name], gap.day)
        if collected and is_outdated(collected, gap.cluster_total):
            raise ExportError(f"the lake has what the cluster said before. Materialise allocations/{name} of that day.")
        return rows_of_lake(lake, engine, client.cluster, export, gap.day)
    except LakeError as error:
        raise ExportError(str(error)) from error


def _register(
    settings: Settings, export: ExportSettings, cluster: ClusterSettings, bucket: Bucket, done: Sequence[ExportedDay]
) -> bool:
    if not export.glue or not done:
        return True
    try:
        catalog = GlueCatalog(export, export.glue, source_table(export), bucket, settings.clusters)
        registered = catalog.register(cluster, [one.day for one in done])
    except ExportError as error:
        click.echo(f"FAIL {cluster.name}  {error}")
        return False
    click.echo(f"ok   {len(registered)} partitions in {export.glue.database}")
    return True
