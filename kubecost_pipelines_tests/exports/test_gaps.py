"""Gaps: what a cluster has and its bucket lacks, by name, by day and by total."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubecost_pipelines_tests.exports.test_faults import DAYS, TODAY, Days, a_day, cluster, files, run
from kubecost_pipelines_tests.s3 import S3Server

__all__ = ["cluster", "run"]  # fixtures
Run = Callable[..., int]


def fill(cluster: Days, days: int = 15) -> None:
    cluster.days = {day: a_day(day) for day in (TODAY - timedelta(days=number) for number in range(1, days + 1))}


def asked(cluster: Days) -> list[str]:
    """The questions at container level, by day."""
    return [query["window"][:10] for query in cluster.asked["/model/allocation"]]


def test_five_planted_holes_are_five_days_collected(cluster: Days, run: Run, tmp_path: Path) -> None:
    fill(cluster)
    assert run() == 0
    there = sorted((tmp_path / "out").rglob("*.parquet"))
    assert len(there) == 15
    holes = [there[number] for number in (0, 3, 4, 9, 14)]
    for file in holes:
        file.unlink()
    cluster.asked.clear()

    assert run() == 0

    assert asked(cluster) == [file.name[:10] for file in holes]
    assert all(file.exists() for file in there)


def test_without_a_gap_the_cluster_is_asked_once(cluster: Days, run: Run, tmp_path: Path) -> None:
    fill(cluster)
    assert run(flavour="auto") == 0
    cluster.asked.clear()

    assert run(flavour="auto") == 0

    assert {route: len(queries) for route, queries in cluster.asked.items()} == {"/model/allocation?total": 1}


@pytest.mark.parametrize("layout", ["drop_in", "native"])
def test_without_a_gap_a_bucket_and_a_lake_are_asked_three_times(
    cluster: Days, run: Run, s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    environment = {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    for name, value in {**environment, "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    places = {"lake": f"s3://{bucket}/lake", "location": f"s3://{bucket}/out", "layouts": [layout]}
    fill(cluster)
    assert run(**places) == 0

    with s3.recorded() as methods:
        assert run(**places) == 0

    # One listing; the index beside the lake, which Arrow asks for its size first.
    assert sorted(methods) == ["GET", "GET", "HEAD"]


@pytest.mark.parametrize("table", ["allocations", "volumes", "load_balancers"])
def test_each_file_of_our_own_layout_comes_back(cluster: Days, run: Run, tmp_path: Path, table: str) -> None:
    assert run(layouts=["native"]) == 0
    lost = tmp_path / f"out/cluster=prod/date=2026-10-04/{table}/{table}.parquet"
    lost.unlink()
    cluster.asked.clear()

    assert run(layouts=["native"]) == 0

    assert asked(cluster) == ["2026-10-04"]
    assert lost.exists()


def test_a_file_that_cannot_be_read_is_written_anew_and_no_other(
    cluster: Days, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    [half] = (tmp_path / "out").rglob("2026-10-03*")
    half.write_bytes(half.read_bytes()[:500])
    cluster.asked.clear()

    assert run() == 0

    assert asked(cluster) == ["2026-10-03"]
    assert files(tmp_path) == {"02": 4, "03": 4, "04": 4, "05": 4}
    assert "It is written anew." in capsys.readouterr().out


def test_a_day_that_has_no_room_fails_alone(
    cluster: Days, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A file where the folder of September should be.
    cluster.days = {day: a_day(day) for day in (date(2026, 9, 30), *DAYS)}
    blocked = tmp_path / "out/account_id=111122223333/region=eu-west-3/year=2026/month=09"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("")

    assert run() == 1

    printed = capsys.readouterr().out
    assert "FAIL 2026-09-30" in printed
    assert "Make room there, or correct `export.location`." in printed
    assert printed.count("ok  ") == 4


def test_a_day_whose_total_has_changed_is_collected_again(
    cluster: Days, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    cluster.days[DAYS[2]] = a_day(DAYS[2], containers=6)
    cluster.asked.clear()

    assert run() == 0

    assert asked(cluster) == ["2026-10-04"]
    assert files(tmp_path)["04"] == 6
    assert "the cluster says 4.50000, and said 3.00000" in capsys.readouterr().out


def test_a_cluster_of_a_similar_name_hides_nothing(cluster: Days, run: Run, tmp_path: Path) -> None:
    assert run(name="prod-b") == 0
    assert run(name="b-prod") == 0

    assert run(name="prod") == 0
    assert len(list((tmp_path / "out").rglob("*_prod.snappy.parquet"))) == 4
    assert len(list((tmp_path / "out").rglob("*.parquet"))) == 12


def test_a_retention_of_one_day_collects_one(cluster: Days, run: Run, tmp_path: Path) -> None:
    assert run(retention_days="1") == 0

    assert files(tmp_path) == {"05": 4}


def test_force_collects_what_is_there(cluster: Days, run: Run) -> None:
    assert run() == 0
    cluster.asked.clear()

    assert run(force=True) == 0

    assert len(asked(cluster)) == 4


def test_a_dry_run_writes_nothing(cluster: Days, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(dry_run=True) == 0

    assert files(tmp_path) == {}
    assert "prod: the cluster has 4 days, the bucket 0 of them" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("provider", "account", "region", "folder"),
    [
        ("aws", "111122223333", "af-south-1", "account_id=111122223333/region=af-south-1"),
        ("aws", "111122223333", "me-central-1", "account_id=111122223333/region=me-central-1"),
        ("aws", "111122223333", "mx-central-1", "account_id=111122223333/region=mx-central-1"),
        ("gcp", "acme-prod", "europe-west1", "account_id=acme-prod/region=europe-west1"),
        ("azure", "38f1d748-3ac7-4b7f-a5ae-8b5ff16db82d", "westeurope",
         "account_id=38f1d748-3ac7-4b7f-a5ae-8b5ff16db82d/region=westeurope"),
        (None, None, None, "account_id=unknown/region=unknown"),
    ],
)  # fmt: skip
def test_a_cluster_anywhere_is_exported_and_found_again(
    cluster: Days, run: Run, tmp_path: Path, provider: str | None, account: str | None, region: str | None, folder: str
) -> None:
    place = {"provider": provider, "account": account, "region": region, "labels": ["app"]}
    assert run(**place) == 0
    cluster.asked.clear()
    assert run(**place) == 0

    file = tmp_path / f"out/{folder}/year=2026/month=10/2026-10-02_prod.snappy.parquet"
    schema = pq.read_schema(file)
    assert len(schema.names) == 59
    assert schema.names[-1] == "properties.labels.app"
    assert asked(cluster) == []


def test_a_file_of_the_old_exporter_counts_as_complete(cluster: Days, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "out/account_id=111122223333/region=eu-west-3/year=2026/month=10"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"name": ["x"]}), folder / "2026-10-03_prod.snappy.parquet")

    assert run() == 0

    assert files(tmp_path) == {"02": 4, "03": 1, "04": 4, "05": 4}


@pytest.mark.parametrize("aggregation", ["pod", "namespace", "controller", "controllerKind", "node", "cluster"])
def test_any_aggregation_adds_up_to_the_containers(cluster: Days, run: Run, tmp_path: Path, aggregation: str) -> None:
    assert run(aggregation=aggregation) == 0

    [file] = (tmp_path / "out").rglob("2026-10-02*")
    rows = pq.read_table(file).to_pylist()
    assert len(rows) == {"pod": 4}.get(aggregation, 1)
    assert sum(row["totalCost"] for row in rows) == pytest.approx(3.0)
    names = {"namespace": "shop", "controller": "deployment:web", "controllerKind": "deployment", "node": "n1"}
    if aggregation in names:
        assert rows[0]["name"] == names[aggregation]
        assert rows[0]["properties.namespace"] == "shop"
        assert rows[0]["properties.pod"] == ""
