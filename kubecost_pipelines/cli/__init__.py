"""The command line: parse, call what does the work, print."""

import sys
from datetime import datetime
from pathlib import Path

import click

from kubecost_pipelines.cli.backfills import rebuild, repair
from kubecost_pipelines.cli.status import status
from kubecost_pipelines.operations.errors import OperationError
from kubecost_pipelines.settings import SettingsError

CONTEXT = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=CONTEXT)
def cli() -> None:
    """Reconciled Kubernetes cost, from cloud bills and clusters to daily Parquet."""


@cli.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path(".demo"))
@click.option(
    "--days", type=click.IntRange(5, 60), default=14, show_default=True, help="How many days, ending yesterday."
)
def demo(folder: Path, days: int) -> None:
    """Materialise a small demo company in FOLDER (default .demo) and print what was found."""
    from kubecost_pipelines.cli.demo import run_demo  # noqa: PLC0415 - Dagster takes a second to import

    run_demo(folder, days)


@cli.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path(".demo"))
@click.option("--port", type=int, default=3000, show_default=True, help="Port of the Dagster UI.")
@click.option("--api-port", type=int, default=9090, show_default=True, help="Port of the dashboard and the API.")
def dev(folder: Path, port: int, api_port: int) -> None:
    """Open Dagster and the dashboard on your settings; without any, on the demo in FOLDER (default .demo)."""
    from kubecost_pipelines.cli.demo import open_ui  # noqa: PLC0415 - as above

    open_ui(folder, port, api_port)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead.")
def check(as_json: bool) -> None:
    """Ask every bill and every cluster of your settings whether they can be read; exit with 1 where one cannot."""
    from kubecost_pipelines.cli.preflight import run_preflight  # noqa: PLC0415 - as above

    sys.exit(run_preflight(as_json=as_json))


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=9090, show_default=True, help="Port to listen on.")
@click.option(
    "--audit-log", type=click.Path(dir_okay=False, path_type=Path), help="File to which every operation is added."
)
def serve(host: str, port: int, audit_log: Path | None) -> None:
    """Serve the HTTP API, as Kubecost and OpenCost do, over your lake.

    Beyond the loopback interface a token is needed: $KUBECOST_PIPELINES_READ_TOKEN, $KUBECOST_PIPELINES_OPERATE_TOKEN,
    or files that the same names with _FILE name.
    """
    from kubecost_pipelines.cli.serve import run_server  # noqa: PLC0415 - as above

    run_server(host, port, audit_log)


@cli.command()
@click.option("--cluster", required=True, help="Name of the cluster in your settings.")
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The UTC day, YYYY-MM-DD.")
@click.option("--namespace", help="Only this namespace.")
@click.option("--pod", help="Only this pod.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def explain(cluster: str, day: datetime, namespace: str | None, pod: str | None, as_json: bool) -> None:
    """Say why a workload costs what it costs: its assets, its shares of them, and the bill rows behind them."""
    from kubecost_pipelines.cli.explain import run_explain  # noqa: PLC0415 - as above

    run_explain(cluster, day.date(), namespace=namespace, pod=pod, as_json=as_json)


cli.add_command(rebuild)
cli.add_command(repair)
cli.add_command(status)


@cli.command()
@click.option("--cluster", "clusters", multiple=True, help="Only this cluster; may be given several times.")
@click.option("--force", is_flag=True, help="Export every day that the cluster still has, whatever the bucket has.")
@click.option("--dry-run", is_flag=True, help="Print the days that would be exported, and why.")
def export(clusters: tuple[str, ...], force: bool, dry_run: bool) -> None:
    """Export the days that a cluster has and the bucket lacks, or whose totals have changed; exit with 1 on failures.

    Estimates come straight from the cluster, reconciled rows from the lake. Needs no Dagster: it can stand where the
    CronJob of the containers-cost-allocation-dashboard stood.
    """
    from kubecost_pipelines.cli.export import Options, run_export  # noqa: PLC0415 - loads what reads and writes

    sys.exit(run_export(clusters, Options(force=force, dry_run=dry_run, is_own_process=True)))


@cli.command("iam-policy")
@click.argument("cluster")
@click.option("--account", default="*", show_default=True, help="Account of the Glue catalog and the workgroup.")
def iam_policy(cluster: str, account: str) -> None:
    """Print the least that the identity of CLUSTER's export must be allowed in AWS, as a policy document."""
    from kubecost_pipelines.cli.iam_policy import print_policy  # noqa: PLC0415 - as above

    print_policy(cluster, account)


def main() -> None:
    """Run the command line; an error that we understand is printed without its traceback."""
    try:
        cli()
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except OperationError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
