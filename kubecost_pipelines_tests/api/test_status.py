"""Status over HTTP, from what a real instance has recorded."""

from pathlib import Path

import dagster as dg
import pytest

from kubecost_pipelines_tests.api.served import serve

STORE = {"provider": "aws", "id": "012345678901", "name": "shop", "secret_access_key": "PLANTED-http-status"}


def test_each_bill_says_how_far_it_is_and_nothing_of_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "dagster_home"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        for day in ("2026-10-05", "2026-10-06", "2026-10-08"):
            asset = dg.AssetKey(["cloud_assets", "aws", "012345678901"])
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=day))
        found = {"status": "FAILED_CONNECTION", "since": "2026-10-08"}
        key = dg.AssetKey(["connection_status", "aws", "012345678901"])
        instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=found))
    lake = tmp_path / "lake"
    lake.mkdir()

    with serve(lake, cloud_stores=[STORE]) as server:
        [integration] = server.data("/cloudCost/status")
        etl = server.data("/model/etl/status")
        text = server.get("/model/etl/status").text + server.get("/model/cloudCost/status").text

    assert (integration["key"], integration["connectionStatus"]) == ("aws/012345678901", "FAILED_CONNECTION")
    assert integration["coverage"] == "[2026-10-05T00:00:00+0000, 2026-10-09T00:00:00+0000)"
    assert (integration["runs"], integration["RefreshRate"]) == (3, "6h0m0s")
    usage = etl["cloud"]["aws/012345678901"]["cloudUsage"]
    assert next(gap["start"] for gap in usage["gaps"]) == "2026-10-07T00:00:00Z"
    assert {"allocation", "assets", "cloud"} <= set(etl)
    assert "PLANTED" not in text


def test_without_an_instance_the_status_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    lake = tmp_path / "lake"
    lake.mkdir()

    with serve(lake) as server:
        answer = server.get("/model/etl/status")

    assert answer.status_code == 503
    assert "DAGSTER_HOME" in answer.json()["message"]
