"""The export heals itself: what the schedule `export_gaps_<cluster>` requests of a real bucket, and what follows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from kubecost_pipelines.definitions import build_definitions
from kubecost_pipelines_tests.exports.deployment import ALLOCATIONS, EXPORT, FOLDER, cluster, export, keys, read
from kubecost_pipelines_tests.living import Living, live
from kubecost_pipelines_tests.replay import Replay
from kubecost_pipelines_tests.s3 import S3Server

GAPS, COLLECT = "export_gaps_prod_eks_1", "collect_prod_eks_1"


@contextmanager
def exporting(
    folder: Path, s3: S3Server, bucket: str, replay: Replay, first: str = "2026-10-01", **options: Any
) -> Iterator[Living]:
    """A cluster that keeps five days, on October 6; nothing is collected yet."""
    clusters = [cluster(replay, retention_days=5)]
    with live(folder, (), clusters, export=export(s3, bucket), start_date=first, **options) as living:
        yield living.at("2026-10-06", 4)


def key(day: int) -> str:
    return f"{FOLDER}/2026-10-0{day}_prod-eks-1.snappy.parquet"


def why_not(living: Living) -> str:
    """Return why the schedule requests nothing."""
    context = dg.build_schedule_context(
        living.instance,
        scheduled_execution_time=living.now,
        resources={"workbench": living.workbench},
        repository_def=living.definitions.get_repository_def(),
    )
    ticked = living.definitions.resolve_schedule_def(GAPS).evaluate_tick(context)
    assert not ticked.run_requests
    return ticked.skip_message or ""


def test_files_that_are_gone_come_back_and_no_other_is_written(
    tmp_path: Path, s3: S3Server, bucket: str, replay: Replay
) -> None:
    with exporting(tmp_path, s3, bucket, replay) as living:
        assert living.materialize(ALLOCATIONS, EXPORT, days=("2026-10-01", "2026-10-05")).success
        before = {one: s3.client().head_object(Bucket=bucket, Key=one)["LastModified"] for one in keys(s3, bucket)}
        for day in (2, 3, 5):
            s3.client().delete_object(Bucket=bucket, Key=key(day))

        ran = living.strike(GAPS)

        assert [(run.assets, run.first[-2:], run.last[-2:], run.success) for run in ran] == [
            ((EXPORT,), "05", "05", True),
            ((EXPORT,), "02", "03", True),
        ]
        assert keys(s3, bucket) == [key(day) for day in range(1, 6)]
        for day in (1, 4):
            assert s3.client().head_object(Bucket=bucket, Key=key(day))["LastModified"] == before[key(day)]
        assert why_not(living) == "The bucket has every day that prod-eks-1 keeps."


def test_a_day_that_the_cluster_restates_is_read_again_and_exported(
    tmp_path: Path, s3: S3Server, bucket: str, replay: Replay
) -> None:
    with exporting(tmp_path, s3, bucket, replay, first="2026-10-05") as living:
        assert living.materialize(ALLOCATIONS, EXPORT, days=("2026-10-05", "2026-10-05")).success
        items = replay.days["2026-10-05"]["allocation"].values()
        before = sum(item["totalCost"] for item in items)
        for item in items:
            item["cpuCostAdjustment"] = -0.1 * item["cpuCost"]
            item["totalCost"] += item["cpuCostAdjustment"]

        ran = living.strike(GAPS)
        # What follows a table is the automation's part (test_running_by_itself).
        assert living.materialize(EXPORT, days=("2026-10-05", "2026-10-05")).success

        assert [(run.assets, run.first, run.last) for run in ran] == [((ALLOCATIONS,), "2026-10-05", "2026-10-05")]
        total = sum(row["totalCost"] for row in read(s3, bucket, key(5)))
        assert abs(total - sum(item["totalCost"] for item in items)) < 1e-6
        assert total < before
        assert why_not(living) == "The bucket has every day that prod-eks-1 keeps."


def test_a_day_that_the_cluster_no_longer_keeps_is_left_alone_and_one_that_is_not_collected_yet_waits(
    tmp_path: Path, s3: S3Server, bucket: str, replay: Replay
) -> None:
    with exporting(tmp_path, s3, bucket, replay) as living:
        assert living.materialize(ALLOCATIONS, EXPORT, days=("2026-10-01", "2026-10-05")).success
        s3.client().delete_object(Bucket=bucket, Key=key(1))

        living.at("2026-10-07", 4)

        assert why_not(living) == "The lake does not have them yet: 2026-10-06."
        assert key(1) not in keys(s3, bucket)


def test_a_day_of_the_lake_that_cannot_be_read_fails_alone(
    tmp_path: Path, s3: S3Server, bucket: str, replay: Replay
) -> None:
    with exporting(tmp_path, s3, bucket, replay) as living:
        assert living.materialize(ALLOCATIONS, days=("2026-10-01", "2026-10-03")).success
        [half] = tmp_path.rglob("allocations/prod-eks-1/date=2026-10-02/*.parquet")
        half.write_bytes(half.read_bytes()[:500])

        assert not living.materialize(EXPORT, days=("2026-10-01", "2026-10-03")).success

        assert keys(s3, bucket) == [key(1), key(3)]


def test_a_cluster_that_is_down_is_a_skipped_tick_that_says_so(
    tmp_path: Path, s3: S3Server, bucket: str, replay: Replay
) -> None:
    with exporting(tmp_path, s3, bucket, replay) as living:
        replay.faults = [(503, b"starting")]

        assert "prod-eks-1: days from 2026-10-01 to 2026-10-05: asked" in why_not(living)
        assert keys(s3, bucket) == []


def test_the_switch_of_the_export_is_that_of_its_schedule(
    tmp_path: Path, s3: S3Server, bucket: str, replay: Replay
) -> None:
    with exporting(tmp_path, s3, bucket, replay) as living:
        settings = living.settings

    by_hand = build_definitions(settings.model_copy(update={"runs_by_itself": False}))
    switched_off = build_definitions(settings.model_copy(update={"off": ("export",)}))

    names = [one.name for one in switched_off.schedules or []]
    assert living.definitions.resolve_schedule_def(GAPS).default_status is dg.DefaultScheduleStatus.RUNNING
    assert by_hand.resolve_schedule_def(GAPS).default_status is dg.DefaultScheduleStatus.STOPPED
    assert COLLECT in names
    assert GAPS not in names
