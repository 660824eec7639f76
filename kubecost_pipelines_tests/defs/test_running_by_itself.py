"""What happens without anybody asking: collection, back-fill, healing, outages, and that it comes to rest."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kubecost_pipelines.definitions import build_definitions
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings
from kubecost_pipelines_tests.defs.test_graph import SETTINGS
from kubecost_pipelines_tests.growing_bill import GrowingBill
from kubecost_pipelines_tests.living import Living, live, rows_of
from kubecost_pipelines_tests.replay import DATA, Replay, serve_replay

pytestmark = pytest.mark.timeout(900)
COLLECT, ASSETS = "collect_prod_eks_1", "in_cluster_assets/prod-eks-1"
MISSING_BILL = CloudStoreSettings(provider="aws", id="111122223333", export="file:///nowhere/cur")
SENSOR, BILLING, STATUS = (
    "bill_changes_aws_111122223333",
    "cloud_billing/aws/111122223333",
    "connection_status/aws/111122223333",
)


@contextmanager
def deployed(
    folder: Path, *stores: CloudStoreSettings, more: Any = (), **settings: Any
) -> Iterator[tuple[Living, Replay]]:
    """Deploy one cluster, that replays nise's usage, its assets alone."""
    with serve_replay() as replay:
        options: dict[str, Any] = {"provider": "aws", "account": "111122223333", "max_attempts": 1, "retention_days": 5}
        cluster = ClusterSettings(name="prod-eks-1", endpoint=replay.endpoint, **options)
        with live(folder, stores, [cluster, *more], **{"off": ("allocations",), **settings}) as living:
            yield living, replay


def days(living: Living, table: str = ASSETS) -> list[str]:
    """Return the days of which the lake has a file."""
    return sorted(path.parent.name.removeprefix("date=") for path in living.path(table).rglob("data.parquet"))


def october(*numbers: int) -> list[str]:
    return [f"2026-10-{number:02}" for number in numbers]


def test_a_cluster_that_was_down_for_three_days_is_filled_in_when_it_returns(tmp_path: Path) -> None:
    with deployed(tmp_path, start_date="2026-10-03") as (living, replay):
        living.at("2026-10-04", 2).strike(COLLECT)
        recorded, replay.days = replay.days, {}
        failed = [run for day in (5, 6, 7) for run in living.at(f"2026-10-0{day}", 2).strike(COLLECT)]
        before = days(living)
        replay.days = recorded

        ran = living.at("2026-10-08", 2).strike(COLLECT)

    assert not any(run.success for run in failed)
    assert before == october(3)
    assert [(run.first, run.last, run.success) for run in ran] == [
        ("2026-10-07", "2026-10-07", True),
        ("2026-10-04", "2026-10-06", True),
    ]


def test_a_day_that_the_cluster_has_lost_does_not_stop_the_others_and_is_asked_for_once(tmp_path: Path) -> None:
    with deployed(tmp_path) as (living, replay):
        replay.days = {day: content for day, content in replay.days.items() if day >= "2026-10-05"}

        first = living.at("2026-10-08", 2).strike(COLLECT)
        second = living.strike(COLLECT)

        assert days(living) == october(5, 6, 7)

    assert [(run.first, run.last, run.success) for run in first] == [
        ("2026-10-07", "2026-10-07", True),
        ("2026-10-03", "2026-10-06", False),
    ]
    assert [(run.first, run.last) for run in second] == [("2026-10-07", "2026-10-07")]


def test_a_deleted_file_of_a_cluster_is_collected_and_one_of_a_derived_table_is_made_again(tmp_path: Path) -> None:
    with deployed(tmp_path) as (living, _):
        living.at("2026-10-06", 2).strike(COLLECT)
        living.follow()
        before = rows_of(living.settings.lake, "asset_costs")
        for table in (ASSETS, "asset_costs"):
            living.path(table, "date=2026-10-03", "data.parquet").unlink()

        collected = living.strike(COLLECT)
        settled = living.strike("settle")

        assert ("2026-10-03", "2026-10-03") in [(run.first, run.last) for run in collected]
        # With the two days that are not settled yet, which are priced by those that are.
        assert [(run.assets, run.first, run.last) for run in settled] == [
            (("asset_costs",), "2026-10-03", "2026-10-05")
        ]
        assert rows_of(living.settings.lake, "asset_costs") == before


def test_a_cluster_that_is_down_keeps_nobody_waiting_and_is_named(tmp_path: Path) -> None:
    down = ClusterSettings(name="down", endpoint="http://127.0.0.1:9", max_attempts=1)
    with deployed(tmp_path, more=[down]) as (living, _):
        failed = living.at("2026-10-06", 2).strike("collect_down")
        living.strike(COLLECT)

        ran = living.follow()
        again = living.follow()

        assert not any(run.success for run in failed)
        made = {asset for run in ran if run.success for asset in run.assets}
        assert made == {"asset_inventory", "asset_costs", "serving_store"}
        assert again == []
        assert living.metadata("asset_inventory", "2026-10-05")["missing"] == ["down"]
        assert living.last_check("asset_inventory", "every_cluster_is_there") is False


