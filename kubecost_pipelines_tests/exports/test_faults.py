"""The fault matrix: every way in which the old exporter lost, halved or blocked days, against a live server."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
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
        settings: dict[str, Any] = {
            "lake": (tmp_path / "lake").as_uri(),
            "start_date": "2026-10-01",
            "clusters": [
                {
                    "name": "prod", "endpoint": cluster.endpoint, "max_attempts": "3", "read_timeout_seconds": "0.5",
                    "provider": "aws", "account": "111122223333", "region": "eu-west-3", "flavour": "kubecost",
                }
            ],
            "export": {"location": (tmp_path / "out").as_uri(), "source": "estimates"},
        }  # fmt: skip
        for name, value in changed.items():
            place = settings["clusters"][0] if name in ("name", "retention_days", "flavour") else settings["export"]
            place[name] = value
        file = tmp_path / "settings.yaml"
        file.write_text(json.dumps(settings))
        monkeypatch.setenv(CONFIG_VARIABLE, str(file))
        return run_export([], Options(force=force, dry_run=dry_run, today=TODAY))

    return export


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


def test_a_bucket_that_refuses_fails_the_day_and_leaves_nothing_behind(
    cluster: Days, run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = {"endpoint": "http://127.0.0.1:9", "region": "us-east-1", "access_key_id": "k", "secret_access_key": "s"}

    assert run(location="s3://costs", identity=identity) == 1
    assert "list s3://costs/account_id=111122223333/region=eu-west-3/" in capsys.readouterr().out
