"""Parquet: files that are written group by group, and how their columns are encoded.

A column is encoded as its first rows suggest. A dictionary is small where values repeat; where they do not, it comes on
top of them. Then numbers are written as they are, and texts of our own layout as what each does not share with the one
before: names of pods share most. Athena, Spark, DuckDB and Arrow read all of these.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

pc: Any = pyarrow.compute

ROWS_PER_GROUP = 65_536
"""Held in memory before they are written: large enough for Athena to skip groups."""

SAMPLE, FEW = 16_384, 0.25
"""Of so many of a column's first values, the share of distinct ones up to which a dictionary pays."""

Options = Callable[[pa.Table], Mapping[str, Any]]
"""From the first rows to what `ParquetWriter` is told."""


class ParquetFile:
    """Gathers rows into groups, and writes them to a file of the scratch folder.

    Args:
        path: the file.
        schema: its columns.
        cost: the column that `total` sums.
        options: how to write them.
    """

    def __init__(self, path: Path, schema: pa.Schema, cost: str, options: Options) -> None:
        self.path, self.rows, self.total = path, 0, 0.0
        self._schema, self._cost, self._options = schema, cost, options
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self._pending.append(batch)
        self._pending_rows += batch.num_rows
        self.rows += batch.num_rows
        self.total += pc.sum(batch.column(self._cost)).as_py() or 0.0
        if self._pending_rows >= ROWS_PER_GROUP:
            self._flush()

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write what is pending and the footer; the file is whole after that, though it may have no rows."""
        writer = self._flush()
        writer.add_key_value_metadata(dict(metadata))
        writer.close()

    def discard(self) -> None:
        if self._writer:
            self._writer.close()
        self.path.unlink(missing_ok=True)

    def _flush(self) -> pq.ParquetWriter:
        rows = pa.Table.from_batches(self._pending, self._schema)
        if not self._writer:
            self._writer = pq.ParquetWriter(self.path, self._schema, version="2.6", **self._options(rows))
        if self._pending_rows:
            self._writer.write_table(rows, row_group_size=2 * ROWS_PER_GROUP)
        self._pending, self._pending_rows = [], 0
        return self._writer


def like_the_old(rows: pa.Table) -> Mapping[str, Any]:
    """Return options for files that any reader of the old exporter's can read."""
    dictionaries, _ = _judge(rows)
    return {"compression": "snappy", "use_dictionary": dictionaries}


def as_small_as_can_be(rows: pa.Table) -> Mapping[str, Any]:
    """Return options for small files, which readers of today can read."""
    dictionaries, others = _judge(rows)
    how = {"use_dictionary": dictionaries, "column_encoding": others} if others else {}
    return {"compression": "zstd", "compression_level": 9, **how}


def _judge(rows: pa.Table) -> tuple[list[str], dict[str, str]]:
    """Return the columns that a dictionary suits, and how the others are better written."""
    dictionaries: list[str] = []
    others: dict[str, str] = {}
    for name in rows.schema.names:
        for path, values in _leaves(name, rows.column(name).combine_chunks()):
            sample = values[:SAMPLE]
            is_text, is_number = pa.types.is_string(values.type), pa.types.is_float64(values.type)
            if (is_text or is_number) and pc.count_distinct(sample).as_py() > FEW * len(sample):
                others[path] = "DELTA_BYTE_ARRAY" if is_text else "PLAIN"
            else:
                dictionaries.append(path)
    return dictionaries, others


def _leaves(path: str, values: Any) -> Iterator[tuple[str, Any]]:
    """Yield each column that Parquet makes of one of ours, by its name there."""
    if pa.types.is_map(values.type):
        yield f"{path}.key_value.key", values.keys
        yield f"{path}.key_value.value", values.items
    elif pa.types.is_list(values.type):
        yield f"{path}.list.element", values.values
    else:
        yield path, values
