"""Exporter: one day of one cluster, written to scratch, proved, and put at its final keys."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date
from math import isclose
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kubecost_pipelines import __version__
from kubecost_pipelines.core.exports.drop_in import drop_in_columns, to_drop_in
from kubecost_pipelines.core.exports.keys import drop_in_key, native_key
from kubecost_pipelines.core.exports.native import native_tables, to_native
from kubecost_pipelines.core.tables import Table
from kubecost_pipelines.settings import ClusterSettings, ExportSettings
from kubecost_pipelines.sinks.buckets import Bucket
from kubecost_pipelines.sinks.errors import ExportError
from kubecost_pipelines.sinks.manifest import Manifest
from kubecost_pipelines.sinks.parquet import Options, ParquetFile, as_small_as_can_be, like_the_old

DROP_IN = "drop_in"


@dataclass(frozen=True)
class SourceRows:
    """A day of `allocations` or `reconciled_allocations`, on its way.

    Args:
        table: which of the two.
        batches: its rows.
        cluster_total: what the cluster itself said that the day costs when it was collected.
        fingerprint: tells one state of the source from another.
        total_cost: Σ that the rows must have, from elsewhere; None where nobody knows.
    """

    table: Table
    batches: Iterable[pa.RecordBatch] = field(repr=False)
    cluster_total: float
    fingerprint: str
    total_cost: float | None


@dataclass(frozen=True)
class ExportedFile:
    """One file, as it lies in the bucket."""

    table: str
    key: str
    uri: str
    tag: str
    bytes: int
    manifest: Manifest


@dataclass(frozen=True)
class ExportedDay:
    """The files of one day; the last is the one that says "complete"."""

    day: date
    manifest: Manifest
    files: tuple[ExportedFile, ...]


def export_day(
    source: SourceRows, day: date, cluster: ClusterSettings, export: ExportSettings, bucket: Bucket, scratch: Path
) -> ExportedDay:
    """Write a day in the configured layouts.

    Nothing is put into the bucket before all of it is written and adds up, and each file goes there in one request.

    Raises:
        ExportError: there are no rows, they do not add up to what the source says, or the bucket refuses.
    """
    with ExitStack() as stack:
        writers = {
            table: ParquetFile(scratch / f"export-{table}-{day}.parquet", schema, cost_column(table, export), options)
            for table, (schema, options) in _files(source.table, export).items()
        }
        for writer in writers.values():
            stack.callback(writer.discard)
        columns = drop_in_columns(export.labels, export.annotations)
        rows, total_cost = 0, 0.0
        for batch in source.batches:
            rows += batch.num_rows
            total_cost += _sum(batch.column(cost_column("allocations", export)))
            if "native" in export.layouts:
                for table, made in to_native(batch, source.table, cluster.exported).items():
                    writers[table].add(made)
            if DROP_IN in export.layouts:
                writers[DROP_IN].add(to_drop_in(batch, cluster.exported, day, columns))
        _prove(source, day, cluster, rows, total_cost)
        manifest = Manifest(rows, total_cost, source.cluster_total, export.source, source.fingerprint, __version__)
        files = []
        for table, writer in writers.items():
            key = drop_in_key(cluster.exported, day) if table == DROP_IN else native_key(cluster.name, day, table)
            own = replace(manifest, rows=writer.rows, total_cost=writer.total)
            writer.close(own.as_metadata())
            files.append((table, key, writer, own))
        done = tuple(_put(table, key, writer, own, bucket) for table, key, writer, own in files)
    return ExportedDay(day, manifest, done)


def cost_column(table: str, export: ExportSettings) -> str:
    """Return the column of a file that its manifest sums; Glue has it in lower case."""
    of_allocations = "total_cost" if export.source == "reconciled" else "reported_total_cost"
    return {DROP_IN: "totalCost", "allocations": of_allocations}.get(table, "cost")


def _put(table: str, key: str, writer: ParquetFile, manifest: Manifest, bucket: Bucket) -> ExportedFile:
    tag = bucket.put(key, writer.path, manifest)
    return ExportedFile(table, key, bucket.uri(key), tag, writer.path.stat().st_size, manifest)


def _files(source: Table, export: ExportSettings) -> dict[str, tuple[pa.Schema, Options]]:
    """Return the files of a day in the order in which they are put: the allocations last, for they say "complete"."""
    wanted: dict[str, tuple[pa.Schema, Options]] = {}
    if "native" in export.layouts:
        tables = native_tables(source)
        wanted |= {table: (schema, as_small_as_can_be) for table, schema in reversed(tables.items())}
    if DROP_IN in export.layouts:
        columns = drop_in_columns(export.labels, export.annotations)
        schema = pa.schema([(column.name, column.type) for column in columns])
        wanted[DROP_IN] = (schema, like_the_old)
    return wanted


def _sum(values: Any) -> float:
    return float(pc.sum(values).as_py() or 0.0)


def _prove(source: SourceRows, day: date, cluster: ClusterSettings, rows: int, total_cost: float) -> None:
    what = f"{cluster.name}: {day}"
    if not rows:
        raise ExportError(
            f"{what}: {source.table.name} has no rows for that day; nothing is written. Materialise it again if the "
            "cluster ran."
        )
    if source.total_cost is not None and not isclose(total_cost, source.total_cost, rel_tol=1e-9, abs_tol=1e-9):
        raise ExportError(
            f"{what}: the rows of {source.table.name} add up to {total_cost}, its file says {source.total_cost}; "
            "nothing is written. Materialise that day again."
        )
