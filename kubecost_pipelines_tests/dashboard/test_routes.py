"""Routes that only the dashboard asks, over HTTP, without a browser."""

from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pytest

from kubecost_pipelines.lake import Engine, Lake
from kubecost_pipelines_tests.api.served import DAY, WINDOW, serve, write_allocations, write_bill

DAGSTER = "http://dagster:PLANTED-password@127.0.0.1:9"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    lake = tmp_path / "lake"
    lake.mkdir()
    return lake


def test_where_dagster_is_is_told_without_its_password(lake: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    asked: tuple[tuple[str, dict[str, Any]], ...] = (
        ("/dashboard/context", {}),
        ("/dashboard/plan", {"operation": "repair", "pipeline": "cloud-assets", "key": "", "window": "3d"}),
        ("/dashboard/operations/abcdefgh", {}),
        ("/model/etl/asset/cloud/rebuild", {"commit": "true"}),
        ("/model/etl/asset/cloud/repair", {"window": "3d"}),
        ("/model/etl/status", {}),
        ("/metrics", {}),
    )

    with serve(lake, has_dashboard=True, dagster_url=DAGSTER) as server:
        answers = [server.get(path, **parameters) for path, parameters in asked]

    assert answers[0].json()["data"]["dagster_url"] == "http://127.0.0.1:9"
    assert all("no Dagster answers at http://127.0.0.1:9 " in answer.json()["message"] for answer in answers[1:5])
    assert not [answer.url for answer in answers if "PLANTED" in answer.text]
    assert "rebuild cloud-assets" in caplog.text
    assert "PLANTED" not in caplog.text


def test_a_question_to_the_lake_that_does_not_end_is_ended(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_allocations(lake, "one", [{"namespace": "web", "pod": "web-1", "cpu_cost": 1.0}])
    write_bill(lake, ["aws", "111122223333"], [{"service_name": "AmazonRDS", "resource_id": "db", "cost": "1"}])
    settings: dict[str, Any] = {
        "clusters": [{"name": "one", "endpoint": "http://127.0.0.1:9"}],
        "cloud_stores": [{"provider": "aws", "id": "111122223333", "export": lake.as_uri()}],
    }
    asked: tuple[tuple[str, dict[str, Any]], ...] = (
        ("/dashboard/spend", {"window": WINDOW}),
        ("/dashboard/conservation", {"window": WINDOW}),
        ("/dashboard/explain", {"cluster": "one", "date": str(DAY), "namespace": "web"}),
    )
    monkeypatch.setattr(Lake, "read", _without_end(Lake.read))

    with serve(lake, has_dashboard=True, query_seconds=0.1, **settings) as server:
        answers = [server.get(path, **parameters) for path, parameters in asked]

    told = "the question took more than 0.1 s. Ask for fewer days, or for less of a cluster."
    assert [(answer.status_code, answer.json()["message"]) for answer in answers] == [(503, told)] * 3


def _without_end(read: Any) -> Any:
    def read_on(lake: Lake, *arguments: Any) -> ir.Table:
        engine: Engine = arguments[-1]
        return read(lake, *arguments).cross_join(engine.view("more", "SELECT range AS again FROM range(1000000000000)"))

    return read_on


def test_the_days_of_a_question_are_bounded_as_those_of_the_api(lake: Path) -> None:
    windows = {
        "2010-01-01T00:00:00Z,2020-01-10T00:00:00Z": "window: 3,661 days, at most 3,660 are answered",
        "9999-12-31T00:00:00Z,9999-12-31T12:00:00Z": "no day after it",
        "7x": "illegal window: 7x",
    }

    with serve(lake, has_dashboard=True) as server:
        answers = {
            (path, window): server.get(f"/dashboard/{path}", window=window, view="assets")
            for path in ("spend", "conservation", "query")
            for window in windows
        }
        longest = server.get("/dashboard/query", window="2010-01-01T00:00:00Z,2020-01-09T00:00:00Z", view="assets")

    for (_, window), answer in answers.items():
        assert answer.status_code == 400
        assert windows[window] in answer.json()["message"]
    assert longest.status_code == 200
