"""What happens to a run when a cluster answers badly: the error says the cure, other days and other keys go on."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from kubecost_pipelines.core.tables import IN_CLUSTER_ASSETS, RECONCILED_ASSETS
from kubecost_pipelines.lake import Lake
from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings
from kubecost_pipelines.settings.locations import locate
from kubecost_pipelines_tests.dagster_run import Deployment
from kubecost_pipelines_tests.replay import DATA, Replay, serve_replay

ACCOUNT = "111122223333"
BILL = CloudStoreSettings(provider="aws", id=ACCOUNT, export=(DATA / "aws/bills/cur").as_uri())
ASSETS = "in_cluster_assets/prod-eks-1"
TWO_DAYS = ("2026-10-05", "2026-10-06")


@pytest.fixture
def replay() -> Iterator[Replay]:
    with serve_replay() as server:
        yield server


def cluster(replay: Replay, **options: Any) -> ClusterSettings:
    plain: dict[str, Any] = {"provider": "aws", "account": ACCOUNT, "flavour": "kubecost", "max_attempts": 1}
    return ClusterSettings(name="prod-eks-1", endpoint=replay.endpoint, **(plain | options))


def rows(run: Deployment, folder: Path, day: date) -> int | None:
    known = Lake(locate(run.settings.lake), folder).describe(IN_CLUSTER_ASSETS, ["prod-eks-1"], day)
    return known.rows if known else None


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ((504, b"<html><title>504 Gateway Time-out</title></html>"), "504"),
        ((200, b"<html>Sign in</html>"), "a page"),
        ((200, b'{"code":500,"message":"context deadline exceeded"}'), "context deadline exceeded"),
        ((200, b'{"code":200,"data":[{"a":{"type":'), "the answer stops"),
        ((200, b'{"code":200,"data":null}'), "2026-10-05"),
        ((200, b'{"code":200,"data":[{}]}'), "2026-10-05"),
    ],
    ids=["504 html", "200 html", "code 500 in a 200", "half a body", "data null", "empty day"],
)
def test_a_bad_answer_fails_its_day_keeps_the_old_one_and_lets_the_other_day_through(
    replay: Replay, dagster_run: Callable[..., Deployment], tmp_path: Path, fault: tuple[int, bytes], words: str
) -> None:
    run = dagster_run(clusters=[cluster(replay)], days=TWO_DAYS)
    assert run(ASSETS, days=("2026-10-05", "2026-10-05")).success
    replay.faults = [fault]

    result = run(ASSETS)

    assert not result.success
    assert words in result.error
    assert "1 failed, 1 days written" in result.error
    assert (rows(run, tmp_path, date(2026, 10, 5)), rows(run, tmp_path, date(2026, 10, 6))) == (13, 13)
    assert run.materialized_days(ASSETS) == {"2026-10-05", "2026-10-06"}


def test_a_broken_bill_leaves_the_other_accounts_alone(dagster_run: Callable[..., Deployment], tmp_path: Path) -> None:
    broken = CloudStoreSettings(provider="aws", id="999900001111", export=(tmp_path / "nowhere").as_uri())
    foreign = CloudStoreSettings(provider="azure", id="sub-1", export="abfss://billing/export")

    result = dagster_run(cloud_stores=[broken, BILL, foreign])()

    assert not result.success
    assert "there is no folder" in result.error
    assert "azure/sub-1: `export` is abfss://billing/export, without a storage account" in result.error
    days = {asset for asset, day in result.materialized if day}
    assert {f"cloud_billing/aws/{ACCOUNT}", f"cloud_assets/aws/{ACCOUNT}"} <= days
    assert not {asset for asset in days if "999900001111" in asset or "gcp" in asset}


def test_two_errors_and_then_an_answer_is_a_success(replay: Replay, dagster_run: Callable[..., Deployment]) -> None:
    replay.faults = [(500, b"{}"), (503, b"busy")]

    assert dagster_run(clusters=[cluster(replay, max_attempts=3)], days=("2026-10-05", "2026-10-05"))(ASSETS).success


def test_without_a_network_the_error_names_the_cluster_and_the_bill_goes_on(
    dagster_run: Callable[..., Deployment], tmp_path: Path
) -> None:
    gone = ClusterSettings(name="gone", endpoint="http://127.0.0.1:9", max_attempts=1, flavour="kubecost")
    run = dagster_run(cloud_stores=[BILL], clusters=[gone])

    result = run()

    assert not result.success
    assert "gone" in result.error
    assert (f"cloud_billing/aws/{ACCOUNT}", "2026-10-05") in result.materialized
    assert ("in_cluster_assets/gone", "2026-10-05") not in result.materialized


def test_a_day_with_a_bill_and_no_cluster_still_has_its_cloud_assets(
    dagster_run: Callable[..., Deployment],
) -> None:
    result = dagster_run(cloud_stores=[BILL])()

    assert result.success, result.error
    assert result.materialized[f"cloud_assets/aws/{ACCOUNT}", "2026-10-05"]["Σ billed_cost"] == 133.246297
    assert not result.checks["clusters_are_monitored"]


def test_a_day_with_assets_and_no_bill_stays_estimated(
    replay: Replay, dagster_run: Callable[..., Deployment], tmp_path: Path
) -> None:
    empty = BILL.model_copy(update={"export": tmp_path.as_uri()})

    result = dagster_run(cloud_stores=[empty], clusters=[cluster(replay)])()

    assert result.success, result.error
    costs = result.materialized["asset_costs", "2026-10-05"]
    assert costs["Σ adjustment"] == 0
    assert costs["Σ total_cost"] == costs["Σ cost"] > 0
    assert not result.checks["bill_is_present"]
    assert not result.checks["coverage_is_sufficient"]


def test_a_day_that_is_not_settled_waits_and_its_out_of_cluster_cost_does_not(
    replay: Replay, dagster_run: Callable[..., Deployment]
) -> None:
    def soon() -> datetime:
        return datetime(2026, 10, 7, 23, tzinfo=UTC)  # 47 hours after the day

    run = dagster_run(cloud_stores=[BILL], clusters=[cluster(replay)], clock=soon)

    result = run()

    assert result.materialized["asset_costs", "2026-10-05"]["Σ adjustment"] == 0
    assert result.materialized["asset_costs", "2026-10-05"]["state"] == "provisional"
    assert result.materialized[f"cloud_assets/aws/{ACCOUNT}", "2026-10-05"]["Σ billed_cost"] > 0
    assert result.checks["bill_is_conserved"]


def test_a_bill_that_is_not_conserved_is_not_published(
    replay: Replay, dagster_run: Callable[..., Deployment], tmp_path: Path, engine: Any
) -> None:
    """Two assets of one id would claim a row twice: the duplicate stands for whatever breaks the join."""
    run = dagster_run(cloud_stores=[BILL], clusters=[cluster(replay)])
    assert run().success
    lake = Lake(locate(run.settings.lake), tmp_path)
    inventory = run.settings.lake.removeprefix("file://") + "/asset_inventory/date=2026-10-05/data.parquet"
    doubled = engine.read_parquet(inventory).mutate(date=date(2026, 10, 5))
    from kubecost_pipelines.core.tables import ASSET_INVENTORY

    staged = lake.stage(ASSET_INVENTORY, doubled.union(doubled), engine)
    lake.publish(staged, [], [date(2026, 10, 5)])

    result = run(f"reconciled_assets/aws/{ACCOUNT}")

    assert not result.success
    assert "the bill is not conserved" in result.error
    assert run.last_check(f"reconciled_assets/aws/{ACCOUNT}", "bill_is_conserved") is False
    known = lake.describe(RECONCILED_ASSETS, ("aws", ACCOUNT), date(2026, 10, 5))
    assert known is not None
    assert float(known.sums["billed_cost"]) == pytest.approx(641.712 / 31, abs=1e-3)


def test_a_range_over_many_days_names_each_day_that_failed(
    replay: Replay, dagster_run: Callable[..., Deployment]
) -> None:
    del replay.days["2026-10-06"]
    replay.days["2026-10-08"]["assets"] = json.loads("{}")

    result = dagster_run(clusters=[cluster(replay)], days=("2026-10-05", "2026-10-09"))(ASSETS)

    assert "2 failed, 3 days written" in result.error
    assert "2026-10-06: " in result.error
    assert "2026-10-08: " in result.error
