"""Writer: fills one file of the serving store, days at a time, and sums their days and months."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb

from kubecost_pipelines.core import serving
from kubecost_pipelines.core.serving import ALLOCATIONS, ASSETS, CONNECTIONS, HOURS, day_span, month_span
from kubecost_pipelines.serving import rows
from kubecost_pipelines.serving.lake_files import STORED_IN, Identity, LakeFile
from kubecost_pipelines.settings.locations import Location

DAYS_AT_ONCE = 31
MEMORY_LIMIT = "300MB"


@contextmanager
def open_to_write(path: Path, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file that nobody reads yet."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(scratch / "spill"),
        # Requests are answered meanwhile; and rows stay in the order of the files, by day.
        "threads": 1,
    }
    with duckdb.connect(str(path), config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
        connection.execute("CHECKPOINT")


class Writer:
    """Fills one file.

    Args:
        connection: to the file.
        lake: where rows come from.
        scratch: a folder for copies of files that are not local.
        label_keys: labels that get a column and sums of their own.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, lake: Location, scratch: Path, label_keys: Sequence[str]
    ) -> None:
        self._connection, self._lake, self._scratch = connection, lake, scratch
        self._label_keys = label_keys
        # What is summed from another comes after it.
        self._summaries = serving.summaries(label_keys)[::-1]

    def create_tables(self, made_of: object) -> None:
        """Create every table; `made_of` is what another store must have in common to be continued."""
        execute = self._connection.execute
        execute("CREATE TABLE layout AS SELECT CAST(? AS VARCHAR) AS made_of", [json.dumps(made_of)])
        execute("CREATE TABLE lake_files (stored_in VARCHAR, key VARCHAR, day DATE, fingerprint VARCHAR)")
        for name in dict.fromkeys(STORED_IN.values()):
            lake_table = next(one for one, stored_in in STORED_IN.items() if stored_in == name)
            self._put(f"CREATE TABLE {name} AS", name, rows.no_rows(lake_table))
        for summary in self._summaries:
            execute(f"CREATE TABLE {summary.name} AS {rows.summed_days(summary)} LIMIT 0")

    def replace(self, changed: Sequence[LakeFile], gone: Sequence[Identity]) -> None:
        """Remove the old rows of `changed` and `gone`, add the new ones, and sum their days and months again."""
        touched = [file.identity for file in changed] + list(gone)
        self._forget(touched)
        for name in dict.fromkeys(STORED_IN.values()):
            days = sorted({day for stored_in, _, day in touched if stored_in == name})
            files = sorted((f for f in changed if f.identity[0] == name), key=lambda file: (file.day, file.key))
            at_once = 1 if name == HOURS else DAYS_AT_ONCE
            for some in (days[at : at + at_once] for at in range(0, len(days), at_once)):
                self._insert(name, [file for file in files if some[0] <= file.day <= some[-1]])
                self._sum_days(name, some)
            self._sum_months(name, days)
        if changed:
            known = [[*file.identity, file.fingerprint] for file in changed]
            self._connection.executemany("INSERT INTO lake_files VALUES (?, ?, ?, ?)", known)

    def _forget(self, touched: Sequence[Identity]) -> None:
        execute = self._connection.execute
        execute("CREATE OR REPLACE TEMP TABLE touched (stored_in VARCHAR, key VARCHAR, day DATE)")
        if touched:
            self._connection.executemany("INSERT INTO touched VALUES (?, ?, ?)", [list(one) for one in touched])
        execute(
            "DELETE FROM lake_files AS known USING touched "
            "WHERE known.stored_in = touched.stored_in AND known.key = touched.key AND known.day = touched.day"
        )
        for name in dict.fromkeys(stored_in for stored_in, _, _ in touched):
            execute(
                f"DELETE FROM {name} USING touched WHERE stored_in = ? AND lake_key = touched.key "
                "AND date = touched.day",
                [name],
            )

    def _insert(self, name: str, files: Sequence[LakeFile]) -> None:
        for table in dict.fromkeys(file.table for file in files):
            paths = [self._local(file) for file in files if file.table == table]
            folder = f"{self._lake.path}/{table}/" if self._lake.is_local else f"{self._scratch}/{table}/"
            self._put(f"INSERT INTO {name}", name, rows.lake_rows(table, paths, self._columns(paths), folder))
            if not self._lake.is_local:
                for path in paths:
                    Path(path).unlink()

    def _put(self, statement: str, name: str, source: str) -> None:
        execute = self._connection.execute
        if name in (ALLOCATIONS, HOURS):
            parts = ("hour",) if name == HOURS else ()
            source = rows.hourly_source(source) if name == HOURS else source
            batch = rows.allocation_rows(source, self._label_keys, parts)
            execute(f"CREATE OR REPLACE TEMP TABLE {rows.BATCH} AS {batch}")
            execute(f"{statement} {rows.shared_rows(tuple(self._label_keys), parts)}")
            execute(f"DROP TABLE {rows.BATCH}")
        elif name == CONNECTIONS:
            execute(f"{statement} SELECT * FROM {source}")
        else:
            execute(f"{statement} {rows.asset_rows(source) if name == ASSETS else rows.cloud_rows(source)}")

    def _columns(self, paths: Sequence[str]) -> list[str]:
        found = self._connection.execute(f"DESCRIBE SELECT * FROM {rows.read_parquet(paths)}").fetchall()
        return [row[0] for row in found]

    def _sum_days(self, name: str, days: Sequence[date]) -> None:
        for summary in (one for one in self._summaries if one.of == name):
            spans = [day_span(day) for day in days]
            # Two conditions of which the first keeps whole parts of the table from being read.
            where = f"{{0}} BETWEEN {{1}} AND {{2}} AND {{0}} IN ({', '.join('?' * len(days))})"
            self._connection.execute(
                f"DELETE FROM {summary.name} WHERE {where.format('span', spans[0], spans[-1])}", spans
            )
            if summary.source == summary.of:
                condition = where.format("date", f"DATE '{days[0]}'", f"DATE '{days[-1]}'")
                self._connection.execute(f"INSERT INTO {summary.name} {rows.summed_days(summary, condition)}", days)
            else:
                condition = where.format("span", spans[0], spans[-1])
                self._connection.execute(f"INSERT INTO {summary.name} {rows.summed_days(summary, condition)}", spans)

    def _sum_months(self, name: str, days: Sequence[date]) -> None:
        for month in sorted({month_span(day) for day in days}):
            for summary in (one for one in self._summaries if one.of == name):
                self._connection.execute(f"DELETE FROM {summary.name} WHERE span = ?", [month])
                of_month = f"span BETWEEN {month}01 AND {month}31"
                self._connection.execute(f"INSERT INTO {summary.name} {rows.summed_months(summary, of_month)}")

    def _local(self, file: LakeFile) -> str:
        if self._lake.is_local:
            return file.path
        target = self._scratch / file.path.removeprefix(f"{self._lake.path}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._lake.filesystem.open_input_stream(file.path) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 8 << 20)
        return str(target)
