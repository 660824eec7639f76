"""Run workers that die, and runs that want the same days: Dagster on PostgreSQL, its processes, and the lake."""

import os
import re
import signal
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from benchmarks.kills import run_restated_trials, run_trials
from kubecost_pipelines.core.window import DAY
from kubecost_pipelines.operations.backfills import wait_for
from kubecost_pipelines.operations.pipelines import plan_repair
from kubecost_pipelines.operations.webserver import Webserver
from kubecost_pipelines_tests.dagster_server import (
    ACCOUNT,
    YESTERDAY,
    DagsterServer,
    serve_dagster,
    wait_until,
    write_deployment,
)
from kubecost_pipelines_tests.servers import serve_postgres

DAYS = [YESTERDAY - DAY * i for i in range(19, -1, -1)]


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterServer]:
    folder = tmp_path_factory.mktemp("dagster")
    with serve_postgres() as port:
        environment = write_deployment(folder, DAYS, postgres_port=port)
        with serve_dagster(folder, environment, seconds_in_queue=1) as server:
            yield server


def run_worker(instance: dg.DagsterInstance, run_id: str) -> int:
    """Return the process id of a run, as Dagster's own log tells it."""
    words = " ".join(entry.message for entry in instance.all_logs(run_id))
    return int(re.findall(r"Started process for run \(pid: (\d+)\)", words)[-1])


def rows_of(lake: Path, table: str) -> dict[date, int]:
    paths = {day: lake / table / "aws" / ACCOUNT / f"date={day}" / "data.parquet" for day in DAYS}
    return {day: pq.read_table(path).num_rows for day, path in paths.items() if path.exists()}


def test_a_killed_run_worker_is_retried_and_the_days_are_whole(dagster: DagsterServer) -> None:
    started = dagster.cli("repair", "cloud-assets", "--window", "20d")
    assert started.returncode == 0, started.stderr
    backfill_id = started.stdout.split("Started backfill ")[1].split(":")[0]
    billing = dagster.lake / "cloud_billing"
    with dagster.instance() as instance:
        wait_until(lambda: list(billing.rglob("data.parquet")), 120, every=0.02)
        [first] = instance.get_runs()
        os.kill(run_worker(instance, first.run_id), signal.SIGKILL)

        wait_for(Webserver(dagster.url), backfill_id, lambda _: None)

        runs = {run.run_id: run for run in instance.get_runs()}
    [second] = [run for run in runs.values() if run.parent_run_id == first.run_id]
    assert runs[first.run_id].status is dg.DagsterRunStatus.FAILURE
    assert second.status is dg.DagsterRunStatus.SUCCESS
    assert second.tags["dagster/retry_number"] == "1"
    billed, unclaimed = rows_of(dagster.lake, "cloud_billing"), rows_of(dagster.lake, "cloud_assets")
    assert list(billed) == DAYS[1:]
    assert billed == unclaimed


def test_two_runs_of_one_day_exclude_each_other(dagster: DagsterServer) -> None:
    webserver = Webserver(dagster.url)
    plan = plan_repair(webserver.graph(), "cloud-assets", "yesterday", datetime.now(UTC))

    backfills = [webserver.launch(plan) for _ in range(2)]
    for backfill_id in backfills:
        wait_for(webserver, backfill_id, lambda _: None)

    with dagster.instance() as instance:
        ours = dg.RunsFilter(tags={"dagster/backfill": backfills})
        spans = sorted((run.start_time or 0, run.end_time or 0) for run in instance.get_run_records(ours))
    assert len(spans) >= 2
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_workers_killed_while_they_write_leave_whole_days_or_none(tmp_path: Path) -> None:
    assert len(run_trials(tmp_path, 2)) > 0


def test_workers_killed_while_they_read_a_restated_bill_tell_its_restatement_once(tmp_path: Path) -> None:
    run_restated_trials(tmp_path, 2)
