"""A month of Azure that nobody here wrote, and its cluster: figures are nise's (data/README.md)."""

import gzip
import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kubecost_pipelines.settings import CloudStoreSettings, ClusterSettings
from kubecost_pipelines_tests.dagster_run import Deployment, Recorded, deploy
from kubecost_pipelines_tests.replay import DATA, serve_replay
from kubecost_pipelines_tests.servers import ACCOUNT_KEY, BlobServer

SUBSCRIPTION = "38f1d748-3ac7-4b7f-a5ae-8b5ff16db82d"
REPORT = "acme-amortized/20261001-20261031/costreport_6513270e-269e-4d37-b2a7-4de452e6b438.csv.gz"


def bill(export: str, **access: Any) -> CloudStoreSettings:
    return CloudStoreSettings(provider="azure", id=SUBSCRIPTION, export=export, **access)


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Recorded]]:
    folder = tmp_path_factory.mktemp("month")
    with serve_replay(json.loads(gzip.decompress((DATA / "prod-aks-1.json.gz").read_bytes()))) as replay:
        cluster = ClusterSettings(name="prod-aks-1", endpoint=replay.endpoint, provider="azure", account=SUBSCRIPTION)
        store = bill((DATA / "azure/subscription").as_uri())
        with deploy(folder, [store], [cluster], days=("2026-10-01", "2026-10-31")) as deployment:
            yield deployment, deployment()


def ask(query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()


def table(deployment: Deployment, name: str, depth: str = "*/*/*") -> str:
    lake = deployment.settings.lake.removeprefix("file://")
    return f"read_parquet('{lake}/{name}/{depth}/data.parquet', hive_partitioning=true)"


def test_the_bill_adds_up_to_the_cent(month: tuple[Deployment, Recorded]) -> None:
    deployment, recorded = month

    [found] = ask(
        "SELECT sum(billed_cost), sum(effective_cost), sum(list_cost), sum(line_items) "
        f"FROM {table(deployment, 'cloud_billing')}"
    )

    assert recorded.success, recorded.error
    assert [round(cost, 4) for cost in found[:3]] == [Decimal("1264.5664")] * 3
    assert found[3] == 992
    assert recorded.checks["bill_is_conserved"]
    assert recorded.checks["charge_types_are_known"]


def test_six_of_six_nodes_and_volumes_are_found_every_day(month: tuple[Deployment, Recorded]) -> None:
    deployment, _ = month

    days = ask(
        f"SELECT date, asset_type, count(*), count(match_rule) FROM {table(deployment, 'asset_costs', '*')} "
        "WHERE asset_type IN ('Node', 'Disk') GROUP BY ALL"
    )

    assert len(days) == 62
    assert {(count, matched) for _, _, count, matched in days} == {(6, 6)}


def test_assets_cost_what_was_billed_for_them(month: tuple[Deployment, Recorded]) -> None:
    deployment, _ = month

    source = table(deployment, "asset_costs", "*")
    found = dict(ask(f"SELECT asset_type, sum(total_cost) FROM {source} WHERE is_reconciled GROUP BY 1"))
    nodes = ask(
        f"SELECT provider_id, sum(total_cost) FROM {source} WHERE is_reconciled AND asset_type <> 'Disk' GROUP BY 1"
    )

    # Virtual machines; egress and ingress of the same machines; managed disks.
    assert {kind: round(cost, 4) for kind, cost in found.items()} == {
        "Node": 857.088, "Network": round(19.4184 + 2.232, 4), "Disk": 57.6,
    }  # fmt: skip
    assert {round(cost, 4) for _, cost in nodes} == {146.4564}


def test_what_no_cluster_claims_stays_on_the_bill(month: tuple[Deployment, Recorded]) -> None:
    deployment, _ = month

    found = ask(
        f"SELECT service_name, is_kubernetes, sum(billed_cost) FROM {table(deployment, 'cloud_assets')} GROUP BY ALL"
    )

    assert {(service, ours): round(float(cost), 3) for service, ours, cost in found} == {
        ("SQL Database", False): 297.6, ("Storage", False): 12.4, ("Bandwidth", False): 10.788,
        ("Virtual Network", True): 7.44,
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


def rows_of(deployment: Deployment) -> str:
    return f"SELECT * FROM {table(deployment, 'cloud_billing')}"


@pytest.mark.parametrize("way", ["loose files, other header", "blobs", "parts with a manifest", "parquet"])
def test_other_ways_to_the_bill_give_the_same(
    month: tuple[Deployment, Recorded], tmp_path: Path, blobs: BlobServer, way: str
) -> None:
    source = DATA / "azure/subscription" / REPORT
    match way:
        case "loose files, other header":
            store = bill((DATA / "azure/resource_group").as_uri())
        case "blobs":
            blobs.container("exports").upload_blob(f"cost/{REPORT}", source.read_bytes())
            uri = "abfss://exports@devstoreaccount1.dfs.core.windows.net/cost/acme-amortized"
            store = bill(uri, endpoint=blobs.endpoint, account_key=ACCOUNT_KEY)
        case "parts with a manifest":
            store = bill(write_parts(tmp_path / "export", source).as_uri())
        case "parquet":
            folder = tmp_path / "export" / "20261001-20261031"
            folder.mkdir(parents=True)
            typed = (
                "CAST(Date AS DATE) AS Date, CAST(CostInBillingCurrency AS DECIMAL(30, 16)) AS CostInBillingCurrency"
            )
            query = f"SELECT * REPLACE ({typed}) FROM read_csv('{source}', all_varchar=true, quote='\"', escape='\"')"
            ask(f"COPY ({query}) TO '{folder}/part.parquet'")
            store = bill(folder.parent.as_uri())

    with deploy(tmp_path, [store], [], days=("2026-10-01", "2026-10-31")) as other:
        recorded = other(f"cloud_billing/azure/{SUBSCRIPTION}")

    assert recorded.success, recorded.error
    everything = ask(f"SELECT count(*) FROM ({rows_of(month[0])})")
    assert ask(f"SELECT count(*) FROM (({rows_of(other)}) INTERSECT ALL ({rows_of(month[0])}))") == everything
    assert ask(f"SELECT count(*) FROM ({rows_of(other)})") == everything


def write_parts(export: Path, source: Path) -> Path:
    """Write yesterday's run and today's, as Azure does: the month so far, in parts, each with a manifest."""
    header, *rows = gzip.decompress(source.read_bytes()).decode("utf-8-sig").splitlines()
    for age, (run, lines) in enumerate({"202610310000": rows, "202610300000": rows[:500]}.items()):
        folder = export / "20261001-20261031" / run / "6d1c1e0a"
        folder.mkdir(parents=True)
        names = []
        for part, start in enumerate((0, 300)):
            names.append(f"part_{part}_0001.csv")
            text = "\n".join([header, *lines[start : 300 if part == 0 else None]])
            (folder / names[-1]).write_text("\ufeff" + text + "\n")
        blobs = [{"blobName": f"some/where/else/{name}", "byteCount": 1} for name in names]
        (folder / "_manifest.json").write_text(json.dumps({"blobs": blobs}))
        os.utime(folder / "_manifest.json", (2e9 - age, 2e9 - age))
    return export
