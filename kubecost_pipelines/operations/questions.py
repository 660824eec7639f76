"""Questions: what the dashboard asks of the lake, in SQL that DuckDB and Athena both run.

The text that is run is the text that is shown: only the names of the tables differ. Whatever a reader typed is in it as
a quoted literal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import indent
from typing import Literal

from kubecost_pipelines.core.tables import ADJUSTED_RESOURCES, label_column
from kubecost_pipelines.core.window import Window

Dialect = Literal["duckdb", "athena"]

ATHENA_DATABASE = "kubecost"

_FOLDERS: Mapping[str, int] = {
    "asset_costs": 0,
    "reconciled_allocations": 1,
    "cloud_billing": 2,
    "cloud_assets": 2,
    "reconciled_assets": 2,
    "connection_status": 2,
    "allocations": 1,
}
"""Folders between a table's own and its days: none, the cluster, or provider and account."""

_CLOUDS = {"aws": "AWS", "gcp": "Google Cloud", "azure": "Microsoft"}
_OUTSIDE = "Out of clusters"


@dataclass(frozen=True)
class Question:
    """A query whose tables stand under their own names: `FROM asset_costs`."""

    title: str
    tables: tuple[str, ...]
    sql: str

    def for_duckdb(self, lake: str) -> str:
        """Return the query over the lake's files."""
        named = ",\n".join(f"{table} AS (\n{indent(_files(lake, table), '    ')}\n)" for table in self.tables)
        head, body = ("WITH ", self.sql.removeprefix("WITH ")) if self.sql.startswith("WITH ") else ("WITH ", self.sql)
        joint = ",\n" if self.sql.startswith("WITH ") else "\n"
        return f"-- {self.title}\n{head}{named}{joint}{body};\n"

    def for_athena(self) -> str:
        """Return the query over tables of those names in Athena (docs/dashboard.md tells how they are made)."""
        sql = self.sql
        for table in self.tables:
            sql = sql.replace(f"FROM {table}", f"FROM {ATHENA_DATABASE}.{table}")
        return f"-- {self.title}\n{sql};\n"


def spend(by: str, window: Window, cost_column: str) -> Question:
    """Ask what each day cost, in clusters and out of them, by `cluster`, `cloud` or `service`."""
    return Question(
        f"Cost per day by {by}, {window.in_words}",
        ("asset_costs", "cloud_assets"),
        f"""\
SELECT date, name, is_in_cluster, sum(cost) AS cost
FROM (
{_everything(by, cost_column)}
) AS costs
WHERE {_days(window)}
GROUP BY date, name, is_in_cluster
ORDER BY date, cost DESC, name""",
    )


def months(window: Window, before: Window, cost_column: str) -> Question:
    """Ask what each cluster, and what lies out of them, cost in the days of `window` and in those of `before`."""
    now, then = _days(window), _days(before)
    return Question(
        f"Cost by cluster, {window.in_words} and {before.in_words}",
        ("asset_costs", "cloud_assets"),
        f"""\
SELECT name,
       sum(CASE WHEN {now} THEN cost ELSE 0 END) AS cost,
       sum(CASE WHEN {then} THEN cost ELSE 0 END) AS cost_before
FROM (
{_everything("cluster", cost_column)}
) AS costs
WHERE {now}
   OR {then}
GROUP BY name
ORDER BY cost DESC, name""",
    )


def _everything(by: str, cost_column: str) -> str:
    """Return what is in clusters and what is not, as rows with `date`, `name`, `is_in_cluster` and `cost`."""
    inside, outside = {
        "cluster": ("cluster", text(_OUTSIDE)),
        "cloud": (f"CASE provider {_cases(_CLOUDS)} ELSE 'On premises' END", "provider_name"),
        "service": ("'Kubernetes ' || asset_type", "service_name"),
    }[by]
    return f"""\
    SELECT date, {inside} AS name, true AS is_in_cluster, total_cost AS cost
    FROM asset_costs
    UNION ALL
    SELECT date, {outside}, false, CAST({cost_column} AS double)
    FROM cloud_assets"""


