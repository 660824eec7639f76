"""The fault matrix: every way in which the old exporter lost, halved or blocked days, against a live server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.cli.export import Options, run_export
from kubecost_pipelines.clusters import api
from kubecost_pipelines.settings import CONFIG_VARIABLE
from kubecost_pipelines_tests.clusters.api_server import (
    NOT_FOUND,
    ApiServer,
    Item,
    Reply,
    allocation,
    data,
    page,
    serving,
)
from kubecost_pipelines_tests.s3 import S3Server

TODAY = date(2026, 10, 6)
DAYS = [date(2026, 10, number) for number in range(2, 6)]


class Days(ApiServer):
    """A cluster with days: `faults` are answered before the first of them that is asked for at container level."""

    def __init__(self) -> None:
        super().__init__()
        self.days: dict[date, dict[str, Item]] = {}
        self.faults: dict[date, list[Reply]] = {}

    def answer(self, route: str, query: Mapping[str, str]) -> Reply:
        if not route.startswith("/model/allocation"):
            return NOT_FOUND
        first, end = (date.fromisoformat(text[:10]) for text in query["window"].split(","))
        if query.get("aggregate") == "cluster":
            days = [first + timedelta(days=number) for number in range((end - first).days)]
            return data([self.total(day) for day in days])
        if self.faults.get(first):
            return self.faults[first].pop(0)
        return data([self.days.get(first, {})])

    def total(self, day: date) -> dict[str, Item]:
        items = self.days.get(day, {})
        if not items:
            return {}
        start = f"{day}T00:00:00Z"
        return {"prod": {"name": "prod", "start": start, "totalCost": sum(i["totalCost"] for i in items.values())}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Days]:
    monkeypatch.setattr(api, "LONGEST_PAUSE_SECONDS", 0.01)
    with serving(Days()) as server:
        server.days = {day: a_day(day) for day in DAYS}
        yield server


def a_day(day: date, containers: int = 4) -> dict[str, Item]:
    start, end = f"{day}T00:00:00Z", f"{day + timedelta(days=1)}T00:00:00Z"
    times = {"start": start, "end": end, "window": {"start": start, "end": end}}
    items = [allocation(f"prod/n1/shop/web-{number}/web", **times) for number in range(containers)]
    return {item["name"]: item for item in items}


@pytest.fixture
def run(cluster: Days, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command on settings that may be changed."""

    def export(*, force: bool = False, dry_run: bool = False, **changed: Any) -> int:
        file = tmp_path / "settings.yaml"
        file.write_text(json.dumps(settings_of(cluster, tmp_path, **changed)))
        monkeypatch.setenv(CONFIG_VARIABLE, str(file))
        return run_export([], Options(force=force, dry_run=dry_run, today=TODAY))

    return export


OF_CLUSTER = ("name", "retention_days", "flavour", "provider", "account", "region")


def settings_of(cluster: Days, folder: Path, **changed: Any) -> dict[str, Any]:
    """Return settings that export estimates into a folder, with some of the cluster's or the export's changed."""
    settings: dict[str, Any] = {
        "lake": (folder / "lake").as_uri(),
        "start_date": "2026-10-01",
        "clusters": [
            {
                "name": "prod", "endpoint": cluster.endpoint, "max_attempts": "3", "read_timeout_seconds": "0.5",
                "provider": "aws", "account": "111122223333", "region": "eu-west-3", "flavour": "kubecost",
            }
        ],
        "export": {"location": (folder / "out").as_uri(), "source": "estimates"},
    }  # fmt: skip
    for name, value in changed.items():
        own = settings if name == "lake" else settings["export"]
        place = settings["clusters"][0] if name in OF_CLUSTER else own
        place[name] = value
    return settings


def files(folder: Path) -> dict[str, int]:
    """Return every file of the bucket by its day, with its rows."""
    found = [path for path in (folder / "out").rglob("*") if path.is_file()]
    return {path.name.partition("_")[0][-2:]: pq.read_metadata(path).num_rows for path in found}


