"""Rows: SQL from the files of the lake to the tables of the store."""

from collections.abc import Iterable, Sequence
from functools import cache

import ibis

from kubecost_pipelines.core import serving, tables
from kubecost_pipelines.core.serving import Summary
from kubecost_pipelines.core.shares import with_shares
from kubecost_pipelines.core.tables import label_column

BATCH = "batch"
"""The table with the allocations of some days, before they have their shares."""

_KEPT = (
    *("date", "lake_key", "cluster", "name", "node", "namespace", "pod", "container", "controller"),
    *("controller_kind", "provider_id", "services", "labels", "annotations", "allocation_type"),
    *("minutes", "currency", "pvs", "load_balancers", "is_reconciled", "is_settled", "cost_basis", "start", "end"),
)

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


def lake_rows(table: str, paths: Sequence[str], present: Iterable[str], folder: str) -> str:
    """Return a relation of the lake's rows with every column that the table has now; what files lack is null.

    Args:
        table: of the lake.
        paths: its files.
        present: the columns that they have.
        folder: where the keys of the table begin, with a slash at its end.
    """
    [shape] = [one for one in tables.TABLES if one.name == table]
    kinds = {column.name: duckdb_type(column.type) for column in shape.columns}
    known = set(present)
    columns = [
        f"CAST({identifier(name) if name in known else 'NULL'} AS {kind}) AS {identifier(name)}"
        for name, kind in kinds.items()
    ]
    if table == tables.ALLOCATIONS.name:
        columns += _UNRECONCILED
    extra = [identifier(name) for name in present if name.startswith("label_") and name not in kinds]
    key = f"regexp_extract(filename, '^(.*)/date=[^/]*/[^/]*$', 1)[{len(folder) + 1}:]"
    return (
        f"(SELECT {', '.join([*columns, *extra])}, CAST(date AS DATE) AS date, {key} AS lake_key "
        f"FROM {read_parquet(paths, 'filename = true')})"
    )


def no_rows(table: str) -> str:
    """Return a relation of the shape of `lake_rows` without rows."""
    [shape] = [one for one in tables.TABLES if one.name == table]
    columns = [f"CAST(NULL AS {duckdb_type(c.type)}) AS {identifier(c.name)}" for c in shape.columns]
    return f"(SELECT {', '.join(columns)}, CAST(NULL AS DATE) AS date, CAST(NULL AS VARCHAR) AS lake_key LIMIT 0)"


def read_parquet(paths: Sequence[str], *options: str) -> str:
    """Return the call that reads files of one table."""
    listed = ", ".join(text(path) for path in paths)
    return f"read_parquet({', '.join([f'[{listed}]', 'union_by_name = true', 'hive_partitioning = true', *options])})"


def hourly_source(source: str) -> str:
    """Return a relation of hourly rows as one of daily rows with `hour`, their start; what only days have is null."""
    hour = "date + to_hours(hour)"
    known = {*tables.RECONCILED_ALLOCATIONS_HOURLY.names, "start", "end"}
    lacking = [column for column in tables.RECONCILED_ALLOCATIONS.columns if column.name not in known]
    nulls = [f"CAST(NULL AS {duckdb_type(column.type)}) AS {identifier(column.name)}" for column in lacking]
    times = [
        f'CAST({start} AS TIMESTAMPTZ) AS "{name}"'
        for name, start in (("start", hour), ("end", f"{hour} + INTERVAL 1 HOUR"))
    ]
    return f"(SELECT * REPLACE ({hour} AS hour), {', '.join([*nulls, *times])} FROM {source} ORDER BY hour)"


def allocation_rows(source: str, label_keys: Sequence[str], parts_of_day: Sequence[str] = ()) -> str:
    """Return allocations without their shares: the labels of the settings flattened, averages as sums."""
    flattened = [f"{_label(key)} AS {label_column(key)}" for key in label_keys]
    amounts = [
        f"coalesce({serving.WEIGHTED[name]} * minutes, 0) AS {name}"
        if name in serving.WEIGHTED
        else f"coalesce({name}, 0) AS {name}"
        for name in serving.AMOUNTS
    ]
    return f"SELECT {', '.join([*map(identifier, (*_KEPT, *parts_of_day)), *flattened, *amounts])} FROM {source}"


