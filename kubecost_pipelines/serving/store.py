"""Serving store: a read-only DuckDB file made from the lake, so that questions are answered at once.

The lake stays the truth: the file can be deleted at any time. A refresh copies the last file, replaces the days whose
lake files changed, and swaps the symbolic link `current`; readers that have the old file open finish with it. Files
have names of their own because DuckDB keeps one instance per path.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import duckdb
from pyarrow import fs

from kubecost_pipelines.core import serving, tables
from kubecost_pipelines.core.serving import ALLOCATIONS, ASSETS, CLOUD_COSTS, OUT_OF_CLUSTER, Summary
from kubecost_pipelines.core.tables import label_column
from kubecost_pipelines.serving.reader import CURRENT, current_file
from kubecost_pipelines.settings.locations import Location

LAYOUT = 1
"""Raised when a file of the lake would be stored otherwise: older stores are then made anew."""

FILE_NAME = "data.parquet"
DAYS_AT_ONCE = 31
MEMORY_LIMIT = "300MB"

_NAMES = {
    tables.RECONCILED_ALLOCATIONS.name: ALLOCATIONS,
    tables.ALLOCATIONS.name: ALLOCATIONS,
    tables.ASSET_COSTS.name: ASSETS,
    tables.CLOUD_BILLING.name: CLOUD_COSTS,
    tables.CLOUD_ASSETS.name: OUT_OF_CLUSTER,
    tables.CONNECTION_STATUS.name: serving.CONNECTIONS,
}
"""Table of the lake -> table of the store. Allocations count only where they are not reconciled yet."""


@dataclass(frozen=True)
class LakeFile:
    """One day of one key of one table, and what tells whether it changed."""

    table: str
    key: str
    day: date
    path: str
    fingerprint: str

    @property
    def stored_in(self) -> str:
        return _NAMES[self.table]


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did."""

    path: Path
    days: int
    """Days of a key that were replaced, added or removed."""


