"""Google's billing table in BigQuery: the same rows as its files, few bytes read, and what a check finds.

The emulator enforces neither `maximum_bytes_billed` nor partitions: of these, what we ask for is asserted. Its
BIGNUMERIC has five decimals (BigQuery's has 38), so that costs are compared to that many per line.
"""

import gzip
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds import BillError, check_connection, open_store
from kubecost_pipelines.clouds.bigquery import BigQueryStore
from kubecost_pipelines.core.connection_status import ConnectionEvent
from kubecost_pipelines.core.tables import COST_NAMES
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.settings import CloudStoreSettings
from kubecost_pipelines_tests.replay import DATA
from kubecost_pipelines_tests.servers import serve_bigquery

PROJECT, TODAY = "acme-gke", date(2026, 11, 24)
THREE_DAYS = Window.of_days(date(2026, 10, 1), date(2026, 10, 3))
Field = bigquery.SchemaField


def record(name: str, *members: Field, mode: str = "NULLABLE") -> Field:
    return Field(name, "RECORD", mode, fields=members)


def texts(*names: str) -> list[Field]:
    return [Field(name, "STRING") for name in names]


LABEL = texts("key", "value")
SCHEMA = [
    *texts("billing_account_id", "currency", "cost_type"),
    record("service", *texts("id", "description")),
    record("sku", *texts("id", "description")),
    Field("usage_start_time", "TIMESTAMP"),
    record("project", *texts("id"), record("labels", *LABEL, mode="REPEATED")),
    record("labels", *LABEL, mode="REPEATED"),
    record("location", *texts("region", "zone")),
    record("resource", *texts("name", "global_name")),
    Field("cost", "FLOAT"),
    record("usage", Field("amount_in_pricing_units", "FLOAT")),
    record("credits", *texts("name", "id", "type"), Field("amount", "FLOAT"), mode="REPEATED"),
    record("invoice", *texts("month")),
    Field("export_day", "DATE"),
]
"""The detailed export's, as far as nise writes it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve_bigquery(tmp_path_factory.mktemp("bigquery"), PROJECT) as address:
        client = connect(address)
        client.create_dataset("billing")
        table = bigquery.Table(f"{PROJECT}.billing.export", SCHEMA)
        table.time_partitioning = bigquery.TimePartitioning(field="export_day")
        client.create_table(table)
        lines = gzip.decompress((DATA / "gcp/jsonl/202610_bigquery.jsonl.gz").read_bytes()).decode().splitlines()
        rows = [shaped(line) for line in lines]
        for start in range(0, len(rows), 500):
            assert client.insert_rows_json(table, rows[start : start + 500]) == []
        client.create_table(bigquery.Table(f"{PROJECT}.billing.empty", SCHEMA))
        client.create_table(bigquery.Table(f"{PROJECT}.billing.standard", SCHEMA[:4]))
        yield address


def connect(address: str) -> bigquery.Client:
    return bigquery.Client(PROJECT, AnonymousCredentials(), client_options={"api_endpoint": address})  # type: ignore[no-untyped-call]


def shaped(line: str) -> dict[str, Any]:
    """Return a line of nise as the table's schema has it: some of its lists are written as a text."""
    row = json.loads(line)
    row["export_day"] = row["usage_start_time"][:10]
    return {field.name: _value(row.get(field.name), field) for field in SCHEMA}


def _value(found: Any, field: Field) -> Any:
    if field.field_type != "RECORD" or found is None:
        return found
    found = json.loads(found) if isinstance(found, str) else found
    one = [{member.name: _value(each.get(member.name), member) for member in field.fields}
           for each in (found if isinstance(found, list) else [found])]  # fmt: skip
    return one if field.mode == "REPEATED" else one[0]


def store(server: str, table: str = "billing.export", **options: Any) -> CloudStoreSettings:
    return CloudStoreSettings(provider="gcp", id=PROJECT, table=table, endpoint=server, **options)


def rows_of(settings: CloudStoreSettings, engine: Backend, scratch: Path) -> list[dict[str, Any]]:
    bill = open_store(settings, ("team",), scratch).read_billing(THREE_DAYS, engine)
    assert bill.rows is not None
    # The generator made up other global names for each of its files.
    keys = [name for name in bill.rows.columns if name not in ("resource_id", "usage_quantity")]
    order = [name for name in keys if name not in COST_NAMES]
    found: list[dict[str, Any]] = bill.rows.select(keys).order_by(order).to_pyarrow().to_pylist()
    return found


