"""Exporting: the rows of a day, from the lake or from the cluster, on their way to the bucket.

Knows neither Dagster nor the command line: both call it.
"""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from importlib.abc import MetaPathFinder
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from kubecost_pipelines.clusters import ClusterClient
from kubecost_pipelines.core.tables import ALLOCATIONS, RECONCILED_ALLOCATIONS, Table
from kubecost_pipelines.settings import ClusterSettings, ExportSettings
from kubecost_pipelines.sinks import ExportError, SourceRows, agree, in_file_words

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from kubecost_pipelines.lake import Engine, Lake, Written


DAY_CURE = "Make room in the scratch folder, or materialise that day of the lake again."
"""What to do when the rows of a day cannot be read, or not be gathered before they are put into the bucket."""


def source_table(export: ExportSettings) -> Table:
    """Return the table that the settings want exported."""
    return RECONCILED_ALLOCATIONS if export.source == "reconciled" else ALLOCATIONS


def rows_of_lake(
    lake: "Lake", engine: "Engine", cluster: ClusterSettings, export: ExportSettings, day: date
) -> SourceRows:
    """Return a day's rows as the lake has them.

    Raises:
        ExportError: the lake does not have that day.
    """
    table, key = source_table(export), [cluster.name]
    known = lake.describe(table, key, day)
    if known is None:
        raise ExportError(
            f"{table.name}/{cluster.name}: the lake has no {day}. Materialise it first, or let `export.source` be "
            "`estimates`."
        )
    collected = known if table is ALLOCATIONS else lake.describe(ALLOCATIONS, key, day)
    total = "total_cost" if table is RECONCILED_ALLOCATIONS else "reported_total_cost"
    rows = SourceRows(
        table,
        lake.read_batches(table, key, day),
        reported_total(collected) if collected else nan,
        _state(known),
        float(known.sums[total]) if total in known.sums else None,
    )
    if export.aggregation == "container":
        return rows
    return replace(rows, batches=_summed(lake.read(table, key, [day], engine), table, export.aggregation))


def state_in_lake(lake: "Lake", cluster: ClusterSettings, export: ExportSettings, day: date) -> str:
    """Return the fingerprint of the rows that an export of a day would have; "" where the lake has none.

    Raises:
        ExportError: the day's file cannot be read.
    """
    with in_file_words(f"read {day} of {cluster.name} in the lake", "Materialise that day again."):
        known = lake.describe(source_table(export), [cluster.name], day)
    return _state(known) if known else ""


def _state(known: "Written") -> str:
    return fingerprint(known.rows, sorted(known.sums.items()), sorted(known.inputs.items()))


def is_outdated(collected: "Written", cluster_total: float) -> bool:
    """Say whether the cluster has restated a day of `allocations` since it was collected."""
    return not agree(reported_total(collected), cluster_total, collected.rows)


def reported_total(collected: "Written") -> float:
    """Return what the cluster said that a day of `allocations` costs; NaN where its file does not tell."""
    return float(collected.sums.get("reported_total_cost", nan))


def rows_of_cluster(client: ClusterClient, export: ExportSettings, day: date, scratch: Path) -> SourceRows:
    """Ask the cluster for a day, and return its estimates; without a lake.

    Raises:
        ClusterError: no answer, or one that cannot be trusted.
        ExportError: the settings want reconciled rows, which only the lake has.
    """
    if export.source == "reconciled":
        raise ExportError(f"{client.cluster.name}: reconciled rows come from the lake. Materialise the export instead.")
    file = scratch / f"allocations-{day}.parquet"
    fetched = client.fetch_allocations(day, file)
    total = fetched.reported_cost
    rows = SourceRows(ALLOCATIONS, _batches(file), total, fingerprint(fetched.rows, fetched.total_cost, total), total)
    if export.aggregation == "container":
        return rows
    from kubecost_pipelines.lake import open_engine  # noqa: PLC0415 - Ibis takes a second

    with open_engine("400MB", scratch) as engine:
        return replace(rows, batches=_summed(engine.read_parquet(file), ALLOCATIONS, export.aggregation))


class _WithoutPandas(MetaPathFinder):
    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(f"No module named {fullname!r}")


def leave_pandas_out() -> None:
    """Keep pandas from being imported in this process: a second of CPU, and 60 MB.

    Arrow imports it when it first makes an array, only to see whether a list is one of pandas'. For a process that
    exports containers and ends.
    """
    sys.meta_path.insert(0, _WithoutPandas())


def fingerprint(*parts: object) -> str:
    """Return what tells one state of a source from another."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _batches(file: Path) -> Iterator[pa.RecordBatch]:
    # One column after the other: threads and reading ahead cost three times the CPU on a file of this size.
    with pq.ParquetFile(file, pre_buffer=False) as opened:
        yield from opened.iter_batches(16_384, use_threads=False)


def _summed(rows: "ir.Table", table: Table, by: str) -> list[pa.RecordBatch]:
    import duckdb  # noqa: PLC0415 - as Ibis

    from kubecost_pipelines.core.exports.aggregation import aggregate  # noqa: PLC0415

    try:
        summed: pa.Table = aggregate(rows, table, by).to_pyarrow()
    except duckdb.Error as error:
        raise ExportError(f"sum {table.name} by {by}: {error}. Materialise that day again.") from error
    return summed.cast(table.arrow_schema()).to_batches(16_384)
