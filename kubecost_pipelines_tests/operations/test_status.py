"""Status: Kubecost's object, from what a real instance has recorded."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
)

from kubecost_pipelines.cli.status_table import print_status
from kubecost_pipelines.core.bill_changes import Cursor, KnownMonth
from kubecost_pipelines.operations.status import read_status
from kubecost_pipelines.settings import Settings
from kubecost_pipelines_tests.dagster_server import ROOT

NOW = datetime(2026, 11, 8, 9, 30, tzinfo=UTC)
SETTINGS = Settings.model_validate(
    {
        "lake": "file:///nowhere",
        "start_date": "2026-11-01",
        "cloud_stores": [
            {"provider": "aws", "id": "012345678901", "secret_access_key": "PLANTED-status", "off": ["reconciliation"]},
            {"provider": "gcp", "id": "acme-prod"},
        ],
        "clusters": [
            {"name": "prod-eks-1", "endpoint": "http://kubecost:9090", "off": ["allocations"]},
            {"name": "prod-eks-2", "endpoint": "http://kubecost:9091", "step": "1h"},
        ],
        "export": {"location": "s3://acme-kubecost"},
    }
)


def record(instance: dg.DagsterInstance, asset: str, *days: int, **metadata: str) -> None:
    for day in days:
        event = dg.AssetMaterialization(asset.split("/"), partition=f"2026-11-{day:02}")
        instance.report_runless_asset_event(event)
    if metadata:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset.split("/"), metadata=metadata))


@pytest.fixture
def found() -> dict[str, Any]:
    with dg.DagsterInstance.ephemeral() as instance:
        record(instance, "cloud_assets/aws/012345678901", 1, 2, 3, 5, 6)
        record(instance, "connection_status/aws/012345678901", status="SUCCESSFUL_CONNECTION", since="2026-11-02")
        record(instance, "reconciled_assets/gcp/acme-prod", 3, 4)
        record(instance, "in_cluster_assets/prod-eks-1", *range(1, 8))
        record(instance, "in_cluster_assets/prod-eks-1", 7)
        record(instance, "allocation_export/prod-eks-2", 1, 2, 3, 4, 5, 6)
        record(instance, "reconciled_allocations_hourly/prod-eks-2", 4, 5, 7)
        return read_status(SETTINGS, instance, NOW).to_json()


def test_the_sections_and_fields_are_kubecosts(found: dict[str, Any]) -> None:
    assert {"allocation", "assets", "cloud"} <= set(found)
    assert set(found["cloud"]) == {"aws/012345678901", "gcp/acme-prod"}
    usage = found["cloud"]["aws/012345678901"]["cloudUsage"]
    assert {"coverage", "lastRun", "nextRun", "progress", "refreshRate", "resolution", "startTime"} <= set(usage)
    assert (usage["refreshRate"], usage["resolution"]) == ("6h0m0s", "24h0m0s")
    assert usage["lastRun"].endswith("Z")


def test_coverage_progress_and_gaps_are_over_the_days_that_have_ended(found: dict[str, Any]) -> None:
    usage = found["cloud"]["aws/012345678901"]["cloudUsage"]

    assert usage["coverage"] == {"start": "2026-11-01T00:00:00Z", "end": "2026-11-07T00:00:00Z"}
    assert usage["progress"] == pytest.approx(5 / 7, abs=1e-4)
    assert [(gap["start"][:10], gap["end"][:10]) for gap in usage["gaps"]] == [
        ("2026-11-04", "2026-11-05"),
        ("2026-11-07", "2026-11-08"),
    ]


def test_days_without_a_gap_between_them_cover_what_they_span(found: dict[str, Any]) -> None:
    reconciliation = found["cloud"]["gcp/acme-prod"]["reconciliation"]

    assert reconciliation["coverage"] == {"start": "2026-11-03T00:00:00Z", "end": "2026-11-05T00:00:00Z"}
    assert [gap["start"][8:10] for gap in reconciliation["gaps"]] == ["01", "05"]


def test_a_bill_that_was_never_checked_has_the_initial_status(found: dict[str, Any]) -> None:
    assert found["cloud"]["gcp/acme-prod"]["cloudConnectionStatus"] == "INITIAL_STATUS"
    assert found["cloud"]["aws/012345678901"]["cloudConnectionStatus"] == "SUCCESSFUL_CONNECTION"


def test_what_is_off_says_so(found: dict[str, Any]) -> None:
    assert found["cloud"]["aws/012345678901"]["reconciliation"] == {"off": True}
    assert found["clusters"]["prod-eks-1"]["allocations"] == {"off": True}
    # It has nothing to export.
    assert found["clusters"]["prod-eks-1"]["export"] == {"off": True}


def test_an_export_says_how_far_its_bucket_is(found: dict[str, Any]) -> None:
    export = found["clusters"]["prod-eks-2"]["export"]

    assert export["coverage"] == {"start": "2026-11-01T00:00:00Z", "end": "2026-11-07T00:00:00Z"}
    assert [gap["start"][:10] for gap in export["gaps"]] == ["2026-11-07"]
    assert export["refreshRate"] == "6h0m0s"


def test_hours_are_expected_from_the_first_day_that_has_some(found: dict[str, Any]) -> None:
    hours = found["clusters"]["prod-eks-2"]["hours"]

    assert hours["coverage"] == {"start": "2026-11-04T00:00:00Z", "end": "2026-11-08T00:00:00Z"}
    # Three of the four days from the 4th to the 7th.
    assert (hours["progress"], hours["resolution"]) == (0.75, "1h0m0s")
    assert [gap["start"][:10] for gap in hours["gaps"]] == ["2026-11-06"]
    assert found["clusters"]["prod-eks-1"]["hours"] == {"off": True}


def test_the_table_has_a_line_for_hours_where_there_are_some(capsys: pytest.CaptureFixture[str]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        record(instance, "reconciled_allocations_hourly/prod-eks-2", 4, 5, 7)
        print_status(read_status(SETTINGS, instance, NOW))

    printed = capsys.readouterr().out
    [line] = [line for line in printed.splitlines() if "by the hour" in line and "│" in line]
    assert "prod-eks-2" in line
    assert "3/4" in line
    assert "prod-eks-2 allocations by the hour: missing 2026-11-06" in printed


def test_a_cluster_is_fresh_when_yesterday_is_there(found: dict[str, Any]) -> None:
    cluster = found["clusters"]["prod-eks-1"]

    assert cluster["fresh"]
    assert (cluster["assets"]["progress"], cluster["assets"]["gaps"]) == (1.0, [])


def test_no_secret_gets_in(found: dict[str, Any]) -> None:
    assert "PLANTED" not in json.dumps(found)


def test_wiped_days_are_gone() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        record(instance, "asset_costs", 1, 2, 3)
        instance.wipe_assets([dg.AssetKey("asset_costs")])
        record(instance, "asset_costs", 5)

        status = read_status(SETTINGS, instance, NOW)

    assert (status.assets.days, status.assets.coverage and status.assets.coverage.in_words) == (1, "2026-11-05")


def test_a_deployment_that_has_no_day_yet_is_not_behind() -> None:
    settings = SETTINGS.model_copy(update={"start_date": date(2026, 11, 8)})
    with dg.DagsterInstance.ephemeral() as instance:
        status = read_status(settings, instance, NOW)

    assert status.assets.progress == 1.0
    assert status.cloud["gcp/acme-prod"].cloud_usage.coverage is None


def test_the_next_run_is_what_the_running_sensor_and_schedule_say(tmp_path: Path) -> None:
    began, asked = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 8, 5, tzinfo=UTC)
    cursor = Cursor({"2026-11": KnownMonth("f", asked=asked)}).to_text()
    sensor = SensorInstigatorData(cursor=cursor, last_sensor_start_timestamp=began.timestamp())
    schedule = ScheduleInstigatorData("15 2 * * *", began.timestamp())
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        start(instance, "bill_changes_aws_012345678901", InstigatorType.SENSOR, sensor)
        start(instance, "collect_prod_eks_1", InstigatorType.SCHEDULE, schedule)

        found = read_status(SETTINGS, instance, NOW).to_json()

    usage, assets = found["cloud"]["aws/012345678901"]["cloudUsage"], found["clusters"]["prod-eks-1"]["assets"]
    # Six hours after the last question; at the next quarter past two.
    assert (usage["nextRun"], usage["startTime"]) == ("2026-11-08T11:00:00Z", "2026-11-01T00:00:00Z")
    assert (assets["nextRun"], assets["startTime"]) == ("2026-11-09T02:15:00Z", "2026-11-01T00:00:00Z")
    assert found["cloud"]["gcp/acme-prod"]["cloudUsage"]["nextRun"] is None


def start(instance: dg.DagsterInstance, name: str, kind: InstigatorType, data: Any) -> None:
    """Leave the state that Dagster keeps of a sensor or schedule that runs."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
    origin = RemoteInstigatorOrigin(repository, name)
    instance.add_instigator_state(InstigatorState(origin, kind, InstigatorStatus.RUNNING, data))