def conservation(window: Window, cost_column: str) -> Question:
    """Ask, per bill, whether what clusters claim and what none claims add up to it, in exact decimals."""
    parts = ("cloud_billing", "reconciled_assets", "cloud_assets")
    union = "\n    UNION ALL\n".join(
        f"""\
    SELECT store_provider, store_account, date, '{table}' AS part, {cost_column} AS cost
    FROM {table}"""
        for table in parts
    )
    sums = ",\n       ".join(
        f"sum(CASE WHEN part = '{table}' THEN cost ELSE 0 END) AS {name}"
        for table, name in zip(parts, ("bill", "in_clusters", "out_of_clusters"), strict=True)
    )
    return Question(
        f"Conservation of each bill, {window.in_words}",
        parts,
        f"""\
SELECT store_provider || '/' || store_account AS bill_of, count(DISTINCT date) AS days,
       {sums},
       sum(CASE WHEN part = 'cloud_billing' THEN cost ELSE -cost END) AS difference
FROM (
{union}
) AS parts
WHERE {_days(window)}
GROUP BY store_provider, store_account
ORDER BY bill DESC""",
    )


def workloads(
    kind: str, group: str, filters: Mapping[str, str], window: Window, dialect: Dialect = "duckdb"
) -> Question:
    """Ask what workloads cost by `group` (a column, or `label:<key>`), per day or over all of them.

    Of `filters`, `label` is `key:value`, and `idle` leaves idle cost out where it is `hidden`.
    """
    name = _label(group[6:], dialect) if group.startswith("label:") else _NAMES.get(group, group)
    named = f"CASE WHEN allocation_type = 'idle' THEN '__idle__' ELSE coalesce({name}, '__unallocated__') END"
    where = [_days(window)]
    where += [f"{column} = {text(value)}" for column, value in filters.items() if column not in ("label", "idle")]
    if filters.get("idle") == "hidden":
        where.append("allocation_type <> 'idle'")
    if "label" in filters:
        key, _, value = filters["label"].partition(":")
        where.append(f"{_label(key, dialect)} = {text(value)}")
    day = "date, " if kind == "daily" else ""
    # What of the idle cost some workloads bear takes what each has of its cluster: the API does it.
    idle = ""
    if filters.get("idle") == "shared":
        idle = ", idle cost apart"
    elif filters.keys() - {"cluster", "idle"} and filters.get("idle") != "hidden":
        idle = ", without the idle cost that they would bear"
    return Question(
        f"Cost of workloads by {group}, {window.in_words}{idle}",
        ("reconciled_allocations",),
        f"""\
SELECT {day}{named} AS name,
       sum(cpu_cost + cpu_cost_adjustment) AS cpu, sum(ram_cost + ram_cost_adjustment) AS ram,
       sum(gpu_cost + gpu_cost_adjustment) AS gpu, sum(pv_cost + pv_cost_adjustment) AS volumes,
       sum(network_cost + network_cost_adjustment + load_balancer_cost + load_balancer_cost_adjustment) AS network,
       sum(shared_cost) AS shared, sum(external_cost) AS external,
       sum(total_cost) AS total
FROM reconciled_allocations
WHERE {_and(where)}
GROUP BY {"1, 2" if day else "1"}
ORDER BY {"date, " if day else ""}total DESC""",
    )


_NAMES = {"controller": "coalesce(controller_kind || ':' || controller, controller)"}
"""Kubecost names a controller with its kind."""


def assets(kind: str, asset_type: str, cluster: str, window: Window) -> Question:
    """Ask what assets were estimated at and cost: one by one, or per day and type."""
    where = [_days(window)]
    where += [f"asset_type = {text(asset_type)}"] if asset_type else []
    where += [f"cluster = {text(cluster)}"] if cluster else []
    columns = "date, asset_type" if kind == "daily" else "cluster, asset_type, name, provider_id"
    rule = "" if kind == "daily" else ", max(match_rule) AS match_rule"
    return Question(
        f"Assets, estimated and billed, {window.in_words}",
        ("asset_costs",),
        f"""\
SELECT {columns}{rule},
       sum(cost) AS estimate, sum(adjustment) AS adjustment, sum(total_cost) AS total
FROM asset_costs
WHERE {_and(where)}
GROUP BY {columns}
ORDER BY {"date, " if kind == "daily" else ""}total DESC""",
    )


BILL_COLUMNS = {
    "service": "service_name",
    "accountID": "sub_account_id",
    "invoiceEntityID": "billing_account_id",
    "provider": "provider_name",
    "category": "category",
}
_BILL_COSTS = {
    "amortizedNetCost": "effective_cost",
    "amortizedCost": "amortized_cost",
    "netCost": "net_cost",
    "invoicedCost": "invoiced_cost",
    "listCost": "list_cost",
}


