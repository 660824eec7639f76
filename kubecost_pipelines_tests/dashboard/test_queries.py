"""The query behind each panel, run by DuckDB on the lake's files and by Athena over the same ones: figures by hand.

On 5 October the node n1 of `one` costs 6 − 1 and the disk d1 of `two` 2; on 6 October n1 costs 4; on 5 September it
cost 3. Out of clusters a database costs 7 on 5 October and 1 on 5 September. The bill has the node's 5 besides.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.core.serving import ADJUSTMENTS, COSTS
from kubecost_pipelines.core.tables import (
    ALLOCATIONS,
    ASSET_COSTS,
    CONNECTION_STATUS,
    RECONCILED_ASSETS,
)
from kubecost_pipelines_tests.api.served import Server, serve, write_allocations, write_bill, write_days
from kubecost_pipelines_tests.s3 import S3Server, serve_s3

FIFTH, SIXTH, SEPTEMBER = date(2026, 10, 5), date(2026, 10, 6), date(2026, 9, 5)
OCTOBER = "2026-10-01T00:00:00Z,2026-10-07T00:00:00Z"
BEFORE = "2026-09-01T00:00:00Z,2026-09-07T00:00:00Z"
BILL = ("aws", "111122223333")
FOLDERS: dict[str, tuple[str, ...]] = {
    "asset_costs": (),
    "reconciled_allocations": ("of_cluster",),
    "allocations": ("of_cluster",),
    "cloud_billing": ("store_provider", "store_account"),
    "cloud_assets": ("store_provider", "store_account"),
    "reconciled_assets": ("store_provider", "store_account"),
    "connection_status": ("store_provider", "store_account"),
}
"""Table -> what its folders above the days are, as docs/dashboard.md has them."""
ALLOCATED = (*COSTS, *ADJUSTMENTS, "shared_cost", "external_cost")
DATE = {"Name": "date", "Type": "date"}


def asset(
    day: date, cluster: str, kind: str, name: str, cost: float, adjustment: float, provider: str
) -> dict[str, Any]:
    return {
        "date": day,
        "cluster": cluster,
        "asset_id": f"{cluster}/{name}",
        "asset_type": kind,
        "name": name,
        "provider": provider,
        "provider_id": name,
        "labels": {},
        "currency": "USD",
        "cost": cost,
        "adjustment": adjustment,
        "total_cost": cost + adjustment,
        "match_rule": "provider_id",
        "is_reconciled": True,
        "is_settled": True,
    }


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("queries") / "lake"
    lake.mkdir()
    node = [asset(FIFTH, "one", "Node", "n1", 6.0, -1.0, "aws")]
    others = [
        asset(FIFTH, "two", "Disk", "d1", 2.0, 0.0, "gcp"),
        asset(SIXTH, "one", "Node", "n1", 4.0, 0.0, "aws"),
        asset(SEPTEMBER, "one", "Node", "n1", 3.0, 0.0, "aws"),
    ]
    write_days(lake, ASSET_COSTS, [], node + others)
    claimed = {"effective_cost": "5", "billed_cost": "5", "list_cost": "6", "provider_key": "/".join(BILL)}
    write_days(lake, RECONCILED_ASSETS, BILL, [{**node[0], **claimed}])
    database = {"provider_name": "AWS", "service_name": "AmazonRDS", "resource_id": "db", "tags": '{"team": "shop"}'}
    outside = [{**database, "date": FIFTH, "cost": "7"}, {**database, "date": SEPTEMBER, "cost": "1"}]
    write_bill(lake, BILL, outside)
    machine = {"provider_name": "AWS", "service_name": "AmazonEC2", "resource_id": "n1", "category": "Compute"}
    kubernetes = {**machine, "date": FIFTH, "cost": "5", "is_kubernetes": True, "cluster": "one"}
    write_bill(lake, BILL, [kubernetes, *outside], is_claimed=True)
    web = {"namespace": "web", "controller": "web", "controller_kind": "deployment", "pod": "w", "container": "c"}
    workloads = [
        {**web, "cpu_cost": 3.0, "cpu_cost_adjustment": -1.0, "ram_cost": 1.0, "labels": {"team": "shop"}},
        {"namespace": "api", "pod": "a", "ram_cost": 1.0, "node": "n1"},
        {"allocation_type": "idle", "namespace": "__idle__", "cpu_cost": 0.5},
        {"allocation_type": "shared", "namespace": "__shared__", "shared_cost": 0.25},
    ]
    workloads.append({**web, "date": SIXTH, "cpu_cost": 4.0})
    write_allocations(lake, "one", [{**dict.fromkeys(ALLOCATED, 0.0), **row} for row in workloads])
    write_days(lake, ALLOCATIONS, ["one"], [{"date": FIFTH, "cluster": "one", "name": name} for name in ("a", "w")])
    checks = [("MISSING_DATA", 9), ("FAILED_CONNECTION", 12)]
    write_days(
        lake,
        CONNECTION_STATUS,
        BILL,
        [
            {
                "date": FIFTH,
                "provider_key": "/".join(BILL),
                "status": status,
                "checked_at": datetime(2026, 10, 5, hour, tzinfo=UTC),
                "detail": "AccessDenied",
                "cure": "Correct it.",
            }
            for status, hour in checks
        ],
    )
    return lake


@pytest.fixture(scope="module")
def server(lake: Path) -> Iterator[Server]:
    with serve(lake, has_dashboard=True) as running:
        yield running


@dataclass
class Athena:
    """The lake in a bucket, and a catalog that says where its tables are."""

    s3: S3Server

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
        make: Any = boto3.client
        return make(service, endpoint_url=self.s3.endpoint, **keys)

    def ask(self, sql: str) -> list[list[str | None]]:
        athena = self.client("athena")
        asked = {"QueryExecutionId": athena.start_query_execution(QueryString=sql)["QueryExecutionId"]}
        while (found := athena.get_query_execution(**asked)["QueryExecution"])["Status"]["State"] != "SUCCEEDED":
            assert found["Status"]["State"] != "FAILED", found["Status"]["StateChangeReason"]
            time.sleep(0.02)
        rows = athena.get_query_results(**asked)["ResultSet"]["Rows"]
        return [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows[1:]]


@pytest.fixture(scope="module")
def athena(lake: Path) -> Iterator[Athena]:
    with serve_s3(with_athena=True) as s3:
        athena = Athena(s3)
        objects, glue = athena.client("s3"), athena.client("glue")
        objects.create_bucket(Bucket="lake")
        glue.create_database(DatabaseInput={"Name": "kubecost"})
        for table, folders in FOLDERS.items():
            files = sorted((lake / table).rglob("data.parquet"))
            for file in files:
                objects.put_object(Bucket="lake", Key=file.relative_to(lake).as_posix(), Body=file.read_bytes())
            place = "/".join([f"s3://lake/{table}", *(f"${{{folder}}}" for folder in folders), "date=${date}"])
            # The types of files count there, not those of the catalog.
            columns = [{"Name": name, "Type": "string"} for name in pq.read_schema(files[0]).names]
            glue.create_table(
                DatabaseName="kubecost",
                TableInput={
                    "Name": table,
                    "PartitionKeys": [*({"Name": name, "Type": "string"} for name in folders), DATE],
                    "StorageDescriptor": {"Columns": columns, "Location": f"s3://lake/{table}/"},
                    "Parameters": {"projection.enabled": "true", "storage.location.template": place},
                },
            )
        yield athena


def of(view: str, **given: str) -> dict[str, str]:
    return {"view": view, "window": OCTOBER, **given}


CASES: dict[str, tuple[dict[str, str], list[tuple[Any, ...]]]] = {
    "spend by cluster": (
        of("spend", by="cluster"),
        [
            ("2026-10-05", "Out of clusters", False, 7),
            ("2026-10-05", "one", True, 5),
            ("2026-10-05", "two", True, 2),
            ("2026-10-06", "one", True, 4),
        ],
    ),
    "spend by cloud": (
        of("spend", by="cloud"),
        [
            ("2026-10-05", "AWS", False, 7),
            ("2026-10-05", "AWS", True, 5),
            ("2026-10-05", "Google Cloud", True, 2),
            ("2026-10-06", "AWS", True, 4),
        ],
    ),
    "spend by service": (
        of("spend", by="service"),
        [
            ("2026-10-05", "AmazonRDS", False, 7),
            ("2026-10-05", "Kubernetes Node", True, 5),
            ("2026-10-05", "Kubernetes Disk", True, 2),
            ("2026-10-06", "Kubernetes Node", True, 4),
        ],
    ),
    "this month and the last": (
        of("months", before=BEFORE),
        [("one", 9, 3), ("Out of clusters", 7, 1), ("two", 2, 0)],
    ),
    "conservation": (of("conservation"), [("aws/111122223333", 1, 12, 5, 7, 0)]),
    "workloads by namespace": (
        of("workloads", group="namespace"),
        [
            ("web", 6, 1, 0, 0, 0, 0, 0, 7),
            ("api", 0, 1, 0, 0, 0, 0, 0, 1),
            ("__idle__", 0.5, 0, 0, 0, 0, 0, 0, 0.5),
            ("__shared__", 0, 0, 0, 0, 0, 0.25, 0, 0.25),
        ],
    ),
    "workloads by controller of one namespace and day": (
        of("workloads", group="controller", kind="daily", namespace="web"),
        [
            ("2026-10-05", "deployment:web", 2, 1, 0, 0, 0, 0, 0, 3),
            ("2026-10-06", "deployment:web", 4, 0, 0, 0, 0, 0, 0, 4),
        ],
    ),
    "workloads by label, of a label": (
        of("workloads", group="label:team", label="team:shop"),
        [("shop", 2, 1, 0, 0, 0, 0, 0, 3)],
    ),
    "workloads without idle cost": (
        of("workloads", group="cluster", idle="hidden"),
        [("one", 6, 2, 0, 0, 0, 0.25, 0, 8.25)],
    ),
    "assets": (
        of("assets"),
        [("one", "Node", "n1", "n1", "provider_id", 10, -1, 9), ("two", "Disk", "d1", "d1", "provider_id", 2, 0, 2)],
    ),
    "assets of a type and cluster by day": (
        of("assets", kind="daily", type="Node", cluster="one"),
        [("2026-10-05", "Node", 6, -1, 5), ("2026-10-06", "Node", 4, 0, 4)],
    ),
    "cloud costs by service": (
        of("cloud", group="service", metric="amortizedNetCost"),
        [("AmazonRDS", 7, 0), ("AmazonEC2", 5, 5)],
    ),
    "cloud costs of a category by day": (
        of("cloud", group="accountID", metric="listCost", kind="daily", category="Compute"),
        [("2026-10-05", "111122223333", 5, 5)],
    ),
    "why an asset": (
        of("why", date="2026-10-05", cluster="one", type="Node", asset="n1"),
        [("one", "Node", "n1", "n1", "provider_id", None, None, 6, -1, 5, True)],
    ),
    "why a namespace": (
        of("why", date="2026-10-05", cluster="one", namespace="web"),
        [("web", "w", "c", None, 3, -1, 0, 0, 1, *[0] * 9, 3, True)],
    ),
    "the last check of every bill": (
        of("connections", kind="store"),
        [("aws/111122223333", "FAILED_CONNECTION", None, "2026-10-05 12:00:00+00:00", "AccessDenied", "Correct it.")],
    ),
    "the days of every cluster": (of("connections", kind="cluster"), [("2026-10-05", 2)]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_query_gives_the_figures_on_both_engines(server: Server, athena: Athena, name: str) -> None:
    parameters, expected = CASES[name]
    shown = server.data("/dashboard/query", **parameters)

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        by_duckdb = connection.execute(shown["duckdb"]).fetchall()
    by_athena = athena.ask(shown["athena"])

    assert [read(row) for row in by_duckdb] == [pytest.approx(row) for row in read_all(expected)]
    assert [read(row) for row in by_athena] == [pytest.approx(row) for row in read_all(expected)]


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ({}, "2026-10-06"),
        ({"cluster": "one"}, "2026-10-06"),
        ({"idle": "shared"}, ", idle cost apart"),
        ({"namespace": "web"}, ", without the idle cost that they would bear"),
        ({"label": "team:shop"}, ", without the idle cost that they would bear"),
        ({"namespace": "web", "idle": "hidden"}, "2026-10-06"),
    ],
)
def test_a_query_says_what_it_does_with_idle_cost(server: Server, filters: dict[str, str], told: str) -> None:
    shown = server.data("/dashboard/query", **of("workloads", group="pod", **filters))
    assert shown["title"].endswith(told)


def read_all(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    return [read(row) for row in rows]


def read(row: Any) -> list[Any]:
    """Return a row with its numbers as such: Athena answers text."""
    return [number(value) for value in row]


def number(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return None if value is None else str(value)
