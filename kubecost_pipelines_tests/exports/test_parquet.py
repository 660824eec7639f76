"""Our own files: each column in the encoding that its values suggest, the same for every reader."""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubecost_pipelines.sinks.parquet import ParquetFile, as_small_as_can_be, like_the_old

ROWS = 1_000
COLUMNS: list[tuple[str, Any]] = [
    ("pod", pa.string()),
    ("namespace", pa.string()),
    ("total_cost", pa.float64()),
    ("shared_cost", pa.float64()),
    ("labels", pa.map_(pa.string(), pa.string())),
]
SCHEMA = pa.schema(COLUMNS)


def a_day() -> list[dict[str, Any]]:
    """A thousand pods of two namespaces; each has a name, a cost and an id of its own."""
    return [
        {
            "pod": f"web-{number:04}",
            "namespace": ("shop", "billing")[number % 2],
            "total_cost": number / 7,
            "shared_cost": 0.0,
            "labels": [("app", "web"), ("id", f"{number * 7919:08x}")],
        }
        for number in range(ROWS)
    ]


@pytest.fixture
def file(tmp_path: Path) -> ParquetFile:
    return ParquetFile(tmp_path / "day.parquet", SCHEMA, "total_cost", as_small_as_can_be)


def test_a_dictionary_is_for_values_that_repeat_and_every_reader_sees_the_same(file: ParquetFile) -> None:
    rows = a_day()

    for half in (rows[:600], rows[600:]):
        file.add(pa.RecordBatch.from_pylist(half, SCHEMA))
    file.close({"rows": str(ROWS)})

    group = pq.read_metadata(file.path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    dictionaries = {one.path_in_schema for one in columns if one.has_dictionary_page}
    assert dictionaries == {"namespace", "shared_cost", "labels.key_value.key"}
    assert pq.read_table(file.path).to_pylist() == rows
    query = f"SELECT count(DISTINCT pod), sum(total_cost), count(DISTINCT labels['id']) FROM '{file.path}'"
    with duckdb.connect() as engine:
        [(pods, cost, ids)] = engine.execute(query).fetchall()
    total = sum(range(ROWS)) / 7
    assert (pods, ids, file.rows) == (ROWS, ROWS, ROWS)
    assert cost == pytest.approx(total)
    assert file.total == pytest.approx(total)


def test_a_table_without_rows_is_a_file_that_says_so(file: ParquetFile) -> None:
    file.close({"rows": "0"})

    assert pq.read_table(file.path).schema.names == SCHEMA.names
    assert (pq.read_metadata(file.path).metadata or {})[b"rows"] == b"0"
    assert (file.rows, file.total) == (0, 0.0)


def test_a_drop_in_file_has_the_encodings_and_the_compression_that_old_readers_know(tmp_path: Path) -> None:
    file = ParquetFile(tmp_path / "day.parquet", SCHEMA, "total_cost", like_the_old)

    file.add(pa.RecordBatch.from_pylist(a_day(), SCHEMA))
    file.close({})

    group = pq.read_metadata(file.path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    assert {encoding for one in columns for encoding in one.encodings} <= {"PLAIN", "RLE", "RLE_DICTIONARY"}
    assert {one.compression for one in columns} == {"SNAPPY"}
    assert pq.read_table(file.path).to_pylist() == a_day()
