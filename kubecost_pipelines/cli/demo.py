"""The demo: a fictional company's bill and clusters, through Dagster, and what was found."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import dagster as dg
import duckdb
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from kubecost_pipelines.cli.findings import FINDINGS, Finding
from kubecost_pipelines.core.tables import CLOUD_BILLING
from kubecost_pipelines.core.window import DAY, Window
from kubecost_pipelines.definitions import build_definitions
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.demo.aws_bill import write_aws_bill
from kubecost_pipelines.demo.azure_bill import write_azure_bill
from kubecost_pipelines.demo.cluster_api import serve_cluster
from kubecost_pipelines.demo.company import ACCOUNT_ID, CLUSTERS, PROJECT_ID, SUBSCRIPTION_ID
from kubecost_pipelines.demo.gcp_bill import write_gcp_bill
from kubecost_pipelines.demo.model import Cluster
from kubecost_pipelines.settings import CONFIG_VARIABLE, Settings, load_settings

CONFIG = "kubecost-pipelines.yaml"


@dataclass(frozen=True)
class DemoFolder:
    """Where the demo keeps its bills (`bill` is AWS's), its lake, its settings and its Dagster instance."""

    root: Path

    @property
    def bills(self) -> Path:
        return self.root / "bills"

    @property
    def bill(self) -> Path:
        return self.bills / "cur"

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def config(self) -> Path:
        return self.root / CONFIG

    @property
    def dagster_home(self) -> Path:
        return self.root / "dagster_home"


def run_demo(root: Path, day_count: int) -> None:
    """Write the company, materialise its days, restate one of them, and print what was found."""
    console = Console()
    folder = DemoFolder(root.absolute())
    yesterday = datetime.now(UTC).date() - DAY
    days = Window.of_days(yesterday - (day_count - 1) * DAY, yesterday).days
    restated = days[day_count // 2]
    with console.status(f"Writing Lantern Books: the bill of {day_count} days"):
        _start_clean(folder)
        write_aws_bill(folder.bill, days, version=1, restated_day=restated)
        write_gcp_bill(folder.bills / "gcp", days)
        write_azure_bill(folder.bills / "azure", days)
    with _quiet_instance(folder) as instance, ExitStack() as running:
        endpoints = {one.name: running.enter_context(serve_cluster(one.name, days)) for one in _monitored()}
        _write_settings(folder, days[0], endpoints)
        checks = _materialise(console, folder, instance, days, "first version of the bill")
        old = _billed(folder, restated)
        write_aws_bill(folder.bill, days, version=2, restated_day=restated)
        bill = asset_key(CLOUD_BILLING, "aws", ACCOUNT_ID)
        _materialise(console, folder, instance, [restated], f"{restated}, restated by AWS", bill)
    _print_findings(console, folder, days)
    _print_failed_checks(console, checks)
    console.print(f"\nRestated: the bill of {restated} was {old:,.5f} and is {_billed(folder, restated):,.5f} USD.")
    console.print("\n[bold]make dev[/bold] opens both:")
    console.print("  the dashboard            http://localhost:9090")
    console.print("  graph, checks, backfills http://localhost:3000 (Dagster)")


def open_ui(root: Path, port: int, api_port: int) -> None:
    """Run `dagster dev` and `serve` on the user's settings; without any, on the demo with its clusters."""
    folder = DemoFolder(root.absolute())
    environment = {"DAGSTER_EVENT_BATCH_SIZE": "100"} | os.environ
    with ExitStack() as running:
        if load_settings() is None and folder.config.exists():
            environment |= {CONFIG_VARIABLE: str(folder.config), "DAGSTER_HOME": str(folder.dagster_home)}
            settings = load_settings(folder.config)
            assert settings is not None  # noqa: S101 - the file exists
            _serve_again(settings, running)
        commands = [["-m", "dagster", "dev", "-m", "kubecost_pipelines.definitions", "-p", str(port)]]
        if CONFIG_VARIABLE in environment or load_settings() is not None:
            commands.append(["-c", "from kubecost_pipelines.cli import main; main()", "serve", "--port", str(api_port)])
            print(f"Dashboard: http://localhost:{api_port}    Dagster: http://localhost:{port}", flush=True)
        # `dagster dev` ends its own by SIGINT, which they would inherit as ignored from a shell's background.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        processes = [
            subprocess.Popen([sys.executable, *command], env=environment)  # noqa: S603 - our own interpreter
            for command in commands
        ]
        signal.signal(signal.SIGTERM, lambda *_: _end(processes))
        try:
            code = processes[0].wait()
        except KeyboardInterrupt:
            code = processes[0].wait()
        finally:
            _end(processes[1:])
        sys.exit(code)


def _end(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    for process in processes:
        process.terminate()


def _start_clean(folder: DemoFolder) -> None:
    if folder.root.exists() and not folder.config.exists() and any(folder.root.iterdir()):
        sys.exit(f"{folder.root} is not a demo's folder, and is not empty: name another one.")
    shutil.rmtree(folder.root, ignore_errors=True)
    folder.dagster_home.mkdir(parents=True)
    (folder.dagster_home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\nnux: {enabled: false}\n", encoding="utf-8"
    )


def _write_settings(folder: DemoFolder, first: date, endpoints: Mapping[str, str]) -> None:
    clusters = [
        {
            "name": one.name,
            "endpoint": endpoints[one.name],
            "provider": one.provider,
            "account": one.account or ACCOUNT_ID,
        }
        for one in _monitored()
    ]
    settings = {
        "lake": folder.lake.as_uri(),
        "start_date": str(first),
        "cloud_stores": [
            {"provider": "aws", "id": ACCOUNT_ID, "name": "shop", "export": folder.bill.as_uri()},
            {"provider": "gcp", "id": PROJECT_ID, "name": "models", "export": (folder.bills / "gcp").as_uri()},
            {"provider": "azure", "id": SUBSCRIPTION_ID, "name": "ledger", "export": (folder.bills / "azure").as_uri()},
        ],
        "clusters": clusters,
        "label_keys": ["team", "env", "app"],
    }
    folder.config.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def _monitored() -> Sequence[Cluster]:
    return [cluster for cluster in CLUSTERS if cluster.is_monitored]


def _serve_again(settings: Settings, running: ExitStack) -> None:
    """Serve the demo's clusters where its settings say, up to yesterday."""
    days = Window.of_days(settings.start_date, datetime.now(UTC).date() - DAY).days
    for cluster in settings.clusters:
        port = urlsplit(cluster.endpoint).port or 0
        try:
            running.enter_context(serve_cluster(cluster.name, days, port))
        except OSError as error:
            sys.exit(
                f"port {port}, where the demo's {cluster.name} listens, is taken ({error}). Run `make demo` again."
            )


@contextmanager
def _quiet_instance(folder: DemoFolder) -> Iterator[dg.DagsterInstance]:
    """Open the demo's Dagster instance; its log goes to a file, so that the screen is for the findings."""
    os.environ["DAGSTER_HOME"] = str(folder.dagster_home)
    with (
        (folder.root / "dagster.log").open("a", encoding="utf-8") as log,
        redirect_stderr(log),
        dg.DagsterInstance.get() as instance,
    ):
        yield instance


def _materialise(
    console: Console,
    folder: DemoFolder,
    instance: dg.DagsterInstance,
    days: Sequence[date],
    what: str,
    changed: dg.AssetKey | None = None,
) -> list[dg.AssetCheckEvaluation]:
    """Run the graph for `days` in one run, or what is made from `changed` and that itself; return the checks."""
    settings = load_settings(folder.config)
    assert settings is not None  # noqa: S101 - written above
    definitions = build_definitions(settings)
    graph = definitions.resolve_asset_graph()
    chosen = dg.AssetSelection.assets(changed).downstream() if changed else dg.AssetSelection.all()
    keys = chosen.resolve(graph)
    run_id = str(uuid4())
    with _progress(console) as progress:
        task = progress.add_task(what, total=len(keys))

        def show(event: dg.EventLogEntry) -> None:
            if event.dagster_event and event.dagster_event.is_step_start:
                progress.update(task, description=f"{what}: {_asset_of(event.dagster_event)}")
            elif event.dagster_event and event.dagster_event.is_step_success:
                progress.advance(task)

        instance.add_event_listener(run_id, show)
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            run_id=run_id,
            asset_selection=sorted(keys),
            tags={
                "dagster/asset_partition_range_start": str(days[0]),
                "dagster/asset_partition_range_end": str(days[-1]),
            },
            raise_on_error=False,
        )
        if failed := [_asset_of(event) for event in result.all_events if event.is_step_failure]:
            sys.exit(f"{', '.join(failed)} failed: see {folder.root / 'dagster.log'}")
        progress.update(task, description=what)
    return list(result.get_asset_check_evaluations())


def _asset_of(event: dg.DagsterEvent) -> str:
    return (event.step_key or "").replace("__", "/")


def _progress(console: Console) -> Progress:
    bar = BarColumn(bar_width=24)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        bar,
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _print_findings(console: Console, folder: DemoFolder, days: Sequence[date]) -> None:
    with duckdb.connect() as connection:
        for finding in FINDINGS:
            cursor = connection.execute(finding.query.format(lake=folder.lake))
            names = [column[0] for column in cursor.description or []]
            _print_grid(console, finding, names, cursor.fetchall())
    console.print(f"{len(days)} days, {days[0]} to {days[-1]}; costs in USD.")


def _print_grid(console: Console, finding: Finding, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    grid = Grid(title=finding.title, title_justify="left", caption=finding.note, caption_justify="left")
    for position, name in enumerate(names):
        is_text = any(isinstance(row[position], str) for row in rows)
        # Folded, not cut: ids differ in their last letters.
        grid.add_column(name.replace("_", " "), justify="left" if is_text else "right", overflow="fold")
    for row in rows:
        grid.add_row(*map(_cell, row))
    console.print(grid)


def _print_failed_checks(console: Console, checks: Sequence[dg.AssetCheckEvaluation]) -> None:
    failed = [check for check in checks if not check.passed]
    console.print(f"\n{len(checks)} checks ran, {len(failed)} did not pass:")
    for check in failed:
        console.print(f"  {check.asset_key.to_user_string()}: [bold]{check.check_name}[/bold] ({check.severity.value})")


def _cell(value: Any) -> str:
    if isinstance(value, float | Decimal):
        return f"{value:,.2f}"
    return "" if value is None else str(value)


def _billed(folder: DemoFolder, day: date) -> Decimal:
    path = folder.lake / "cloud_billing" / "aws" / ACCOUNT_ID / f"date={day}" / "data.parquet"
    with duckdb.connect() as connection:
        [row] = connection.execute("SELECT sum(billed_cost) FROM read_parquet($path)", {"path": str(path)}).fetchall()
    return Decimal(row[0])
