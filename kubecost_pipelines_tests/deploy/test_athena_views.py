"""`deploy/athena`: the views, made and asked on a server that runs SQL, over both layouts; expected values by hand."""

import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.core.exports.drop_in import drop_in_columns
from kubecost_pipelines.core.exports.native import native_tables
from kubecost_pipelines.core.tables import RECONCILED_ALLOCATIONS
from kubecost_pipelines_tests.s3 import S3Server, serve_s3

DEPLOY = Path(__file__).parents[2] / "deploy"
COLUMNS = json.loads((DEPLOY / "terraform/columns.json").read_text(encoding="utf-8"))
LABEL = {"name": "properties.labels.team", "type": "string"}


@dataclass(frozen=True)
class Workload:
    """A row of an export, in either layout: what the views look at."""

    name: str
    kind: str
    namespace: str = ""
    team: str = ""
    node: str = "node-1"
    costs: dict[str, float] = field(default_factory=dict)
    """`cpu`, `cpu adjustment`, `shared`, … -> USD"""

    @property
    def total(self) -> float:
        return sum(self.costs.values())

    def as_drop_in(self, day: str) -> dict[str, Any]:
        text = {
            "name": self.name,
            "properties.namespace": self.namespace,
            "properties.labels.team": self.team,
            "properties.node": self.node,
            "properties.eksClusterName": "prod",
            "properties.node_instance_type": "m5.large" if self.node else "",
        }
        numbers = {f"{name.replace(' adjustment', 'CostAdjustment')}": cost for name, cost in self.costs.items()}
        numbers = {name if name.endswith("Adjustment") else f"{name}Cost": cost for name, cost in numbers.items()}
        time_of = {"window.start": datetime.fromisoformat(day)}
        return {**text, **numbers, **time_of, "totalCost": self.total}

    def as_native(self, _: str) -> dict[str, Any]:
        labels = {"team": self.team} if self.team else {}
        if self.node:
            labels["node_kubernetes_io_instance_type"] = "m5.large"
        costs = {f"{name.replace(' ', '_cost_')}": cost for name, cost in self.costs.items()}
        costs = {name if name.endswith("adjustment") else f"{name}_cost": cost for name, cost in costs.items()}
        return {
            "name": self.name, "namespace": self.namespace, "node": self.node, "labels": list(labels.items()),
            "allocation_type": self.kind, "total_cost": self.total, "account_id": "111122223333",
            "region": "us-east-1", **costs,
        }  # fmt: skip


OCTOBER = (
    Workload(
        "prod/web/web-1", "workload", "web", "shop",
        costs={
            "cpu": 2.0, "cpu adjustment": -0.5, "ram": 1.0, "ram adjustment": -0.25, "shared": 0.1, "external": 0.4,
        },
    ),
    Workload("prod/web/cache-1", "workload", "web", costs={"pv": 0.5}),
    Workload("prod/node-1/__idle__", "idle", costs={"cpu": 1.0, "cpu adjustment": -0.25}),
    Workload("prod/__unmounted__/__unmounted__", "unmounted", "__unmounted__", node="", costs={"pv": 0.2}),
)  # fmt: skip
NOVEMBER = (Workload("prod/web/web-1", "workload", "web", "shop", costs={"cpu": 10.0}),)
DAYS = {"2026-10-05": OCTOBER, "2026-11-01": NOVEMBER}


@dataclass
class Athena:
    """A database of one layout on the server."""

    server: S3Server
    layout: str
    sizes: dict[str, int]
    """day -> bytes of its file"""

    def client(self, service: Any) -> Any:
        client: Any = boto3.client
        keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s"}
        return client(service, endpoint_url=self.server.endpoint, region_name="us-east-1", **keys)

    def ask(self, sql: str) -> tuple[list[dict[str, str | None]], int]:
        """Return the rows and the bytes that were scanned for them."""
        athena = self.client("athena")
        started = athena.start_query_execution(QueryString=sql, QueryExecutionContext={"Database": self.layout})
        asked = {"QueryExecutionId": started["QueryExecutionId"]}
        while (found := athena.get_query_execution(**asked)["QueryExecution"])["Status"]["State"] != "SUCCEEDED":
            assert found["Status"]["State"] != "FAILED", found["Status"]["StateChangeReason"]
            time.sleep(0.05)
        rows = athena.get_query_results(**asked)["ResultSet"]["Rows"]
        names, *values = [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows] or [[]]
        return [dict(zip(names, row, strict=True)) for row in values], found["Statistics"]["DataScannedInBytes"]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with serve_s3(with_athena=True) as running:
        running.client().create_bucket(Bucket="lantern-costs")
        yield running