def refresh(lake: Location, folder: Path, label_keys: Sequence[str]) -> Refreshed | None:
    """Bring the store in step with the lake; return None when it is already.

    Args:
        lake: where the Parquet is.
        folder: the store's own.
        label_keys: labels that get a column and sums of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = _preferred(_list_files(lake))
    current = current_file(folder)
    known = _known(current, label_keys) if current else None
    changed = [file for file in wanted.values() if known is None or known.get(_identity(file)) != file.fingerprint]
    gone = [identity for identity in (known or {}) if identity not in wanted]
    if known is not None and not changed and not gone:
        return None
    path = folder / f"store-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}.duckdb"
    temporary = path.with_suffix(".tmp")
    try:
        if current and known is not None:
            shutil.copyfile(current, temporary)
        with TemporaryDirectory(dir=folder) as scratch, _open_to_write(temporary, Path(scratch)) as connection:
            writer = _Writer(connection, lake, Path(scratch), label_keys)
            if known is None:
                writer.create_tables()
            writer.replace(changed, gone)
        temporary.replace(path)
        _point_to(folder, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sweep(folder, path)
    return Refreshed(path, len(changed) + len(gone))


def _list_files(lake: Location) -> list[LakeFile]:
    found = []
    for table in _NAMES:
        selector = fs.FileSelector(f"{lake.path}/{table}", allow_not_found=True, recursive=True)
        for info in lake.filesystem.get_file_info(selector):
            if info.type == fs.FileType.File and info.base_name == FILE_NAME:
                *key, day = info.path.removeprefix(f"{lake.path}/{table}/").split("/")[:-1]
                written = f"{info.path} {info.size} {info.mtime_ns}"
                found.append(
                    LakeFile(table, "/".join(key), date.fromisoformat(day.removeprefix("date=")), info.path, written)
                )
    return found


Identity = tuple[str, str, date]


def _identity(file: LakeFile) -> Identity:
    return file.stored_in, file.key, file.day


def _preferred(files: Iterable[LakeFile]) -> dict[Identity, LakeFile]:
    """Return one file per day: the reconciled one where there is one."""
    order = list(_NAMES)
    ranked = sorted(files, key=lambda file: order.index(file.table), reverse=True)
    return {_identity(file): file for file in ranked}


def _known(current: Path, label_keys: Sequence[str]) -> dict[Identity, str] | None:
    """Return what the store was made from; None when it is of another layout and must be made anew."""
    try:
        with duckdb.connect(str(current), read_only=True) as connection:
            [(made_of,)] = connection.execute("SELECT made_of FROM layout").fetchall()
            if json.loads(made_of) != _layout(label_keys):
                return None
            rows = connection.execute("SELECT stored_in, key, day, fingerprint FROM lake_files").fetchall()
    except duckdb.Error:
        return None
    return {(stored_in, key, day): fingerprint for stored_in, key, day, fingerprint in rows}


def _layout(label_keys: Sequence[str]) -> dict[str, object]:
    return {"layout": LAYOUT, "label_keys": list(label_keys)}


@contextmanager
def _open_to_write(path: Path, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(scratch / "spill"),
        # Requests are answered meanwhile.
        "threads": 1,
    }
    with duckdb.connect(str(path), config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
        connection.execute("CHECKPOINT")


def _point_to(folder: Path, path: Path) -> None:
    link = folder / f".{uuid4().hex}.link"
    link.symlink_to(path.name)
    link.replace(folder / CURRENT)


def _sweep(folder: Path, keep: Path) -> None:
    """Remove older stores; who has one open keeps reading it."""
    for old in folder.glob("store-*"):
        if old != keep:
            old.unlink(missing_ok=True)


class _Writer:
    """Fills one file."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, lake: Location, scratch: Path, label_keys: Sequence[str]
    ) -> None:
        self._connection, self._lake, self._scratch = connection, lake, scratch
        self._label_keys = label_keys
        self._summaries = serving.summaries(label_keys)

    def create_tables(self) -> None:
        execute = self._connection.execute
        execute("CREATE TABLE layout AS SELECT CAST(? AS VARCHAR) AS made_of", [json.dumps(_layout(self._label_keys))])
        execute("CREATE TABLE lake_files (stored_in VARCHAR, key VARCHAR, day DATE, fingerprint VARCHAR)")
        for name in dict.fromkeys(_NAMES.values()):
            execute(f"CREATE TABLE {name} AS {self._rows_of(name, self._nothing(name))}")
        for summary in self._summaries:
            for table, when in ((summary.name, "date"), (summary.of_months, "date_trunc('month', date)::DATE")):
                execute(f"CREATE TABLE {table} AS {_summed(summary, summary.of, when)} LIMIT 0")

    def replace(self, changed: Sequence[LakeFile], gone: Sequence[Identity]) -> None:
        """Remove the old rows of `changed` and `gone`, add the new ones, and sum their days and months again."""
        touched = [_identity(file) for file in changed] + list(gone)
        for stored_in, key, day in touched:
            self._connection.execute(
                "DELETE FROM lake_files WHERE stored_in = ? AND key = ? AND day = ?", [stored_in, key, day]
            )
        for name in dict.fromkeys(_NAMES.values()):
            days = sorted({day for stored_in, _, day in touched if stored_in == name})
            keys = sorted({(key, day) for stored_in, key, day in touched if stored_in == name})
            if not keys:
                continue
            self._connection.execute("CREATE OR REPLACE TEMP TABLE touched (key VARCHAR, day DATE)")
            self._connection.executemany("INSERT INTO touched VALUES (?, ?)", [list(one) for one in keys])
            self._connection.execute(
                f"DELETE FROM {name} USING touched WHERE lake_key = touched.key AND date = touched.day"
            )
            files = sorted((f for f in changed if f.stored_in == name), key=lambda file: (file.day, file.key))
            for batch in _batches(files, days):
                self._insert(name, batch)
            self._sum_again(name, days)
        if changed:
            rows = [[*_identity(file), file.fingerprint] for file in changed]
            self._connection.executemany("INSERT INTO lake_files VALUES (?, ?, ?, ?)", rows)

    def _insert(self, name: str, files: Sequence[LakeFile]) -> None:
        for table in dict.fromkeys(file.table for file in files):
            paths = {self._local(file): file for file in files if file.table == table}
            present = self._columns(list(paths))
            source = self._source(table, list(paths), present)
            self._connection.execute(f"INSERT INTO {name} {self._rows_of(name, source)}")
            if not self._lake.is_local:
                for path in paths:
                    Path(path).unlink()

    def _source(self, table: str, paths: Sequence[str], present: Mapping[str, str]) -> str:
        """Return a relation with every column that the lake's table has now; what older files lack is null."""
        [shape] = [one for one in tables.TABLES if one.name == table]
        prefix = f"{self._lake.path}/{table}/" if self._lake.is_local else f"{self._scratch}/{table}/"
        kinds = {name: _duckdb_type(kind) for name, kind in ((c.name, c.type) for c in shape.columns)}
        columns = [
            f"CAST({_identifier(name) if name in present else 'NULL'} AS {kind}) AS {_identifier(name)}"
            for name, kind in kinds.items()
        ]
        if table == tables.ALLOCATIONS.name:
            columns += _UNRECONCILED
        extra = [_identifier(name) for name in present if name.startswith("label_") and name not in kinds]
        listed = ", ".join(_text(path) for path in paths)
        key = f"regexp_extract(filename, '^(.*)/date=[^/]*/[^/]*$', 1)[{len(prefix) + 1}:]"
        return (
            f"(SELECT {', '.join([*columns, *extra])}, CAST(date AS DATE) AS date, {key} AS lake_key "
            f"FROM read_parquet([{listed}], union_by_name = true, hive_partitioning = true, filename = true))"
        )

    def _columns(self, paths: Sequence[str]) -> dict[str, str]:
        listed = ", ".join(_text(path) for path in paths)
        rows = self._connection.execute(
            f"DESCRIBE SELECT * FROM read_parquet([{listed}], union_by_name = true, hive_partitioning = true)"
        ).fetchall()
        return {row[0]: row[1] for row in rows}

    def _nothing(self, name: str) -> str:
        """Return a relation of the right shape without rows."""
        table = next(lake_table for lake_table, stored_in in _NAMES.items() if stored_in == name)
        [shape] = [one for one in tables.TABLES if one.name == table]
        columns = [f"CAST(NULL AS {_duckdb_type(c.type)}) AS {_identifier(c.name)}" for c in shape.columns]
        return f"(SELECT {', '.join(columns)}, CAST(NULL AS DATE) AS date, CAST(NULL AS VARCHAR) AS lake_key LIMIT 0)"

    def _rows_of(self, name: str, source: str) -> str:
        if name == ALLOCATIONS:
            return _allocation_rows(source, self._label_keys)
        if name == serving.CONNECTIONS:
            return f"SELECT * FROM {source}"
        return _asset_rows(source) if name == ASSETS else _cloud_rows(source)

    def _sum_again(self, name: str, days: Sequence[date]) -> None:
        months = sorted({day.replace(day=1) for day in days})
        for summary in self._summaries:
            if summary.of != name:
                continue
            for table, source, when, touched, column in (
                (summary.name, name, "date", days, "date"),
                (summary.of_months, name, "date_trunc('month', date)::DATE", months, "date_trunc('month', date)::DATE"),
            ):
                self._connection.execute(f"DELETE FROM {table} WHERE date IN (SELECT unnest(?))", [touched])
                for some in (touched[at : at + DAYS_AT_ONCE] for at in range(0, len(touched), DAYS_AT_ONCE)):
                    where = f"WHERE {column} IN (SELECT unnest(?::DATE[]))"
                    self._connection.execute(f"INSERT INTO {table} {_summed(summary, source, when, where)}", [some])

    def _local(self, file: LakeFile) -> str:
        if self._lake.is_local:
            return file.path
        target = self._scratch / file.path.removeprefix(f"{self._lake.path}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._lake.filesystem.open_input_stream(file.path) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 8 << 20)
        return str(target)


def _batches(files: Sequence[LakeFile], days: Sequence[date]) -> Iterator[list[LakeFile]]:
    for at in range(0, len(days), DAYS_AT_ONCE):
        some = set(days[at : at + DAYS_AT_ONCE])
        if batch := [file for file in files if file.day in some]:
            yield batch


_UNRECONCILED = [
    *(f"CAST(0 AS DOUBLE) AS {name}" for name in serving.ADJUSTMENTS),
    # A cluster's own answer tells what nobody used only by its name.
    "CASE WHEN name LIKE '%\\_\\_idle\\_\\_' ESCAPE '\\' THEN 'idle' "
    "WHEN namespace = '__unmounted__' OR name LIKE '%\\_\\_unmounted\\_\\_%' ESCAPE '\\' THEN 'unmounted' "
    "ELSE 'workload' END AS allocation_type",
    "false AS is_reconciled",
    "false AS is_settled",
    "'list' AS cost_basis",
]


def _allocation_rows(source: str, label_keys: Sequence[str]) -> str:
    kept = (
        *("date", "lake_key", "cluster", "name", "node", "namespace", "pod", "container", "controller"),
        *("controller_kind", "provider_id", "services", "labels", "annotations", "allocation_type"),
        *("minutes", "currency", "pvs", "load_balancers", "is_reconciled", "is_settled", "cost_basis"),
    )
    flattened = [f"{_label(key)} AS {label_column(key)}" for key in label_keys]
    amounts = [
        f"coalesce({serving.WEIGHTED[name]} * minutes, 0) AS {name}"
        if name in serving.WEIGHTED
        else f"coalesce({name}, 0) AS {name}"
        for name in serving.AMOUNTS
    ]
    rows = ", ".join([*kept, '"start"', '"end"', *flattened, *amounts])
    sums, shares = list[str](), list[str]()
    for is_reconciled in (True, False):
        sums += _sums_to_share(is_reconciled=is_reconciled)
        shares += _shares(is_reconciled=is_reconciled)
    return f"""
        WITH plain AS (SELECT {rows} FROM {source}),
        cluster_sums AS (SELECT date, cluster, {", ".join(sums)} FROM plain GROUP BY ALL),
        node_sums AS (SELECT date, cluster, node, {", ".join(sums)} FROM plain GROUP BY ALL)
        SELECT plain.*, {", ".join(shares)} FROM plain
        JOIN cluster_sums ON plain.date = cluster_sums.date AND plain.cluster IS NOT DISTINCT FROM cluster_sums.cluster
        JOIN node_sums ON plain.date = node_sums.date AND plain.cluster IS NOT DISTINCT FROM node_sums.cluster
            AND plain.node IS NOT DISTINCT FROM node_sums.node
        ORDER BY plain.date, plain.cluster, plain.namespace, plain.name
    """


def _cost(resource: str, *, is_reconciled: bool) -> str:
    return f"({resource}_cost + {resource}_cost_adjustment)" if is_reconciled else f"{resource}_cost"


def _total(*, is_reconciled: bool) -> str:
    return "total_cost" if is_reconciled else f"(total_cost - {' - '.join(serving.ADJUSTMENTS)})"


def _sums_to_share(*, is_reconciled: bool) -> list[str]:
    prefix, total = ("of" if is_reconciled else "estimated"), _total(is_reconciled=is_reconciled)
    of_type = "coalesce(sum({cost}) FILTER (allocation_type = '{type}'), 0) AS {name}"
    sums = [
        of_type.format(cost=total, type="workload", name=f"{prefix}_workloads"),
        of_type.format(cost=total, type="shared", name=f"{prefix}_tenancy"),
    ]
    for resource in serving.SHARED_IDLE:
        cost = _cost(resource, is_reconciled=is_reconciled)
        sums.append(of_type.format(cost=cost, type="idle", name=f"{prefix}_{resource}_idle"))
        sums.append(of_type.format(cost=cost, type="workload", name=f"{prefix}_{resource}_used"))
    return sums


def _shares(*, is_reconciled: bool) -> list[str]:
    """Return each row's share, by what it costs of the same resource; where that is nothing, by its total."""
    prefix, total = ("of" if is_reconciled else "estimated"), _total(is_reconciled=is_reconciled)
    shares = []
    for by in ("cluster", "node"):
        for resource in serving.SHARED_IDLE:
            cost, sums = _cost(resource, is_reconciled=is_reconciled), f"{by}_sums.{prefix}"
            idle, used, workloads = f"{sums}_{resource}_idle", f"{sums}_{resource}_used", f"{sums}_workloads"
            shares.append(
                f"CASE WHEN allocation_type = 'workload' AND {used} > 0 THEN {idle} * {cost} / {used} "
                f"WHEN allocation_type = 'workload' AND {workloads} > 0 THEN {idle} * {total} / {workloads} "
                f"WHEN allocation_type = 'idle' AND {used} <= 0 AND {workloads} <= 0 THEN {cost} "
                f"ELSE 0 END AS {serving.idle_share(resource, by, is_reconciled=is_reconciled)}"
            )
    tenancy, workloads = f"cluster_sums.{prefix}_tenancy", f"cluster_sums.{prefix}_workloads"
    shares.append(
        f"CASE WHEN allocation_type = 'workload' AND {workloads} > 0 THEN {tenancy} * {total} / {workloads} "
        f"WHEN allocation_type = 'shared' AND {workloads} <= 0 THEN {total} "
        f"ELSE 0 END AS {serving.tenancy_share(is_reconciled=is_reconciled)}"
    )
    return shares


def _label(key: str) -> str:
    # Kubecost's labels went through Prometheus: `app.kubernetes.io/name` is `app_kubernetes_io_name` there.
    sanitized = "".join(letter if letter.isalnum() else "_" for letter in key)
    return f"coalesce(labels[{_text(key)}], labels[{_text(sanitized)}])"


def _asset_rows(source: str) -> str:
    names = [
        name for name in tables.ASSET_COSTS.names if name not in ("start", "end", "bill_rows", "missing_cost_lines")
    ]
    columns = ", ".join([*names, '"start"', '"end"', "date", "lake_key"])
    return f"SELECT {columns} FROM {source} ORDER BY date, cluster, asset_id"


def _cloud_rows(source: str) -> str:
    keys = {
        "date": "date",
        "lake_key": "lake_key",
        "provider": "upper(split_part(lake_key, '/', 1))",
        "invoice_entity_id": "billing_account_id",
        "account_id": "sub_account_id",
        "service": "service_name",
        "category": "category",
        "provider_id": "coalesce(provider_id, resource_id)",
        "region_id": "region_id",
        "availability_zone": "availability_zone",
        "is_kubernetes": "coalesce(is_kubernetes, false)",
        "cluster": "cluster",
        "currency": "billing_currency",
        "tags": "tags",
    }
    # Decimals of 38 digits are slow to add up; the lake keeps the exact ones.
    measures = {
        "list_cost": "list_cost",
        "net_cost": "net_cost",
        "amortized_net_cost": "effective_cost",
        "invoiced_cost": "invoiced_cost",
        "amortized_cost": "amortized_cost",
    }
    sums = [f"coalesce(CAST(sum({column}) AS DOUBLE), 0) AS {name}" for name, column in measures.items()]
    labels = "TRY_CAST(CAST(tags AS JSON) AS MAP(VARCHAR, VARCHAR)) AS labels"
    columns = ", ".join([*(f"{expression} AS {name}" for name, expression in keys.items()), labels, *sums])
    positions = ", ".join(str(position + 1) for position in range(len(keys)))
    return f"SELECT {columns} FROM {source} GROUP BY {positions} ORDER BY date, lake_key, service, category"


def _summed(summary: Summary, source: str, when: str, where: str = "") -> str:
    keys = [f"{when} AS date", *summary.dimensions]
    if summary.of == ALLOCATIONS:
        keys += ["allocation_type", "currency"]
        rest = [
            "count(*) AS rows",
            'min("start") AS "start"',
            'max("end") AS "end"',
            "sum(minutes) AS minutes",
            "bool_and(is_reconciled) AS is_reconciled",
            "bool_and(is_settled) AS is_settled",
            *(f"sum({name}) AS {name}" for name in serving.MEASURES),
        ]
    else:
        keys += ["currency"]
        rest = [f"sum({name}) AS {name}" for name in serving.CLOUD_MEASURES]
    positions = ", ".join(str(position + 1) for position in range(len(keys)))
    order = ", ".join(str(position + 1) for position in range(len(summary.dimensions) + 1))
    return f"SELECT {', '.join([*keys, *rest])} FROM {source} {where} GROUP BY {positions} ORDER BY {order}"


def _duckdb_type(ibis_type: str) -> str:
    import ibis  # noqa: PLC0415 - as above
    from ibis.backends.sql.datatypes import DuckDBType  # noqa: PLC0415 - slow to load, and only a writer needs it

    return str(DuckDBType.to_string(ibis.dtype(ibis_type)))


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
