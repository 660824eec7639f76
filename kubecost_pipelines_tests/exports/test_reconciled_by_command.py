"""`kubecost-pipelines export` of reconciled rows: the lake's days, told from what was exported before."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.cli.export import Options, run_export
from kubecost_pipelines.settings import CONFIG_VARIABLE, CloudStoreSettings, ExportSettings
from kubecost_pipelines_tests.dagster_run import Deployment
from kubecost_pipelines_tests.exports.deployment import ARN, FOLDER, cluster
from kubecost_pipelines_tests.living import rows_of
from kubecost_pipelines_tests.replay import DATA, Replay

DAY = "2026-10-05"


@pytest.fixture
def deployment(replay: Replay, dagster_run: Callable[..., Deployment]) -> Deployment:
    """Two days of which the lake has the second, without a bill: what the cluster says is what is billed."""
    replay.days = {day: replay.days[day] for day in ("2026-10-04", DAY)}
    run = dagster_run(clusters=[cluster(replay, account="111122223333")])
    result = run()
    assert result.success, result.error
    return run


@pytest.fixture
def export(
    deployment: Deployment, replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], int]:
    content = {
        "lake": deployment.settings.lake,
        "start_date": "2026-10-01",
        "clusters": [
            {
                "name": "prod-eks-1", "endpoint": replay.endpoint, "provider": "aws", "cluster_id": ARN,
                "account": "111122223333", "flavour": "kubecost", "max_attempts": 1,
            }
        ],
        "export": {"location": (tmp_path / "out").as_uri(), "source": "reconciled"},
    }  # fmt: skip
    (tmp_path / "settings.yaml").write_text(json.dumps(content))
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "settings.yaml"))
    return lambda: run_export([], Options(force=False, dry_run=False, today=date(2026, 10, 6)))


def exported(folder: Path) -> float:
    file = pq.read_table(folder / f"out/{FOLDER}/{DAY}_prod-eks-1.snappy.parquet")
    return float(sum(row["totalCost"] for row in file.to_pylist()))


def test_a_day_that_the_lake_lacks_is_said_and_the_other_exported_once(
    export: Callable[[], int], replay: Replay, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export() == 1

    printed = capsys.readouterr().out
    assert "FAIL 2026-10-04  missing; reconciled_allocations/prod-eks-1: the lake has no 2026-10-04." in printed
    assert f"ok   {DAY}  missing" in printed
    total = sum(item["totalCost"] for item in replay.days[DAY]["allocation"].values())
    # The fee of the control plane, which the cluster has among its assets, is shared: 24 h × 0.10. Each asset
    # and allocation is rounded to five decimals.
    assert exported(tmp_path) == pytest.approx(total + 2.4, abs=1e-4)
    assert export() == 1
    assert DAY not in capsys.readouterr().out


GROUPS = {
    "pod": "payments/payments-n0-p0",
    "namespace": "payments",
    "controller": "deployment:payments-n0",
    "controllerKind": "deployment",
    "node": "ip-10-0-0-0.ec2.internal",
    "cluster": "prod-eks-1",
}
"""A group of each aggregation."""


def test_reconciled_rows_of_our_own_layout_add_up_however_they_are_summed(
    deployment: Deployment, tmp_path: Path
) -> None:
    containers = rows_of(deployment.settings.lake, "reconciled_allocations", "total_cost")
    total = sum(cost for (cost,) in containers)
    for aggregation, name in GROUPS.items():
        settings = ExportSettings.model_validate(
            {"location": (tmp_path / "out").as_uri(), "layouts": ["native", "drop_in"], "aggregation": aggregation}
        )
        run = replace(deployment, settings=deployment.settings.model_copy(update={"export": settings}))

        result = run("allocation_export/prod-eks-1")

        assert result.success, result.error
        table = pq.read_table(tmp_path / f"out/cluster=prod-eks-1/date={DAY}/allocations/allocations.parquet")
        assert sum(row["total_cost"] for row in table.to_pylist()) == pytest.approx(total, rel=1e-9)
        assert exported(tmp_path) == pytest.approx(total, rel=1e-9)
        assert name in table.column("name").to_pylist()
        assert len(table) < len(containers)


def test_a_restated_day_waits_until_the_lake_has_it(
    deployment: Deployment,
    export: Callable[[], int],
    replay: Replay,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del replay.days["2026-10-04"]
    assert export() == 0
    before = exported(tmp_path)
    # A cluster that now says twice as much, of its nodes as of what runs on them.
    for of_table in replay.days[DAY].values():
        for item in of_table.values():
            item |= {name: 2 * value for name, value in item.items() if name.endswith("Cost")}
            for part in (*(item.get("pvs") or {}).values(), *(item.get("lbAllocations") or {}).values()):
                part["cost"] *= 2

    assert export() == 1
    assert "the lake has what the cluster said before. Materialise allocations/prod-eks-1" in capsys.readouterr().out
    assert exported(tmp_path) == before

    assert deployment().success
    assert export() == 0
    assert exported(tmp_path) == pytest.approx(2 * before, rel=1e-9)


def test_a_day_that_a_bill_has_moved_is_exported_again(
    deployment: Deployment,
    export: Callable[[], int],
    replay: Replay,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del replay.days["2026-10-04"]
    assert export() == 0
    estimated = exported(tmp_path)
    bill = CloudStoreSettings(provider="aws", id="111122223333", export=(DATA / "aws/bills/cur").as_uri())
    billed = replace(deployment, settings=deployment.settings.model_copy(update={"cloud_stores": (bill,)}))
    assert billed().success

    assert export() == 0

    assert "the lake has it in another state" in capsys.readouterr().out
    assert exported(tmp_path) != pytest.approx(estimated, rel=1e-3)
    assert export() == 0
    assert "ok  " not in capsys.readouterr().out


def test_a_day_of_the_lake_that_cannot_be_read_is_said_with_the_cure(
    deployment: Deployment,
    export: Callable[[], int],
    replay: Replay,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del replay.days["2026-10-04"]
    [file] = tmp_path.rglob(f"reconciled_allocations/prod-eks-1/date={DAY}/*.parquet")
    file.write_bytes(file.read_bytes()[:500])

    assert export() == 1

    assert "materialise that day of the lake again" in capsys.readouterr().out
    assert not list((tmp_path / "out").rglob("*.parquet"))