def on_a_terminal(command: list[str], environment: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    subprocess.run(command, env=environment | {"TERM": "xterm-256color"}, stdout=theirs, check=True)
    os.close(theirs)
    printed = b""
    with suppress(OSError):  # what Linux says when nobody writes any more
        while chunk := os.read(ours, 1 << 16):
            printed += chunk
    os.close(ours)
    return printed.decode()


def test_the_command_prints_a_table_without_colour_in_a_pipe_and_json_on_demand(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    start = datetime.now(UTC).date() - timedelta(days=2)
    stores = [{"provider": "aws", "id": "012345678901", "off": ["cloud_assets"]}]
    content = {"lake": "file:///nowhere", "start_date": str(start), "cloud_stores": stores}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    environment = {**os.environ, "KUBECOST_PIPELINES_CONFIG": str(tmp_path / "s.yaml"), "DAGSTER_HOME": str(tmp_path)}
    command = [str(Path(sys.executable).parent / "kubecost-pipelines"), "status"]

    table = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    content = json.loads(
        subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True).stdout
    )

    assert "\x1b[" not in table
    assert "\x1b[" in on_a_terminal(command, environment)
    assert "INITIAL_STATUS Materialise connection_status." in table
    [reconciliation] = [line for line in table.splitlines() if "reconciliation" in line and "0/2" in line]
    assert "0%" in reconciliation
    assert "off" in next(line for line in table.splitlines() if "cloud assets" in line)
    assert content["cloud"]["aws/012345678901"]["cloudUsage"] == {"off": True}