@pytest.fixture(scope="module", params=["drop_in", "native"])
def athena(server: S3Server, request: pytest.FixtureRequest) -> Athena:
    """Put the two days and the table into place, then create the views from their files."""
    athena = Athena(server, request.param, {})
    athena.client("glue").create_database(DatabaseInput={"Name": athena.layout})
    (_put_drop_in if athena.layout == "drop_in" else _put_native)(athena)
    base = DEPLOY / f"athena/{athena.layout}.sql"
    others = sorted(
        set((DEPLOY / "athena").glob("*.sql")) - {DEPLOY / "athena/drop_in.sql", DEPLOY / "athena/native.sql"}
    )
    for file in (base, *others):
        athena.ask(_without_comments(file.read_text(encoding="utf-8")))
    return athena


def _without_comments(sql: str) -> str:
    return "\n".join(line for line in sql.splitlines() if not line.strip().startswith("--"))


def _put_drop_in(athena: Athena) -> None:
    columns = drop_in_columns(["team"], [])
    schema = pa.schema([(column.name, column.type) for column in columns])
    empty = {
        column.name: 0.0 if column.kind == "number" else None if column.kind == "time" else "" for column in columns
    }
    location = "s3://lantern-costs/drop-in/account_id=111122223333/region=us-east-1"
    for day, workloads in DAYS.items():
        rows = [{**empty, **workload.as_drop_in(day)} for workload in workloads]
        place = f"{location}/year={day[:4]}/month={day[5:7]}"
        athena.sizes[day] = _put(athena, f"{place}/{day}_prod.snappy.parquet", pa.Table.from_pylist(rows, schema))
    glue = athena.client("glue")
    glue.create_table(
        DatabaseName="drop_in",
        TableInput={
            "Name": "kubecost_table",
            "PartitionKeys": [{"Name": name, "Type": "string"} for name in ("account_id", "region", "year", "month")],
            "StorageDescriptor": _storage([*COLUMNS["drop_in"], LABEL], "s3://lantern-costs/drop-in/"),
        },
    )
    partitions = [
        {
            "Values": ["111122223333", "us-east-1", day[:4], day[5:7]],
            "StorageDescriptor": {"Location": f"{location}/year={day[:4]}/month={day[5:7]}/"},
        }
        for day in DAYS
    ]
    glue.batch_create_partition(DatabaseName="drop_in", TableName="kubecost_table", PartitionInputList=partitions)


def _put_native(athena: Athena) -> None:
    schema = native_tables(RECONCILED_ALLOCATIONS)["allocations"]
    for day, workloads in DAYS.items():
        rows = pa.Table.from_pylist([workload.as_native(day) for workload in workloads], schema)
        athena.sizes[day] = _put(
            athena, f"s3://lantern-costs/native/cluster=prod/date={day}/allocations/allocations.parquet", rows
        )
    athena.client("glue").create_table(
        DatabaseName="native",
        TableInput={
            "Name": "allocations",
            "PartitionKeys": [{"Name": name, "Type": "string"} for name in ("cluster", "date")],
            "Parameters": {
                "projection.enabled": "true",
                "storage.location.template": "s3://lantern-costs/native/cluster=${cluster}/date=${date}/allocations/",
            },
            "StorageDescriptor": _storage(COLUMNS["allocations"], "s3://lantern-costs/native/"),
        },
    )


def _put(athena: Athena, uri: str, rows: pa.Table) -> int:
    sink = io.BytesIO()
    pq.write_table(rows, sink)
    athena.server.client().put_object(
        Bucket="lantern-costs", Key=uri.removeprefix("s3://lantern-costs/"), Body=sink.getvalue()
    )
    return len(sink.getvalue())


def _storage(columns: list[dict[str, str]], location: str) -> dict[str, Any]:
    return {"Location": location, "Columns": [{"Name": one["name"], "Type": one["type"]} for one in columns]}


