"""A month of Google Cloud that nobody here wrote, and its cluster: figures are nise's (data/README.md)."""

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings
from kubecost_pipelines_tests.dagster_run import Deployment, Recorded, deploy
from kubecost_pipelines_tests.replay import DATA, serve_replay

PROJECT = "acme-gke"


def bill(export: Path) -> CloudStoreSettings:
    return CloudStoreSettings(provider="gcp", id=PROJECT, export=export.as_uri())


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Recorded]]:
    folder = tmp_path_factory.mktemp("month")
    with serve_replay(json.loads(gzip.decompress((DATA / "prod-gke-1.json.gz").read_bytes()))) as replay:
        cluster = ClusterSettings(name="prod-gke-1", endpoint=replay.endpoint, provider="gcp", account=PROJECT)
        with deploy(folder, [bill(DATA / "gcp/csv")], [cluster], days=("2026-10-01", "2026-10-31")) as deployment:
            yield deployment, deployment()


def ask(query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()


def table(deployment: Deployment, name: str, depth: str = "*/*/*") -> str:
    lake = deployment.settings.lake.removeprefix("file://")
    return f"read_parquet('{lake}/{name}/{depth}/data.parquet', hive_partitioning=true)"


def test_the_bill_adds_up_to_the_cent(month: tuple[Deployment, Recorded]) -> None:
    deployment, recorded = month

    [(cost, billed, lines)] = ask(
        f"SELECT sum(contracted_cost), sum(billed_cost), sum(line_items) FROM {table(deployment, 'cloud_billing')}"
    )

    assert recorded.success, recorded.error
    assert (round(cost, 4), round(billed, 4), lines) == (Decimal("1186.0935"), Decimal("1162.5831"), 23_808)
    assert recorded.checks["bill_is_conserved"]


def test_six_of_six_nodes_and_volumes_are_found_every_day(month: tuple[Deployment, Recorded]) -> None:
    deployment, _ = month

    days = ask(
        f"SELECT date, asset_type, count(*), count(match_rule) FROM {table(deployment, 'asset_costs', '*')} "
        "WHERE asset_type IN ('Node', 'Disk') GROUP BY ALL"
    )

    assert len(days) == 62
    assert {(count, matched) for _, _, count, matched in days} == {(6, 6)}


def test_nodes_cost_what_was_billed_for_them(month: tuple[Deployment, Recorded]) -> None:
    deployment, _ = month

    found = ask(
        "SELECT asset_type, sum(total_cost) "
        f"FROM {table(deployment, 'asset_costs', '*')} WHERE is_reconciled GROUP BY 1"
    )

    # Core and RAM of six nodes less the committed use discounts; the egress and the disks as they are.
    assert {kind: round(cost, 4) for kind, cost in found if kind != "ClusterManagement"} == {
        "Node": round(564.446016 + 302.623488 - 23.5104, 4), "Network": 26.784, "Disk": 24.0,
    }  # fmt: skip


def test_every_day_the_workloads_and_what_they_left_add_up_to_the_assets(
    month: tuple[Deployment, Recorded],
) -> None:
    deployment, recorded = month

    days = ask(
        f"SELECT date, sum(allocated), sum(owned) FROM (SELECT date, total_cost AS allocated, 0 AS owned "
        f"FROM {table(deployment, 'reconciled_allocations', '*/*')} WHERE allocation_type <> 'external' "
        f"UNION ALL SELECT date, 0, total_cost FROM {table(deployment, 'asset_costs', '*')}) GROUP BY date"
    )

    assert len(days) == 31
    assert all(allocated == pytest.approx(owned, abs=1e-6) for _, allocated, owned in days)
    assert recorded.checks["allocations_have_a_node"]


def write_parquet(folder: Path) -> Path:
    """Write the JSON lines as Parquet, with the structs and lists that BigQuery writes."""
    folder.mkdir()
    source, target = DATA / "gcp/jsonl/202610_bigquery.jsonl.gz", folder / "export.parquet"
    # The generator puts some lists of credits into a text.
    unwrapped = f"SELECT * REPLACE ((credits->>'$')::JSON AS credits) FROM '{source}'"
    one = '{"name": "VARCHAR", "amount": "DOUBLE", "id": "VARCHAR", "type": "VARCHAR"}'
    credit = f"if(json_type(credits) = 'ARRAY', from_json(credits, '[{one}]'), [from_json(credits, '{one}')])"
    ask(f"COPY (SELECT * REPLACE ({credit} AS credits) FROM ({unwrapped})) TO '{target}'")
    return folder


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_other_files_give_what_csv_gives(month: tuple[Deployment, Recorded], tmp_path: Path, kind: str) -> None:
    export = DATA / "gcp/jsonl" if kind == "jsonl" else write_parquet(tmp_path / "export")

    with deploy(tmp_path, [bill(export)], [], days=("2026-10-01", "2026-10-03")) as other:
        recorded = other(f"cloud_billing/gcp/{PROJECT}")

    def rows(of: Deployment) -> str:
        # The generator made up other global names for each of its files.
        source = table(of, "cloud_billing")
        return f"SELECT * EXCLUDE (resource_id) FROM {source} WHERE date <= DATE '2026-10-03'"

    assert recorded.success, recorded.error
    everything = ask(f"SELECT count(*) FROM ({rows(month[0])})")
    assert ask(f"SELECT count(*) FROM (({rows(other)}) INTERSECT ALL ({rows(month[0])}))") == everything
    assert ask(f"SELECT count(*) FROM ({rows(other)})") == everything


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: shutil.copy(DATA / "gcp/jsonl/202610_bigquery.jsonl.gz", folder), "csv and json files"),
        (lambda folder: (folder / "more.csv").write_text("cost,currency\n1,USD\n"), "cannot be read|lacks"),
        (lambda folder: (folder / "cut.csv.gz").write_bytes(gzip.compress(b"cost\n" * 9999)[:40]), "cannot be read"),
    ],
    ids=["two exports", "too few columns", "cut off"],
)
def test_a_bad_export_is_told_with_its_cure(tmp_path: Path, break_it: Callable[[Path], object], words: str) -> None:
    export = tmp_path / "export"
    shutil.copytree(DATA / "gcp/csv", export)
    break_it(export)

    with deploy(tmp_path, [bill(export)], [], days=("2026-10-01", "2026-10-03")) as deployment:
        recorded = deployment(f"cloud_billing/gcp/{PROJECT}")

    assert not recorded.success
    assert any(word in recorded.error + recorded.description for word in words.split("|"))