FAULTS = {
    "500 with error": Reply(b'{"code":500,"error":"boom"}', 500),
    "500 without error": Reply(b"{}", 500),
    "504 page": page(504),
    "dropped": Reply(b"", drop=True),
    "cut short": Reply(json.dumps({"code": 200, "data": [a_day(DAYS[0])]}).encode(), cut=900),
    "read time-out": Reply(b"{}", delay_seconds=1.0),
    "empty day": data([{}]),
    "no data": data(None),
    "broken JSON": Reply(b'{"code":200,"data":[{"a":'),
    "half of the allocations": data([a_day(DAYS[0], 2)]),
    "a page with status 200": page(),
    "an unreadable number": data([{"x": allocation(cpuCost="many")}]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_fails_its_day_and_no_other(
    cluster: Days, run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    cluster.faults = {DAYS[0]: [FAULTS[fault]] * 3}

    code = run()

    printed = capsys.readouterr().out
    assert code == 1
    assert "FAIL 2026-10-02" in printed
    assert printed.count("ok  ") == 3
    assert files(tmp_path) == {"03": 4, "04": 4, "05": 4}
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix != ".parquet"]

    cluster.faults = {}
    assert run() == 0
    assert files(tmp_path) == {"02": 4, "03": 4, "04": 4, "05": 4}


HEALED = ("500 with error", "500 without error", "504 page", "dropped", "cut short", "read time-out", "broken JSON",
          "half of the allocations")  # fmt: skip


@pytest.mark.parametrize("fault", HEALED)
def test_a_fault_that_passes_is_healed_without_an_operator(
    cluster: Days, run: Callable[..., int], tmp_path: Path, fault: str
) -> None:
    cluster.faults = {DAYS[0]: [FAULTS[fault]] * 2}

    assert run() == 0
    assert files(tmp_path) == {"02": 4, "03": 4, "04": 4, "05": 4}


def test_a_field_that_is_gone_and_properties_that_are_null_are_no_failure(
    cluster: Days, run: Callable[..., int], tmp_path: Path
) -> None:
    for item in cluster.days[DAYS[0]].values():
        del item["cpuCoreHours"]
        item["properties"] |= {"labels": None, "annotations": None, "services": None}

    assert run() == 0
    [file] = (tmp_path / "out").rglob("2026-10-02*")
    assert pq.read_table(file).column("cpuCoreHours").to_pylist() == [0.0] * 4


def test_an_allocation_without_properties_a_fraction_of_a_second_and_a_new_field_are_no_failure(
    cluster: Days, run: Callable[..., int], tmp_path: Path
) -> None:
    first, second, *_ = cluster.days[DAYS[0]].values()
    first |= {"properties": None, "start": "2026-10-02T00:00:00.25Z"}
    second["quantumCost"] = 1.5

    assert run() == 0
    [file] = (tmp_path / "out").rglob("2026-10-02*")
    rows = pq.read_table(file).to_pylist()
    assert [row["properties.namespace"] for row in rows] == ["", "shop", "shop", "shop"]
    assert sum(row["totalCost"] for row in rows) == pytest.approx(3.0)


def test_a_process_that_is_killed_in_its_upload_leaves_nothing_and_the_next_one_heals(
    cluster: Days, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    today = datetime.now(UTC).date()
    cluster.days = {day: a_day(day) for day in (today - timedelta(days=number) for number in (1, 2))}
    command = [str(Path(sys.executable).parent / "kubecost-pipelines"), "export"]

    with _hanging_bucket() as (endpoint, is_uploading, methods):
        content = settings_of(cluster, tmp_path, location=f"s3://{bucket}", identity=_identity(endpoint))
        (tmp_path / "settings.yaml").write_text(json.dumps(content))
        environment = {**os.environ, CONFIG_VARIABLE: str(tmp_path / "settings.yaml")}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            assert is_uploading.wait(120)
            process.kill()
    content["export"]["identity"] = _identity(s3.endpoint)
    (tmp_path / "settings.yaml").write_text(json.dumps(content))
    healed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    # One request for the file: had it been an upload in parts, they would lie about.
    assert methods == ["GET", "PUT"]
    assert healed.returncode == 0, healed.stdout
    assert healed.stdout.count("ok  ") == 2
    found = s3.client().list_objects_v2(Bucket=bucket)["Contents"]
    assert [one["Key"].rpartition("/")[2][:10] for one in found] == sorted(str(day) for day in cluster.days)


def _identity(endpoint: str) -> dict[str, str]:
    return {"endpoint": endpoint, "region": "us-east-1", "access_key_id": "k", "secret_access_key": "s"}


@contextmanager
def _hanging_bucket() -> Iterator[tuple[str, Event, list[str]]]:
    """A bucket that is empty, and never says that it has taken a file."""
    is_uploading, is_over, methods = Event(), Event(), list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            methods.append("GET")
            body = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            methods.append("PUT")
            is_uploading.set()
            is_over.wait()

        def handle_expect_100(self) -> bool:
            return True

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", is_uploading, methods
        is_over.set()
        server.shutdown()


def test_a_bucket_that_refuses_fails_the_day_and_leaves_nothing_behind(
    cluster: Days, run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = {"endpoint": "http://127.0.0.1:9", "region": "us-east-1", "access_key_id": "k", "secret_access_key": "s"}

    assert run(location="s3://costs", identity=identity) == 1
    assert "list s3://costs/account_id=111122223333/region=eu-west-3/" in capsys.readouterr().out
