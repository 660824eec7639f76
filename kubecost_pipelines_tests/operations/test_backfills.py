"""Rebuild and repair as a user types them, against a real Dagster: webserver, daemon and run workers."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from kubecost_pipelines.core.window import DAY
from kubecost_pipelines.settings import CONFIG_VARIABLE
from kubecost_pipelines_tests.api.served import serve
from kubecost_pipelines_tests.dagster_server import (
    ACCOUNT,
    YESTERDAY,
    DagsterServer,
    serve_dagster,
    write_deployment,
)
from kubecost_pipelines_tests.replay import DATA, serve_replay

DAYS = [YESTERDAY - DAY * i for i in range(4, -1, -1)]


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterServer]:
    folder = tmp_path_factory.mktemp("dagster")
    with serve_dagster(folder, write_deployment(folder, DAYS)) as server:
        yield server


def file_of(dagster: DagsterServer, table: str, day: date) -> Path:
    return dagster.lake / table / "aws" / ACCOUNT / f"date={day}" / "data.parquet"


def dagster_backfills(dagster: DagsterServer) -> set[str]:
    with dagster.instance() as instance:
        return {backfill.backfill_id for backfill in instance.get_backfills()}


def test_rebuild_and_repair(dagster: DagsterServer) -> None:
    asked = dagster.cli("rebuild", "cloud-assets")
    assert (asked.returncode, asked.stderr) == (2, "")
    assert f"2 assets × 5 days, {DAYS[0]} to {DAYS[-1]}" in asked.stdout
    assert "Add --commit" in asked.stdout

    first = dagster.cli("rebuild", "cloud-assets", "--provider", ACCOUNT, "--commit")
    assert first.returncode == 0, first.stderr
    refused = dagster.cli("repair", "cloud-assets", "--window", "7d")
    assert refused.returncode == 6
    assert "is at work on these days: http" in refused.stderr

    again = dagster.cli("rebuild", "cloud-assets", "--commit", "--wait")
    assert again.returncode == 0, again.stdout + again.stderr
    [canceled] = re.findall(r"ending backfill (\w+)", again.stdout)
    assert f"Started backfill {canceled}:" in first.stdout
    assert "Done: 10 asset days written." in again.stdout
    with dagster.instance() as instance:
        assert str(instance.get_backfill(canceled).status.value) == "CANCELED"  # type: ignore[union-attr]
    assert all(file_of(dagster, "cloud_assets", day).exists() for day in DAYS)

    known = dagster_backfills(dagster)
    listed = dagster.cli("repair", "cloud-assets", "--window", "3d", "--dry-run")
    assert listed.returncode == 0, listed.stderr
    assert [str(day) for day in DAYS if str(day) in listed.stdout] == [str(day) for day in DAYS[-2:]]
    assert dagster_backfills(dagster) == known

    before = {day: file_of(dagster, "cloud_billing", day).stat().st_mtime_ns for day in DAYS}
    repaired = dagster.cli("repair", "cloud-assets", "--window", "3d", "--provider", f"aws/{ACCOUNT}", "--wait")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    written = [day for day in DAYS if file_of(dagster, "cloud_billing", day).stat().st_mtime_ns != before[day]]
    assert written == DAYS[-2:]

    reconciled = dagster.cli("rebuild", "reconciliation", "--commit", "--wait")
    assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr
    assert all(file_of(dagster, "reconciled_assets", day).exists() for day in DAYS)
    assert {file.parent.name for file in dagster.lake.glob("asset_costs/*/data.parquet")} == {
        f"date={day}" for day in DAYS
    }


def test_over_http_a_rebuild_really_runs_and_its_figures_are_answered(dagster: DagsterServer) -> None:
    store = {"provider": "aws", "id": ACCOUNT, "export": (dagster.home.parent / "bills" / "cur").as_uri()}
    settings: dict[str, Any] = {"start_date": DAYS[0], "cloud_stores": [store], "dagster_url": dagster.url}
    written = {day: file_of(dagster, "cloud_billing", day).stat().st_mtime_ns for day in DAYS}
    with serve(dagster.lake, clock=lambda: datetime.now(UTC), **settings) as server:
        unconfirmed = server.get("/model/etl/asset/cloud/rebuild", provider=ACCOUNT)
        started = server.get("/model/etl/asset/cloud/rebuild", commit="true", provider=ACCOUNT)
        meanwhile = server.get("/model/cloudCost/repair", window="3d")

        backfill = started.json()["backfill"]
        ended = _wait_for(dagster, backfill["id"])
        server.serving.refresh()
        window = f"{DAYS[0]}T00:00:00Z,{YESTERDAY + DAY}T00:00:00Z"
        [answered] = server.data("/model/cloudCost", window=window, aggregate="provider", accumulate="true")["sets"]

    assert (unconfirmed.status_code, started.status_code, meanwhile.status_code) == (400, 200, 409)
    assert f"backfill {backfill['id']} of cloud-assets is at work on these days: {dagster.url}" in meanwhile.text
    assert backfill["link"].startswith(dagster.url)
    assert backfill["link"].endswith(backfill["id"])
    assert (backfill["firstDay"], backfill["lastDay"]) == (str(DAYS[0]), str(DAYS[-1]))
    assert ended == "COMPLETED_SUCCESS"
    assert all(file_of(dagster, "cloud_billing", day).stat().st_mtime_ns > written[day] for day in DAYS)
    files = [str(file_of(dagster, "cloud_billing", day)) for day in DAYS]
    with duckdb.connect() as engine:
        [(billed,)] = engine.execute(f"SELECT sum(effective_cost) FROM read_parquet({files})").fetchall()
    assert answered["cloudCosts"]["AWS"]["amortizedNetCost"]["cost"] == pytest.approx(float(billed), abs=1e-6)
    assert billed > 0


def _wait_for(dagster: DagsterServer, backfill: str) -> str:
    """Return how a backfill ended."""
    deadline = time.monotonic() + 240
    with dagster.instance() as instance:
        while (found := instance.get_backfill(backfill)) and not found.status.value.startswith(("COMPLETED", "FAILED")):
            assert time.monotonic() < deadline, f"{backfill} does not end: {found.status}"
            time.sleep(1)
        return str(found.status.value) if found else "gone"


def test_a_backfill_that_fails_says_which_asset_and_where_to_read_why(dagster: DagsterServer) -> None:
    bills = dagster.home.parent / "bills"
    bills.rename(bills.with_name("gone"))
    try:
        done = dagster.cli("repair", "cloud-assets", "--window", "yesterday", "--wait")
    finally:
        bills.with_name("gone").rename(bills)

    assert done.returncode == 7
    assert f"1 days of cloud_billing/aws/{ACCOUNT}" in done.stderr
    assert f"{dagster.url}/runs/b/" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["repair", "cloud-assets", "--window", "7x"], 4, "illegal window: 7x"),
        (["repair", "cloud-assets", "--window", "7d", "--provider", "999"], 3, f"There are: aws/{ACCOUNT}"),
        (["rebuild", "allocations", "--commit"], 3, "no bill or cluster that it runs for"),
        (["rebuild", "cloud-assets", "--cluster", "one", "--commit"], 3, "--provider"),
        (
            ["rebuild", "cloud-assets", "--dagster-url", "http://127.0.0.1:1", "--commit"],
            5,
            "Start one with `make dev`",
        ),
        (["rebuild", "cloud-assets", "--dagster-url", "http://127.0.0.1:1"], 5, "--local"),
    ],
)
def test_each_kind_of_mistake_has_its_words_and_exit_code(
    dagster: DagsterServer, arguments: list[str], code: int, words: str
) -> None:
    done = dagster.cli(*arguments)

    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_without_any_server_the_same_runs_in_process(tmp_path: Path) -> None:
    environment = write_deployment(tmp_path, DAYS)
    command = [str(Path(sys.executable).parent / "kubecost-pipelines"), "repair", "cloud-assets", "--window", "3d"]

    done = subprocess.run([*command, "--local"], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "recorded in" in done.stdout
    found = sorted(path.parent.name for path in (tmp_path / "lake").glob("cloud_assets/*/*/*/data.parquet"))
    assert found == [f"date={day}" for day in DAYS[-2:]]


def test_each_pipeline_writes_its_own_tables_for_one_cluster(tmp_path: Path) -> None:
    """The recorded cluster and its bill, on one day of its month."""
    window = "2026-10-05T00:00:00Z,2026-10-06T00:00:00Z"
    environment = write_deployment(tmp_path, DAYS[:1])
    content: dict[str, Any] = {
        "lake": (tmp_path / "lake").as_uri(),
        "start_date": "2026-10-01",
        "cloud_stores": [{"provider": "aws", "id": ACCOUNT, "export": (DATA / "aws/bills/cur").as_uri()}],
    }

    def repair(pipeline: str) -> set[str]:
        """Return the tables that are newly there."""
        before = tables()
        command = [str(Path(sys.executable).parent / "kubecost-pipelines"), "repair", pipeline, "--window", window]
        done = subprocess.run([*command, "--local"], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return tables() - before

    def tables() -> set[str]:
        return {file.relative_to(tmp_path / "lake").parts[0] for file in (tmp_path / "lake").rglob("data.parquet")}

    with serve_replay() as replay:
        cluster = {"name": "prod-eks-1", "endpoint": replay.endpoint, "provider": "aws", "account": ACCOUNT}
        content["clusters"] = [cluster]
        Path(environment[CONFIG_VARIABLE]).write_text(yaml.safe_dump(content), encoding="utf-8")
        made = [repair(pipeline) for pipeline in ("cloud-assets", "reconciliation", "allocations")]

    assert made == [
        {"cloud_billing", "cloud_assets"},
        {"reconciled_assets", "asset_costs"},
        {"allocations", "reconciled_allocations"},
    ]


def test_a_rebuild_of_one_bill_does_not_end_what_is_at_work_on_others_too(tmp_path: Path) -> None:
    environment = write_deployment(tmp_path, DAYS[:1])
    settings = Path(environment[CONFIG_VARIABLE])
    content = yaml.safe_load(settings.read_text(encoding="utf-8"))
    content["cloud_stores"].append({**content["cloud_stores"][0], "id": "444455556666"})
    settings.write_text(yaml.safe_dump(content), encoding="utf-8")

    with serve_dagster(tmp_path, environment, has_daemon=False) as server:
        of_all = server.cli("rebuild", "cloud-assets", "--commit")
        of_one = server.cli("rebuild", "cloud-assets", "--provider", ACCOUNT, "--commit")
        [at_work] = dagster_backfills(server)
        with server.instance() as instance:
            status = instance.get_backfill(at_work).status.value  # type: ignore[union-attr]

    assert of_all.returncode == 0, of_all.stderr
    assert of_one.returncode == 6
    assert f"backfill {at_work} of cloud-assets is at work on this and on more: {server.url}/runs/b/" in of_one.stderr
    assert status == "REQUESTED"


def test_a_code_location_that_does_not_load_is_named_with_its_error(tmp_path: Path) -> None:
    environment = write_deployment(tmp_path, DAYS[:1])
    with serve_dagster(tmp_path, environment, module_name="no_such_module") as server:
        done = server.cli("rebuild", "cloud-assets")
    assert done.returncode == 5
    assert "\n  no_such_module did not load: " in done.stderr
    assert "No module named 'no_such_module'" in done.stderr
