"""The lake's files: written whole or not at all, and telling what they were made from.

Path: `<lake>/<table>/<key parts…>/date=YYYY-MM-DD/data.parquet`, zstd. A file's metadata carries its rows, the
sum of each cost, the fingerprints of its inputs and the version of the code: a file that exists is complete.
Locally a write goes to a temporary name, is synced and renamed; on an object store it is one PUT or multipart
upload to the fixed key. Nothing else is ever at that path, so a reader sees the old day or the new one.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from kubecost_pipelines import __version__
from kubecost_pipelines.core.tables import Table
from kubecost_pipelines.lake.engine import Engine, quoted
from kubecost_pipelines.settings.locations import Location

METADATA_KEY = "kubecost_pipelines"
FILE_NAME = "data.parquet"
ROWS_PER_BATCH = 16_384
STALE_SECONDS = 3600
"""Age at which a temporary file is certainly a dead writer's."""


Completion = Callable[[ir.Table], ir.Table]

ROWS_IN_A_GROUP = 20_480
"""Of a file whose wide rows pass without being held: a sixth of the usual, for that much is held after all."""


class LakeError(Exception):
    """The lake lacks what was asked for, or refuses what was given. The message ends with the cure."""


@dataclass(frozen=True)
class Written:
    """What one day's file holds, as its metadata says."""

    day: date
    rows: int
    sums: Mapping[str, Decimal | float]
    """Σ of every cost column: exact for decimals."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Input -> fingerprint at the time of writing."""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Staged:
    """Rows that are computed but not published."""

    table: Table
    rows: ir.Table
    summary: ir.Table
    """What `summarise` made of them; else the rows."""
    by_day: Mapping[date, Written]
    nothing: Written
    engine: Engine
    is_held: bool = True

    def drop(self) -> None:
        """Give the memory back."""
        self.engine.drop(self.rows)


