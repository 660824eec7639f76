"""AWS's report in Athena: the same rows as its files, one month's partitions, nothing left in the bucket."""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import duckdb
import ibis
import pytest
import sqlglot
from ibis.backends.duckdb import Backend
from sqlglot import exp

from kubecost_pipelines.clouds import BillError, check_connection, open_store
from kubecost_pipelines.clouds.athena import AthenaStore, _as_ibis, _of_month
from kubecost_pipelines.core.bills.aws_cur import NUMBERS, USAGE_START, canonical_name
from kubecost_pipelines.core.bills.aws_lines import sum_to_days
from kubecost_pipelines.core.bills.source import UnknownBillError
from kubecost_pipelines.core.connection_status import ConnectionEvent
from kubecost_pipelines.core.tables import COST_NAMES
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.settings import CloudStoreSettings
from kubecost_pipelines_tests.replay import DATA
from kubecost_pipelines_tests.s3 import S3Server, serve_s3

OCTOBER = Window.of_days(date(2026, 10, 1), date(2026, 10, 31))
TODAY = date(2026, 11, 24)
REPORT = max((DATA / "aws").rglob("*.csv.gz"), key=lambda path: path.stat().st_size)  # the other month is empty
DOUBLES = {name for source in NUMBERS.values() for name in source.names}
ACCESS = {"access_key_id": "k", "secret_access_key": "s", "region": "us-east-1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder = tmp_path_factory.mktemp("athena")
    with serve_s3(with_athena=True) as running:
        s3 = running.client()
        for bucket in ("billing", "results"):
            s3.create_bucket(Bucket=bucket)
        columns = write_parquet(folder / "october.parquet")
        s3.upload_file(str(folder / "october.parquet"), "billing", "cur/year=2026/month=10/october.parquet")
        glue = client(running, "glue")
        glue.create_database(DatabaseInput={"Name": "athenacurcfn"})
        create_table(glue, "cur", columns, ["year", "month"])
        create_table(glue, "empty", columns, ["year", "month"])
        create_table(glue, "short", columns[:3], [])
        place = {"Location": "s3://billing/cur/year=2026/month=10/"}
        glue.create_partition(
            DatabaseName="athenacurcfn",
            TableName="cur",
            PartitionInput={"Values": ["2026", "10"], "StorageDescriptor": place},
        )
        yield running


def client(server: S3Server, service: str) -> Any:
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    return boto3.client(service, endpoint_url=server.endpoint, **keys)  # type: ignore[call-overload]


def write_parquet(target: Path) -> list[dict[str, str]]:
    """Write nise's report as AWS writes it for Athena; return the columns as Glue describes them."""
    source = f"read_csv('{REPORT}', all_varchar = true)"
    with duckdb.connect() as engine:
        names = [row[0] for row in engine.execute(f"DESCRIBE FROM {source}").fetchall()]
        ours = {canonical_name(name): name for name in names}
        types = {name: "double" if name in DOUBLES else "string" for name in ours} | {USAGE_START.names[0]: "timestamp"}
        sql = {
            "double": "TRY_CAST(nullif(\"{}\", '') AS DOUBLE)",
            "string": '"{}"',
            "timestamp": 'CAST(left("{}", 19) AS TIMESTAMP)',
        }
        picked = ", ".join(f'{sql[types[name]].format(theirs)} AS "{name}"' for name, theirs in ours.items())
        engine.execute(f"COPY (SELECT {picked} FROM {source}) TO '{target}'")
    return [{"Name": name, "Type": type_} for name, type_ in types.items()]


def create_table(glue: Any, name: str, columns: list[dict[str, str]], partitions: list[str]) -> None:
    place = {"Columns": columns, "Location": "s3://billing/cur/" if partitions else "s3://billing/nothing/"}
    keys = [{"Name": key, "Type": "string"} for key in partitions]
    table = {"Name": name, "StorageDescriptor": place, "PartitionKeys": keys}
    glue.create_table(DatabaseName="athenacurcfn", TableInput=table)


def store(server: S3Server, table: str = "athenacurcfn.cur", **options: Any) -> CloudStoreSettings:
    settings = {"results": "s3://results/here", "endpoint": server.endpoint, **ACCESS, **options}
    return CloudStoreSettings.model_validate({"provider": "aws", "id": "111122223333", "table": table, **settings})


def rows_of(settings: CloudStoreSettings, engine: Backend, scratch: Path) -> list[dict[str, Any]]:
    bill = open_store(settings, ("team", "app"), scratch).read_billing(OCTOBER, engine)
    assert bill.rows is not None
    order = [name for name in bill.rows.columns if name not in (*COST_NAMES, "usage_quantity")]
    found: list[dict[str, Any]] = bill.rows.order_by(order).to_pyarrow().to_pylist()
    return found


def test_athena_gives_what_the_files_give_and_leaves_nothing(server: S3Server, engine: Backend, tmp_path: Path) -> None:
    files = CloudStoreSettings(provider="aws", id="111122223333", export=(DATA / "aws/bills/cur").as_uri())

    found, expected = rows_of(store(server), engine, tmp_path), rows_of(files, engine, tmp_path)

    assert len(found) == len(expected) > 0
    for row, other in zip(found, expected, strict=True):
        for name, value in row.items():
            if name in COST_NAMES:
                assert abs(value - other[name]) < Decimal("1e-9"), (name, row, other)
            elif name == "tags":  # Athena's names of columns have no hyphens
                assert value.replace("-", "_") == other[name].replace("-", "_"), (row, other)
            elif name != "usage_quantity":
                assert value == other[name], (name, row, other)
    assert round(sum(row["invoiced_cost"] for row in found), 4) == Decimal("4130.6352")
    assert server.client().list_objects_v2(Bucket="results")["KeyCount"] == 0


def test_what_has_changed_is_asked_of_the_bucket_and_queried_when_it_is_new(
    server: S3Server, engine: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = CloudStoreSettings(provider="aws", id="111122223333", export=(DATA / "aws/bills/cur").as_uri())
    opened = open_store(store(server), (), tmp_path)

    first = opened.changes(OCTOBER, "", engine, 1 << 40)
    monkeypatch.setattr(AthenaStore, "_unload", None)  # a query would fail

    of_files = open_store(files, (), tmp_path).changes(OCTOBER, "", engine, 1 << 40)
    assert set(first.days or {}) == set(of_files.days or {}) == set(OCTOBER.days)
    assert opened.changes(OCTOBER, first.fingerprint, engine, 1 << 40).days is None
    assert "more than `digest_megabytes`" in opened.changes(OCTOBER, "", engine, 1).note
    september = Window.of_days(date(2026, 9, 1), date(2026, 9, 30))
    assert opened.changes(september, "", engine, 1).days == {}  # the bucket has none of its files


@pytest.mark.parametrize(
    ("partitions", "words"),
    [
        (["year", "month"], [r"\"year\" (=|IN) \(?'2026'", r"\"month\" IN \('09', '9'\)"]),
        (["billing_period"], [r"\"billing_period\" (=|IN) \(?'2026-09'"]),
    ],
)
def test_what_is_asked_is_one_months_and_trino_takes_it(partitions: list[str], words: list[str]) -> None:
    names = ["bill_payer_account_id", "line_item_currency_code", "line_item_usage_account_id",
             "line_item_line_item_type", "line_item_product_code", "line_item_usage_type", "line_item_resource_id",
             "resource_tags_user_team"]  # fmt: skip
    columns = [{"Name": name, "Type": "string"} for name in names]
    types = {"line_item_usage_start_date": "timestamp", "line_item_unblended_cost": "double",
             "resource_tags": "map<string,string>"}  # fmt: skip
    columns += [{"Name": name, "Type": type_} for name, type_ in types.items()]
    keys = [{"Name": name, "Type": "string"} for name in partitions]
    described = {"Name": "cur", "DatabaseName": "db", "StorageDescriptor": {"Columns": columns}, "PartitionKeys": keys}
    september = Window.of_days(date(2026, 9, 1), date(2026, 9, 3))

    report, found = _as_ibis(described, "awsdatacatalog")
    daily, _ = sum_to_days(_of_month(report, found, september), september, ("team",))
    sql = ibis.to_sql(daily, dialect="athena")

    flat = re.sub(r"\s+", " ", sql)
    for word in words:
        assert re.search(word, flat), flat
    # Trino's coalesce takes two arguments at least; the server of these tests is less strict.
    assert all(found.expressions for found in sqlglot.parse_one(sql, read="athena").find_all(exp.Coalesce))


def test_a_table_without_months_is_cut_by_its_billing_period(tmp_path: Path) -> None:
    columns = [{"Name": "bill_billing_period_start_date", "Type": "timestamp"}]
    described = {"Name": "cur", "DatabaseName": "db", "StorageDescriptor": {"Columns": columns}}

    sql = ibis.to_sql(_of_month(*_as_ibis(described, "awsdatacatalog"), OCTOBER), dialect="athena")

    assert "'2026-10'" in sql
    described["StorageDescriptor"] = {"Columns": [{"Name": "line_item_product_code", "Type": "string"}]}
    with pytest.raises(UnknownBillError, match="to tell the months apart"):
        _of_month(*_as_ibis(described, "awsdatacatalog"), OCTOBER)


@pytest.mark.parametrize(
    ("table", "event", "words"),
    [
        ("athenacurcfn.cur", ConnectionEvent.DATA, "in Athena"),
        ("AwsDataCatalog.athenacurcfn.cur", ConnectionEvent.DATA, "in Athena"),
        ("athenacurcfn.empty", ConnectionEvent.EMPTY, "no partition and no file"),
        ("athenacurcfn.nowhere", ConnectionEvent.ERROR, "EntityNotFoundException"),
        ("nowhere.cur", ConnectionEvent.ERROR, "Check `table`"),
        ("athenacurcfn.short", ConnectionEvent.ERROR, "it lacks "),
    ],
)
def test_a_check_says_what_it_found(
    server: S3Server, tmp_path: Path, table: str, event: ConnectionEvent, words: str
) -> None:
    found = check_connection(store(server, table), TODAY, tmp_path)

    assert (found.event, words in found.detail) == (event, True), found.detail


def test_without_a_place_for_results_the_configuration_is_incomplete(server: S3Server, tmp_path: Path) -> None:
    found = check_connection(store(server, results=None), TODAY, tmp_path)

    assert (found.event, found.detail) == (ConnectionEvent.MISSING_FIELDS, "missing `results`")


def test_a_failed_query_is_told_in_athenas_words(server: S3Server, engine: Backend, tmp_path: Path) -> None:
    with pytest.raises(BillError, match=r"the query failed: ValueError: this server needs a partition"):
        open_store(store(server, "athenacurcfn.empty"), (), tmp_path).read_billing(OCTOBER, engine)


def test_the_catalog_is_the_first_of_three_names(server: S3Server, tmp_path: Path) -> None:
    opened = AthenaStore(store(server, "mine.athenacurcfn.cur"), (), tmp_path)

    assert (opened._catalog, opened._database, opened._table) == ("mine", "athenacurcfn", "cur")