def cloud_costs(kind: str, group: str, metric: str, filters: Mapping[str, str], window: Window) -> Question:
    """Ask what was billed by `group`, and how much of it is Kubernetes."""
    name = label_column(group[6:]) if group.startswith("label:") else BILL_COLUMNS[group]
    cost = _BILL_COSTS[metric]
    where = [_days(window), *(f"{BILL_COLUMNS[column]} = {text(value)}" for column, value in filters.items())]
    day = "date, " if kind == "daily" else ""
    return Question(
        f"Cloud costs by {group}, {window.in_words}",
        ("cloud_billing",),
        f"""\
SELECT {day}coalesce({name}, '__unallocated__') AS name, sum({cost}) AS cost,
       sum(CASE WHEN is_kubernetes THEN {cost} ELSE 0 END) AS kubernetes
FROM cloud_billing
WHERE {_and(where)}
GROUP BY {"1, 2" if day else "1"}
ORDER BY {"date, " if day else ""}cost DESC""",
    )


def reasons(given: Mapping[str, str]) -> Question:
    """Ask what each container of a pod or namespace cost on a day, or what one asset did."""
    day = f"date = DATE {text(given['date'])}"
    if given.get("type"):
        named = [f"{column} = {text(given[key])}" for column, key in _OF_ASSET if given.get(key)]
        return Question(
            "An asset's estimate, adjustment and billed cost",
            ("asset_costs",),
            f"""\
SELECT cluster, asset_type, name, provider_id, match_rule, provider_key, bill_rows,
       cost AS estimate, adjustment, total_cost, is_reconciled
FROM asset_costs
WHERE {_and([day, *named])}""",
        )
    named = [f"{column} = {text(given[column])}" for column in ("cluster", "namespace", "pod") if given.get(column)]
    parts = ",\n       ".join(f"{name}_cost, {name}_cost_adjustment" for name in ADJUSTED_RESOURCES)
    return Question(
        "What each container cost, estimate and adjustment apart",
        ("reconciled_allocations",),
        f"""\
SELECT namespace, pod, container, node,
       {parts},
       shared_cost, external_cost, total_cost, is_reconciled
FROM reconciled_allocations
WHERE {_and([day, *named])}
ORDER BY total_cost DESC""",
    )


_OF_ASSET = (("cluster", "cluster"), ("asset_type", "type"), ("name", "asset"))


def connections() -> Question:
    """Ask for the last check of every bill."""
    return Question(
        "The last check of every bill",
        ("connection_status",),
        """\
SELECT provider_key, status, since, checked_at, detail, cure
FROM (
    SELECT *, row_number() OVER (PARTITION BY provider_key ORDER BY checked_at DESC) AS newest
    FROM connection_status
) AS checks
WHERE newest = 1
ORDER BY provider_key""",
    )


def collected(table: str) -> Question:
    """Ask which days a table has, and how many rows."""
    return Question(
        "The days that are there",
        (table,),
        f"""\
SELECT date, count(*) AS rows
FROM {table}
GROUP BY date
ORDER BY date""",
    )


def text(value: str) -> str:
    """Return `value` as a literal of SQL."""
    return "'" + value.replace("'", "''") + "'"


def _cases(names: Mapping[str, str]) -> str:
    return " ".join(f"WHEN {text(key)} THEN {text(name)}" for key, name in names.items())


def _days(window: Window) -> str:
    days = window.days
    if not days:
        return "false"
    return f"date BETWEEN DATE '{days[0]}' AND DATE '{days[-1]}'"


def _and(conditions: list[str]) -> str:
    return "\n  AND ".join(conditions)


def _label(key: str, dialect: Dialect) -> str:
    # A key that a map lacks is an error in Athena's `[]`, and null in DuckDB's.
    return f"labels[{text(key)}]" if dialect == "duckdb" else f"element_at(labels, {text(key)})"


def _files(lake: str, table: str) -> str:
    depth = _FOLDERS[table]
    path = text(f"{lake}/{table}/{'*/' * (depth + 1)}data.parquet")
    options = "hive_partitioning = true, union_by_name = true"
    if depth < 2:
        return f"FROM read_parquet({path}, {options})"
    keys = "split_part(filename, '/', -4) AS store_provider, split_part(filename, '/', -3) AS store_account"
    return f"SELECT *, {keys}\nFROM read_parquet({path}, {options}, filename = true)"
