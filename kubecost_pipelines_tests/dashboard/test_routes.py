"""Routes that only the dashboard asks, over HTTP, without a browser."""

from pathlib import Path

import pytest

from kubecost_pipelines_tests.api.served import serve

DAGSTER = "http://dagster:PLANTED-password@127.0.0.1:9"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    lake = tmp_path / "lake"
    lake.mkdir()
    return lake


def test_where_dagster_is_is_told_without_its_password(lake: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    asked = (
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