class Lake:
    """Reads and replaces partitions. `scratch` is for downloads and for files on their way to an object store."""

    def __init__(self, location: Location, scratch: Path) -> None:
        self._location = location
        self._scratch = scratch

    def path(self, table: Table, key: Sequence[str], day: date) -> str:
        return "/".join([self._location.path, table.name, *key, f"date={day}", FILE_NAME])

    def days(self, table: Table, key: Sequence[str]) -> list[date]:
        """Return the days that a table has of a key, in order."""
        folder = fs.FileSelector("/".join([self._location.path, table.name, *key]), allow_not_found=True)
        found = self._location.filesystem.get_file_info(folder)
        return sorted(date.fromisoformat(one.base_name[5:]) for one in found if one.base_name.startswith("date="))

    def describe(self, table: Table, key: Sequence[str], day: date) -> Written | None:
        """Return what the file of that day says of itself, or None when there is no such file."""
        try:
            with self._location.filesystem.open_input_file(self.path(table, key, day)) as file:
                content = (pq.read_metadata(file).metadata or {}).get(METADATA_KEY.encode())
        except FileNotFoundError:
            return None
        return _parse_metadata(day, content or b"{}")

    def held_days(self, table: Table, key: Sequence[str]) -> set[date]:
        """Return the days that the lake holds of one table and key: one listing."""
        folder = "/".join([self._location.path, table.name, *key])
        below = self._location.filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=True))
        files = [Path(info.path) for info in below if info.type == fs.FileType.File and info.base_name == FILE_NAME]
        return {date.fromisoformat(path.parent.name.removeprefix("date=")) for path in files}

    def read(
        self, table: Table, key: Sequence[str], days: Iterable[date], engine: Engine, *, is_numbered: bool = False
    ) -> ir.Table:
        """Return the rows of the days that exist, with `date`; an empty table of that shape when none does.

        A column that an older file lacks reads as null; a column per label key comes along, and with `is_numbered`
        the column `row`, a number that is the row's own within its day, whenever it is read.
        """
        paths = [self.path(table, key, day) for day in days]
        found = [info.path for info in self._location.filesystem.get_file_info(paths) if info.type == fs.FileType.File]
        schema = ibis.schema({"date": "date", **table.schema()})
        if not found:
            numbered = ibis.schema({**schema, "row": "int64"}) if is_numbered else schema
            return engine.create_table(engine.new_name("no_rows"), schema=numbered, temp=True)
        local = found if self._location.is_local else [self._download(path) for path in found]
        rows = engine.read_parquet(
            local,
            table_name=engine.new_name(table.name),
            union_by_name=True,
            hive_partitioning=True,
            file_row_number=is_numbered,
        )
        rows = rows.rename(row="file_row_number") if is_numbered else rows
        extra = [name for name in rows.columns if name not in schema]
        columns = {n: rows[n].cast(t) if n in rows.columns else ibis.null().cast(t) for n, t in schema.items()}
        return rows.select(**columns, **{name: rows[name] for name in extra})

    def read_batches(self, table: Table, key: Sequence[str], day: date) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one day as they lie in its file, a few thousand at a time, without an engine.

        Raises:
            LakeError: there is no such file.
        """
        path = self.path(table, key, day)
        try:
            source = self._location.filesystem.open_input_file(path)
        except FileNotFoundError:
            raise LakeError(f"{'/'.join([table.name, *key])}: there is no {day}. Materialise it first.") from None
        with source, pq.ParquetFile(source) as file:
            yield from read_in_shape(file, table)

    def stage(
        self,
        table: Table,
        rows: ir.Table,
        engine: Engine,
        complete: Completion | None = None,
        *,
        summarise: Completion | None = None,
        is_held: bool = True,
        is_ordered: bool = False,
    ) -> "Staged":
        """Compute `rows` once, so that they can be checked before anything is replaced.

        Args:
            table: which table; `rows` must have its columns, `date`, and may have columns per label key besides.
            rows: bound to `engine`.
            engine: computes and holds the rows.
            complete: rows to add, from the computed ones.
            summarise: sums of the rows that are asked for next, with `date`, the number of `rows` and all costs: each
                day's sums are then made from them, in one pass over the rows.
            is_held: whether the rows are computed now, all of them; otherwise whenever they are read, which for one
                day of wide rows is less work, and little memory.
            is_ordered: whether the rows come in the order of their days, as those of one day do.
        """
        missing = [name for name in ("date", *table.names) if name not in rows.columns]
        if missing:
            raise LakeError(f"{table.name}: the rows lack {', '.join(missing)}; this is a bug, please report it.")
        if is_held:
            # In order, so that each day's file reads its own part and no other, also when they are on the disk.
            computed = engine.compute("staged", rows if is_ordered else rows.order_by("date"))
        else:
            computed = engine.view("staged", engine.compile(rows))
        if complete:
            more = engine.compile(complete(computed))
            engine.con.execute(f"INSERT INTO {computed.get_name()} {more}").fetchall()
        costs = [name for name in table.names if name.endswith(("cost", "adjustment"))]
        summary = engine.compute("sums", summarise(computed)) if summarise else computed
        sums = {name: summary[name].sum().fill_null(0) for name in costs}
        count = summary["rows"].sum() if summarise else summary.count()
        summed = summary.group_by("date").aggregate(rows=count, **sums).to_pyarrow().to_pylist()
        by_day = {row.pop("date"): Written(date.min, row.pop("rows"), row) for row in summed}
        nothing = Written(date.min, 0, dict.fromkeys(costs, Decimal(0)))
        return Staged(table, computed, summary, by_day, nothing, engine, is_held)

    def publish(
        self,
        staged: "Staged",
        key: Sequence[str],
        days: Sequence[date],
        *,
        inputs: Mapping[str, str] | None = None,
        details: Mapping[date, Mapping[str, Any]] | None = None,
        may_empty: bool = True,
    ) -> list[Written]:
        """Replace each of `days` by its staged rows; a day without rows becomes a file that says "complete, nothing".

        Args:
            staged: what `stage` returned; it is used up.
            key: key parts of the path, such as `("aws", "111122223333")`.
            days: the days to replace.
            inputs: input -> fingerprint, kept in each file.
            details: more to keep in a day's metadata.
            may_empty: whether a day that has rows now may become an empty one.

        Raises:
            LakeError: a day outside `days`, or one that may not become empty; nothing has been replaced then.
        """
        table = staged.table
        if strangers := sorted(set(staged.by_day) - set(days)):
            raise LakeError(
                f"{table.name}: rows of {strangers[0]} among those of {days[0]}…{days[-1]}; this is a bug, please "
                f"report it."
            )
        if not may_empty:
            self._refuse_to_empty(table, key, [day for day in days if day not in staged.by_day])
        written = []
        for day in days:
            summary = staged.by_day.get(day, staged.nothing)
            one = replace(summary, day=day, inputs=inputs or {}, details=(details or {}).get(day, {}))
            self._publish(self.path(table, key, day), staged, one)
            written.append(one)
        staged.drop()
        return written

    def _refuse_to_empty(self, table: Table, key: Sequence[str], days: Sequence[date]) -> None:
        full = [day for day in days if (known := self.describe(table, key, day)) and known.rows]
        if full:
            raise LakeError(
                f"{table.name}/{'/'.join(key)}: the source has nothing for {', '.join(map(str, full))}, but the lake "
                "has; the lake's days stay. If they must go, delete their folders and run again."
            )

    def _publish(self, path: str, staged: "Staged", written: Written) -> None:
        if not self._location.is_local:
            temporary = self._scratch / f"{uuid4().hex}.parquet"
            _copy(staged, temporary, written)
            with pa.memory_map(str(temporary)) as source, self._location.filesystem.open_output_stream(path) as sink:
                sink.write(source.read_buffer())
            temporary.unlink()
            return
        folder = Path(path).parent
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        temporary = folder / f".{uuid4().hex}.tmp"
        try:
            _copy(staged, temporary, written)
            _sync(temporary)
            temporary.replace(path)
            _sync(folder)
        finally:
            temporary.unlink(missing_ok=True)

    def _download(self, path: str) -> str:
        # The partition's folder comes along: DuckDB takes `date` from the path.
        target = self._scratch / uuid4().hex / Path(path).parent.name / FILE_NAME
        target.parent.mkdir(parents=True)
        with self._location.filesystem.open_input_stream(path) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 8 << 20)
        return str(target)


def read_in_shape(file: pq.ParquetFile, table: Table) -> Iterator[pa.RecordBatch]:
    """Yield a file's rows in the columns of `table`; a column that an older file lacks is null."""
    schema = table.arrow_schema()
    known = [name for name in schema.names if name in file.schema_arrow.names]
    for batch in file.iter_batches(ROWS_PER_BATCH, columns=known):
        columns = [
            batch.column(f.name).cast(f.type) if f.name in known else pa.nulls(batch.num_rows, f.type) for f in schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _copy(staged: Staged, target: Path, written: Written) -> None:
    metadata = json.dumps(
        {
            "rows": written.rows,
            "sums": {name: str(value) for name, value in written.sums.items()},
            "inputs": dict(written.inputs),
            "version": __version__,
            **written.details,
        },
        default=str,
    )
    zstd = "COMPRESSION zstd, COMPRESSION_LEVEL 1"  # a tenth less work than the default level, and about as small
    # Fewer rows in a group, and no dictionary of figures that hardly repeat: as small, and a tenth less work.
    zstd += "" if staged.is_held else f", ROW_GROUP_SIZE {ROWS_IN_A_GROUP}, DICTIONARY_SIZE_LIMIT 256"
    options = f"FORMAT parquet, {zstd}, KV_METADATA {{{METADATA_KEY}: {quoted(metadata)}}}"
    # Written out, for Ibis takes longer to compile this than DuckDB to do it, and a month has 31 days.
    rows = f"SELECT * EXCLUDE (date) FROM {staged.rows.get_name()} WHERE date = DATE '{written.day}'"
    staged.engine.con.execute(f"COPY ({rows}) TO {quoted(str(target))} ({options})").fetchall()


def _parse_metadata(day: date, content: bytes) -> Written:
    known: dict[str, Any] = json.loads(content)
    sums = {name: Decimal(value) for name, value in known.pop("sums", {}).items()}
    return Written(day, known.pop("rows", 0), sums, known.pop("inputs", {}), known)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove what writers that died have left."""
    for leftover in folder.glob(".*.tmp"):
        if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
            leftover.unlink(missing_ok=True)
