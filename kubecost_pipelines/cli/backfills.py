"""The commands `rebuild` and `repair`."""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from kubecost_pipelines.operations.backfills import Launched, wait_for
from kubecost_pipelines.operations.backfills import rebuild as start_rebuild
from kubecost_pipelines.operations.backfills import repair as start_repair
from kubecost_pipelines.operations.errors import NoDagsterError, UnknownTargetError
from kubecost_pipelines.operations.pipelines import TABLES_OF, Graph, Pipeline, Plan, plan_rebuild, plan_repair
from kubecost_pipelines.operations.webserver import Backfill, Webserver
from kubecost_pipelines.settings import Settings, load_settings

if TYPE_CHECKING:
    import dagster as dg

NOT_COMMITTED = 2
URL_VARIABLE = "KUBECOST_PIPELINES_DAGSTER_URL"
EXIT_CODES = """\b
Exit codes: 0 done, 1 Dagster refused, 2 not committed, 3 no such bill or
cluster, 4 illegal window, 5 no Dagster answers, 6 already running, 7 the
backfill failed."""

_Command = Callable[..., Any]
_OPTIONS = (
    click.argument("pipeline", type=click.Choice(list(TABLES_OF))),
    click.option("--provider", metavar="KEY", help="One bill: `aws/111122223333` or the id alone. All when omitted."),
    click.option("--cluster", metavar="NAME", help="One cluster, for allocations. All when omitted."),
    click.option("--dry-run", is_flag=True, help="List the assets and days, and start nothing."),
    click.option("--wait", is_flag=True, help="Show a progress bar until the backfill has ended."),
    click.option("--local", is_flag=True, help="Run in this process, recorded in $DAGSTER_HOME; needs no server."),
    click.option(
        "--dagster-url", envvar=URL_VARIABLE, help=f"The webserver; else ${URL_VARIABLE}, else `dagster_url`."
    ),
)


def _with_options(command: _Command) -> _Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(epilog=EXIT_CODES)
@_with_options
@click.option("--commit", is_flag=True, help="Really do it; without this, print what would be done and exit with 2.")
def rebuild(pipeline: Pipeline, commit: bool, wait: bool, **options: Any) -> None:
    """Write the whole history of PIPELINE again, from its bills or clusters on.

    A backfill of the same pipeline that runs is ended first.
    """
    job = _Job(pipeline, **options)
    plan = plan_rebuild(job.graph(), pipeline, job.target)
    if job.dry_run or not commit:
        _print_plan(plan, with_days=job.dry_run)
        click.echo("Nothing was started." + ("" if job.dry_run else " Add --commit to start it."))
        sys.exit(0 if job.dry_run else NOT_COMMITTED)
    if job.local:
        job.run_locally(plan)
    else:
        job.follow(start_rebuild(job.webserver, pipeline, job.target, say=click.echo), wait=wait)


@click.command(epilog=EXIT_CODES)
@_with_options
@click.option("--window", required=True, help="Days to repair: 7d, yesterday, lastmonth, 2026-10-01T00:00:00Z,…")
def repair(pipeline: Pipeline, window: str, wait: bool, **options: Any) -> None:
    """Write the days of a window of PIPELINE again: every UTC day that the window touches and that has ended."""
    job = _Job(pipeline, **options)
    now = datetime.now(job.settings.zone if job.settings else UTC)
    if job.dry_run or job.local:
        plan = plan_repair(job.graph(), pipeline, window, now, job.target)
        if job.dry_run:
            _print_plan(plan, with_days=True)
            click.echo("Nothing was started.")
        else:
            job.run_locally(plan)
    else:
        job.follow(start_repair(job.webserver, pipeline, window, now, job.target), wait=wait)


class _Job:
    """What both commands have in common: whom to ask, for which bill or cluster, and what to print."""

    def __init__(
        self,
        pipeline: Pipeline,
        provider: str | None,
        cluster: str | None,
        dry_run: bool,
        local: bool,
        dagster_url: str | None,
    ) -> None:
        if cluster and pipeline != "allocations":
            raise UnknownTargetError(f"{pipeline} has no clusters, but bills: name one with --provider.")
        if provider and pipeline == "allocations":
            raise UnknownTargetError("allocations has no bills, but clusters: name one with --cluster.")
        self.target = provider or cluster
        self.dry_run = dry_run
        self.local = local
        self.settings: Settings | None = load_settings()
        url = dagster_url or (self.settings.dagster_url if self.settings else "")
        self.webserver = Webserver(url or str(Settings.model_fields["dagster_url"].default))

    def graph(self) -> Graph:
        if not self.local:
            return self.webserver.graph()
        from kubecost_pipelines.operations.local import graph_of  # noqa: PLC0415 - Dagster takes a second to import

        return graph_of(self._definitions())

    def run_locally(self, plan: Plan) -> None:
        from kubecost_pipelines.operations.local import run_locally  # noqa: PLC0415 - as above

        click.echo(plan.in_words)
        run_id = run_locally(self._definitions(), plan)
        click.echo(f"Done: run {run_id}, recorded in {os.environ['DAGSTER_HOME']}.")

    def follow(self, launched: Launched, *, wait: bool) -> None:
        click.echo(f"{launched.plan.in_words}\nStarted backfill {launched.backfill_id}: {launched.link}")
        if wait:
            _show_progress(self.webserver, launched)

    def _definitions(self) -> "dg.Definitions":
        from kubecost_pipelines.definitions import build_definitions  # noqa: PLC0415 - as above

        if self.settings is None:
            raise NoDagsterError("--local needs your settings: write kubecost-pipelines.yaml (docs/settings.md).")
        return build_definitions(self.settings)


def _print_plan(plan: Plan, *, with_days: bool) -> None:
    click.echo(plan.in_words)
    for name in (*plan.assets, *(map(str, plan.days) if with_days else ())):
        click.echo(f"  {name}")


def _show_progress(webserver: Webserver, launched: Launched) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns) as progress:
            task = progress.add_task("asset days", total=None)

            def tell(found: Backfill) -> None:
                failed = sum((found.failed or {}).values())
                words = f"asset days, {found.status.lower()}" + (f", {failed} failed" if failed else "")
                progress.update(task, description=words, total=found.targeted or None, completed=found.written + failed)

            done = wait_for(webserver, launched.backfill_id, tell)
    except KeyboardInterrupt:
        click.echo(f"\nThe backfill goes on: {launched.link}")
        raise
    click.echo(f"Done: {done.written} asset days written.")