def test_a_change_runs_through_the_graph_once_and_then_all_is_quiet(tmp_path: Path) -> None:
    export = (DATA / "aws/bills/cur").as_uri()
    bill = CloudStoreSettings(provider="aws", id="111122223333", export=export)
    with deployed(tmp_path, bill, start_date="2026-10-05", off=()) as (living, _):
        living.at("2026-10-06", 14).strike(COLLECT)
        living.tick(SENSOR)

        ran = living.follow()
        again = living.follow()

    made = [asset for run in ran if run.success for asset in run.assets]
    assert made[-1] == "serving_store"
    assert sorted(asset for asset in made if asset != "serving_store") == [
        "asset_costs",
        "asset_inventory",
        "cloud_assets/aws/111122223333",
        "external_costs",
        "reconciled_allocations/prod-eks-1",
        "reconciled_assets/aws/111122223333",
    ]
    assert again == []


def test_the_serving_store_of_a_lake_elsewhere_is_left_to_serve() -> None:
    elsewhere = SETTINGS.model_copy(update={"lake": "s3://costs/lake"})

    followed = [
        key.to_user_string()
        for settings in (SETTINGS.model_copy(update={"lake": "file:///lake"}), elsewhere)
        for asset in build_definitions(settings).assets or []
        if isinstance(asset, dg.AssetsDefinition)
        for key in asset.automation_conditions_by_key
        if key.to_user_string() == "serving_store"
    ]

    assert followed == ["serving_store"]


def test_an_outage_of_the_provider_is_a_skipped_tick_and_a_status(tmp_path: Path) -> None:
    with deployed(tmp_path, MISSING_BILL) as (living, _):
        ran, skipped = living.tick(SENSOR)
        again = living.tick(SENSOR)

        event = living.instance.get_latest_materialization_event(dg.AssetKey(STATUS.split("/")))
        assert event
        assert event.asset_materialization
        status = event.asset_materialization.metadata["status"].value
        assert living.last_check(STATUS, "connection_is_successful") is False
        records = living.instance.fetch_materializations(dg.AssetKey(STATUS.split("/")), limit=9).records

    assert ran == []
    assert skipped.startswith("FAILED_CONNECTION: file:///nowhere/cur: there is no folder")
    assert skipped.endswith("or the reader's permissions.")
    assert again == (ran, skipped)
    assert status == "FAILED_CONNECTION"
    assert len(records) == 1  # the same words are recorded once


def test_a_bill_that_answers_and_cannot_be_read_is_a_skipped_tick_and_a_status(tmp_path: Path) -> None:
    GrowingBill(tmp_path / "cur").deliver(date(2026, 10, 5))
    [file] = (tmp_path / "cur").rglob("*.csv.gz")
    file.write_bytes(file.read_bytes()[:-2_000])
    store = CloudStoreSettings(provider="aws", id="111122223333", export=(tmp_path / "cur").as_uri())
    with deployed(tmp_path, store) as (living, _):
        ran, skipped = living.tick(SENSOR)
        again = living.tick(SENSOR)

        event = living.instance.get_latest_materialization_event(dg.AssetKey(STATUS.split("/")))
        assert event
        assert event.asset_materialization
        found = event.asset_materialization.metadata
        assert living.last_check(STATUS, "connection_is_successful") is False
        records = living.instance.fetch_materializations(dg.AssetKey(STATUS.split("/")), limit=9).records

    assert ran == again[0] == []
    assert skipped.startswith("The bill could not be read. 2026-10: ")
    assert found["status"].value == "FAILED_CONNECTION"
    assert "cannot be read" in str(found["detail"].value)
    assert len(records) == 1  # not once as reachable, and then as unreadable


def test_everything_is_visible_and_starts_as_the_settings_say() -> None:
    definitions = build_definitions(SETTINGS)
    repository = definitions.get_repository_def()

    sensors: dict[str, Any] = {sensor.name: sensor for sensor in repository.sensor_defs}
    schedules: dict[str, Any] = {schedule.name: schedule for schedule in repository.schedule_defs}

    assert set(sensors) == {"bill_changes_aws_012345678901", "bill_changes_gcp_my_project_1", "derived_tables"}
    assert set(schedules) == {"collect_prod_eks_1", "settle"}
    assert all(one.description for one in (*sensors.values(), *schedules.values()))
    assert {one.default_status.value for one in (*sensors.values(), *schedules.values())} == {"RUNNING"}
    off = build_definitions(SETTINGS.model_copy(update={"runs_by_itself": False})).get_repository_def()
    stopped: list[Any] = [*off.sensor_defs, *off.schedule_defs]
    assert {one.default_status.value for one in stopped} == {"STOPPED"}


def test_a_bill_that_is_off_has_no_sensor() -> None:
    off = SETTINGS.model_copy(update={"off": ("cloud_assets", "reconciliation")})

    repository = build_definitions(off).get_repository_def()

    assert [sensor.name for sensor in repository.sensor_defs] == ["derived_tables"]