def test_the_table_gives_what_the_files_give(server: str, engine: Backend, tmp_path: Path) -> None:
    files = CloudStoreSettings(provider="gcp", id=PROJECT, export=(DATA / "gcp/jsonl").as_uri())

    found, expected = rows_of(store(server), engine, tmp_path), rows_of(files, engine, tmp_path)

    assert [without_costs(row) for row in found] == [without_costs(row) for row in expected]
    assert sum(row["line_items"] for row in found) == 3 * 768  # nise writes 768 lines a day
    for row, other in zip(found, expected, strict=True):
        for name in COST_NAMES:
            assert abs(row[name] - other[name]) <= row["line_items"] * Decimal("0.00002"), (name, row)


def without_costs(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in COST_NAMES}


def test_only_daily_rows_of_the_days_partitions_are_asked_for(
    server: str, engine: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Any]] = []
    query = bigquery.Client.query

    def spy(client: bigquery.Client, sql: str, **options: Any) -> Any:
        asked.append((" ".join(sql.split()), options["job_config"]))
        return query(client, sql, **options)

    monkeypatch.setattr(bigquery.Client, "query", spy)
    open_store(store(server, maximum_bytes_billed=12345), (), tmp_path).read_billing(THREE_DAYS, engine)

    [(sql, options)] = asked
    assert "`export_day` >= DATE(2026, 10, 1)" in sql
    assert "`export_day` < DATE(2026, 10, 6)" in sql  # the end of the window, and two days
    assert "GROUP BY" in sql
    assert options.maximum_bytes_billed == 12345


def test_a_line_that_google_adds_changes_its_day_alone(server: str, engine: Backend, tmp_path: Path) -> None:
    client = connect(server)
    table = bigquery.Table(f"{PROJECT}.billing.growing", [*SCHEMA, Field("export_time", "TIMESTAMP")])
    client.create_table(table)
    lines = gzip.decompress((DATA / "gcp/jsonl/202610_bigquery.jsonl.gz").read_bytes()).decode().splitlines()
    days = [[one for one in map(shaped, lines) if one["export_day"] == f"2026-10-0{day}"][:20] for day in (1, 2)]
    rows = [row | {"export_time": "2026-10-03T00:00:00Z"} for day in days for row in day]
    assert client.insert_rows_json(table, rows) == []
    opened = open_store(store(server, "billing.growing"), (), tmp_path)

    first = opened.changes(THREE_DAYS, "", engine, 1 << 40)
    same = opened.changes(THREE_DAYS, first.fingerprint, engine, 1 << 40)
    late = [days[1][0] | {"cost": 7.5, "export_time": "2026-10-05T00:00:00Z"}]
    assert client.insert_rows_json(table, late) == []
    second = opened.changes(THREE_DAYS, first.fingerprint, engine, 1 << 40)

    assert first.days is not None
    assert second.days is not None
    assert sorted(first.days) == THREE_DAYS.days[:2]
    assert same.days is None
    assert {day for day in first.days if first.days[day] != second.days[day]} == {date(2026, 10, 2)}


def test_a_table_divided_by_the_time_of_arrival_is_read_by_it(tmp_path: Path) -> None:
    table = bigquery.Table(f"{PROJECT}.billing.export", SCHEMA)
    table.time_partitioning = bigquery.TimePartitioning()

    asked = ibis.to_sql(BigQueryStore(store(""), (), tmp_path)._daily(table, THREE_DAYS), dialect="bigquery")

    words = " ".join(asked.split())
    assert "`_PARTITIONTIME` >= " in words
    assert "`_PARTITIONTIME` < " in words
    assert "2026-10-06" in words
    assert words.count("_PARTITIONTIME") == 2  # it cannot be selected by that name


@pytest.mark.parametrize(
    ("table", "event", "words"),
    [
        ("billing.export", ConnectionEvent.DATA, "2304 rows"),
        (f"{PROJECT}.billing.export", ConnectionEvent.DATA, "2304 rows"),
        ("billing.empty", ConnectionEvent.EMPTY, "is empty"),
        ("billing.nowhere", ConnectionEvent.ERROR, "Not found"),
        ("nowhere.export", ConnectionEvent.ERROR, "Check `table`"),
        ("billing.standard", ConnectionEvent.ERROR, "lacks usage_start_time, sku.description, resource.name, cost"),
    ],
)
def test_a_check_says_what_it_found(
    server: str, tmp_path: Path, table: str, event: ConnectionEvent, words: str
) -> None:
    found = check_connection(store(server, table), TODAY, tmp_path)

    assert (found.event, words in found.detail) == (event, True), found.detail


def test_a_refused_query_is_told_in_googles_words(server: str, engine: Backend, tmp_path: Path) -> None:
    with pytest.raises(BillError, match=r"acme-gke\.billing\.nowhere: 404 .*Check `table`"):
        open_store(store(server, "billing.nowhere"), (), tmp_path).read_billing(THREE_DAYS, engine)