def numbers(row: dict[str, str | None], *names: str) -> list[float]:
    return [round(float(row[name] or "nan"), 9) for name in names]


COSTS = ("unadjusted_cost", "adjustment", "adjusted_cost")
IN_OCTOBER = "year = '2026' AND month = '10'"


def test_a_namespace_has_its_cost_before_and_after_the_bill(athena: Athena) -> None:
    rows, _ = athena.ask(f"SELECT * FROM cost_by_namespace WHERE {IN_OCTOBER} ORDER BY total_cost")

    unmounted, web = rows
    assert (web["day"], web["cluster"], web["namespace"]) == ("2026-10-05", "prod", "web")
    # 2 + 1 of the web server and 0.5 of the cache's volume; 0.1 shared and 0.4 outside the cluster.
    assert numbers(web, *COSTS, "shared_cost", "external_cost", "total_cost") == [3.5, -0.75, 2.75, 0.1, 0.4, 3.25]
    assert (unmounted["namespace"], numbers(unmounted, "total_cost")) == ("__unmounted__", [0.2])


def test_a_cost_says_where_its_cluster_is(athena: Athena) -> None:
    rows, _ = athena.ask(f"SELECT DISTINCT account_id, region, cluster FROM allocation_costs WHERE {IN_OCTOBER}")

    assert rows == [{"account_id": "111122223333", "region": "us-east-1", "cluster": "prod"}]


def test_a_team_has_the_cost_of_its_pods(athena: Athena) -> None:
    rows, _ = athena.ask(f"SELECT * FROM cost_by_team WHERE {IN_OCTOBER} ORDER BY team")

    nobody, shop = rows
    assert (shop["team"], numbers(shop, *COSTS, "total_cost")) == ("shop", [3.0, -0.75, 2.25, 2.75])
    assert (nobody["team"], numbers(nobody, "total_cost")) == ("(none)", [0.7])


def test_an_instance_type_has_the_cost_of_what_runs_on_it(athena: Athena) -> None:
    rows, _ = athena.ask(f"SELECT * FROM cost_by_instance_type WHERE {IN_OCTOBER} ORDER BY instance_type DESC")

    machine, none = rows
    assert (machine["instance_type"], numbers(machine, "unadjusted_cost")) == ("m5.large", [3.5])
    assert (none["instance_type"], numbers(none, "unadjusted_cost")) == ("", [0.2])


def test_a_nodes_idleness_is_a_share_of_what_it_costs(athena: Athena) -> None:
    [node], _ = athena.ask(f"SELECT * FROM idle_by_node WHERE {IN_OCTOBER}")

    assert node["node"] == "node-1"
    # 0.75 of 2.75 + 0.5 + 0.75
    assert numbers(node, "idle_cost", "total_cost", "idle_share") == [0.75, 4.0, 0.1875]


def test_a_month_is_told_as_estimated_and_as_billed(athena: Athena) -> None:
    [month], _ = athena.ask(f"SELECT * FROM adjusted_and_unadjusted WHERE {IN_OCTOBER}")

    assert (month["cluster"], month["days"]) == ("prod", "1")
    assert numbers(month, *COSTS, "idle_cost") == [4.7, -1.0, 3.7, 0.75]
    assert numbers(month, "adjustment_share") == [round(-1.0 / 4.7, 9)]


VIEWS = ("cost_by_namespace", "cost_by_team", "cost_by_instance_type", "idle_by_node", "adjusted_and_unadjusted")


@pytest.mark.parametrize("view", VIEWS)
def test_a_filter_on_the_partition_reaches_the_files(athena: Athena, view: str) -> None:
    by_month = athena.layout == "drop_in" or view == "adjusted_and_unadjusted"
    where = IN_OCTOBER if by_month else "day = '2026-10-05'"

    _, everything = athena.ask(f"SELECT * FROM {view}")
    _, pruned = athena.ask(f"SELECT * FROM {view} WHERE {where}")

    assert everything == sum(athena.sizes.values())
    assert pruned == athena.sizes["2026-10-05"]


def test_every_view_is_asked_here() -> None:
    files = {file.stem for file in (DEPLOY / "athena").glob("*.sql")}

    assert files == {*VIEWS, "drop_in", "native"}