@cache
def shared_rows(label_keys: tuple[str, ...], parts_of_day: tuple[str, ...] = ()) -> str:
    """Return the rows of `BATCH` with their shares, in the same order."""
    types = {column.name: column.type for column in tables.RECONCILED_ALLOCATIONS.columns}
    schema = {name: types.get(name, "string") for name in _KEPT} | {"date": "date"}
    schema |= dict.fromkeys(parts_of_day, "timestamp")
    schema |= dict.fromkeys(map(label_column, label_keys), "string")
    schema |= dict.fromkeys(serving.AMOUNTS, "float64")
    batch = ibis.table(schema, name=BATCH)
    shared = with_shares(batch, parts_of_day).select(*schema, *serving.SHARES)
    return str(ibis.to_sql(shared, dialect="duckdb"))


def asset_rows(source: str) -> str:
    """Return assets as the store keeps them."""
    left_out = ("start", "end", "bill_rows", "missing_cost_lines")
    names = [name for name in tables.ASSET_COSTS.names if name not in left_out]
    columns = ", ".join([*names, '"start"', '"end"', "date", "lake_key"])
    return f"SELECT {columns} FROM {source} ORDER BY date, cluster, asset_id"


def cloud_rows(source: str) -> str:
    """Return what a bill says of each resource and day, its decimals as float64: 38 digits are slow to add up."""
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
    return f"SELECT {columns} FROM {source} GROUP BY {_first(len(keys))} ORDER BY date, lake_key, service, category"


def summed_days(summary: Summary, where: str = "true") -> str:
    """Return the sums of days, from rows or from a finer summary's days."""
    is_rows = summary.source == summary.of
    when = ["year(date) * 10000 + month(date) * 100 + day(date) AS span" if is_rows else serving.SPAN, "date"]
    return _summed(summary, summary.source, when, where, is_rows=is_rows)


def summed_months(summary: Summary, where: str) -> str:
    """Return the sums of months, from the summary's own days."""
    when = ["span // 100 AS span", "CAST(date_trunc('month', date) AS DATE) AS date"]
    return _summed(summary, summary.name, when, where, is_rows=False)


def _summed(summary: Summary, source: str, when: Sequence[str], where: str, *, is_rows: bool) -> str:
    keys = [*when, *summary.dimensions]
    if summary.of == serving.ALLOCATIONS:
        keys += ["allocation_type", "currency"]
        rest = [
            "count(*) AS rows" if is_rows else "CAST(sum(rows) AS BIGINT) AS rows",
            'min("start") AS "start"',
            'max("end") AS "end"',
            "bool_and(is_reconciled) AS is_reconciled",
            "bool_and(is_settled) AS is_settled",
            *(f"sum({name}) AS {name}" for name in ("minutes", *serving.MEASURES)),
        ]
    else:
        keys += ["currency"]
        rest = [f"sum({name}) AS {name}" for name in serving.CLOUD_MEASURES]
    return (
        f"SELECT {', '.join([*keys, *rest])} FROM {source} WHERE {where} GROUP BY {_first(len(keys))} "
        f"ORDER BY {_first(2 + len(summary.dimensions))}"
    )


def _first(count: int) -> str:
    return ", ".join(str(position + 1) for position in range(count))


def _label(key: str) -> str:
    # Kubecost's labels went through Prometheus: `app.kubernetes.io/name` is `app_kubernetes_io_name` there.
    sanitized = "".join(letter if letter.isalnum() else "_" for letter in key)
    return f"coalesce(labels[{text(key)}], labels[{text(sanitized)}])"


def duckdb_type(ibis_type: str) -> str:
    """Return a type of the lake's tables as DuckDB writes it."""
    from ibis.backends.sql.datatypes import DuckDBType  # noqa: PLC0415 - slow to load

    return str(DuckDBType.to_string(ibis.dtype(ibis_type)))


def identifier(name: str) -> str:
    """Return a name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a text as SQL takes it."""
    return "'" + value.replace("'", "''") + "'"
