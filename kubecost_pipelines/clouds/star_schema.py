"""A bill's files as a star (`core.bills.star`): texts that lines repeat become numbers already while they are read.

Arrow reads a text as its number in a dictionary for no more work than as itself, and what says the same has the same
number. The tables of a star are temporary ones of the engine; those of the next bill take their place.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend
from pyarrow import csv

from kubecost_pipelines.clouds.file_store import read_files
from kubecost_pipelines.clouds.keeping import table_of
from kubecost_pipelines.core.bills.star import DATES, LINES, TEXTS, Star, StarColumns

LINES_AT_ONCE = 131_072
"""How many lines are numbered together; what two such parts both say has two numbers."""

BYTES_AT_ONCE = 2 << 20
"""How much of a CSV is read at once; no line may be longer."""

MOST_COMBINATIONS = 1 << 62
"""As many as a number can tell apart."""

_TEXT = pa.dictionary(pa.int32(), pa.string())
_READING = csv.ReadOptions(block_size=BYTES_AT_ONCE, use_threads=False)
_PARSING = csv.ParseOptions(newlines_in_values=True)


def column_names(paths: Sequence[str], kind: str, engine: Backend) -> list[str]:
    """Return the columns that any of the files has.

    Raises:
        pa.ArrowException: a file is broken.
    """
    match kind:
        case "csv":
            names = (name for path in paths for name in _header_of(path))
        case "parquet":
            names = (name for path in paths for name in pq.read_schema(path).names)
        case _:
            names = iter(read_files(paths, kind, engine).columns)
    with _broken_files_are_invalid():
        return list(dict.fromkeys(names))


def read_lines(paths: Sequence[str], kind: str, columns: StarColumns, engine: Backend) -> Iterator[pa.Table]:
    """Yield the lines of files of one kind, `LINES_AT_ONCE` or a few more; a column that a file lacks is null.

    Args:
        paths: local files.
        kind: "csv", "parquet", or what only the engine reads.
        columns: those wanted.
        engine: reads the other kinds.

    Raises:
        pa.ArrowException: a file is broken.
    """
    match kind:
        case "csv":
            batches = (batch for path in paths for batch in _read_csv(path, columns))
        case "parquet":
            batches = (batch for path in paths for batch in _read_parquet(path, columns))
        case _:
            query = engine.compile(read_files(paths, kind, engine).select(*columns.all))
            batches = iter(engine.con.sql(query).to_arrow_reader(LINES_AT_ONCE))
    held: list[pa.RecordBatch] = []
    with _broken_files_are_invalid():
        for batch in batches:
            held.append(batch)
            if sum(one.num_rows for one in held) >= LINES_AT_ONCE:
                yield pa.Table.from_batches(held)
                held = []
    if held:
        yield pa.Table.from_batches(held)


@contextmanager
def _broken_files_are_invalid() -> Iterator[None]:
    """Raise ArrowInvalid for a compressed file that is cut off or none: Arrow's OSError, which no system call gave."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise pa.ArrowInvalid(str(error)) from error


def _header_of(path: str) -> list[str]:
    with csv.open_csv(path, _READING, _PARSING) as file:
        return file.schema.names


def _read_csv(path: str, columns: StarColumns) -> Iterator[pa.RecordBatch]:
    last = _header_of(path)[-1]
    types = dict.fromkeys((last, *columns.texts, *columns.dates), _TEXT) | dict.fromkeys(columns.figures, pa.string())
    converting = csv.ConvertOptions(include_columns=list(types), include_missing_columns=True, column_types=types)
    batch = None
    with csv.open_csv(path, _READING, _PARSING, converting) as file:
        for batch in file:
            yield batch.select(columns.all)
    # A quote that nobody closes makes one text of the rest of the file; in the last column no field is missed.
    if batch and "\n" in (rest := batch.column(last)[-1].as_py() or ""):
        raise pa.ArrowInvalid(f"a quote is not closed before {rest[:60]!r}")


def _read_parquet(path: str, columns: StarColumns) -> Iterator[pa.RecordBatch]:
    there = [name for name in columns.all if name in pq.read_schema(path).names]
    with pq.ParquetFile(path, read_dictionary=[name for name in there if name not in columns.figures]) as file:
        for batch in file.iter_batches(LINES_AT_ONCE, columns=there):
            nothing = pa.nulls(batch.num_rows, pa.string())
            yield pa.record_batch({name: batch[name] if name in there else nothing for name in columns.all})


def take_apart(parts: Iterable[pa.Table], columns: StarColumns, engine: Backend) -> Star:
    """Return the lines as a star."""
    nothing = pa.table({name: pa.array([], pa.string()) for name in columns.all})
    tables = {name: _Rows(engine, name) for name in (LINES, TEXTS, DATES)}
    for part in chain([nothing], parts):
        lines = part.select(columns.figures)
        for name, told in ((TEXTS, columns.texts), (DATES, columns.dates)):
            numbers, combinations = _number(part.select(told))
            first = tables[name].count
            places = np.arange(first, first + combinations.num_rows, dtype=np.int32)
            tables[name].append(combinations.append_column(name, pa.array(places)))
            lines = lines.append_column(name, pa.array(numbers + np.int32(first)))
        tables[LINES].append(lines)
    pa.default_memory_pool().release_unused()  # for it is the engine's turn
    return Star(*(engine.table(table.name) for table in tables.values()))


def _number(told: pa.Table) -> tuple[npt.NDArray[np.int32], pa.Table]:
    """Return a number per row, the same for rows that say the same, and the first row of each number in their order."""
    numbers, combinations = np.zeros(told.num_rows, np.int64), 1
    for column in told.columns:
        texts = column.combine_chunks().dictionary_encode()
        kinds = len(texts.dictionary) + 1  # with null
        if combinations * kinds > MOST_COMBINATIONS:
            seen = pa.array(numbers).dictionary_encode()
            numbers, combinations = seen.indices.to_numpy().astype(np.int64), len(seen.dictionary)
        numbers = numbers * kinds + texts.indices.fill_null(kinds - 1).to_numpy()
        combinations *= kinds
    in_order = pa.array(numbers).dictionary_encode().indices.to_numpy()
    is_first = np.diff(np.maximum.accumulate(in_order), prepend=-1) > 0
    return in_order, told.filter(pa.array(is_first))


class _Rows:
    """A temporary table that grows by Arrow's."""

    def __init__(self, engine: Backend, what: str) -> None:
        self.name = table_of(what)
        self.count = 0
        self._con = engine.con

    def append(self, rows: pa.Table) -> None:
        into = f"INSERT INTO {self.name} BY NAME" if self.count else f"CREATE OR REPLACE TEMP TABLE {self.name} AS"
        self._con.register("appended", rows)
        self._con.execute(f"{into} FROM appended").fetchall()
        self._con.unregister("appended")
        self.count += rows.num_rows
