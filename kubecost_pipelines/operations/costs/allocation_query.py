"""Query of allocations: the one statement that answers a question, over the smallest sums that know enough.

Shares of idle cost and overhead are columns (`core.shares`), hence sums like any other. Namespaces, labels and a flat
cost are divided among the items themselves, by the same rule (`core.sharing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from kubecost_pipelines.core import serving
from kubecost_pipelines.core.serving import Summary, day_span, idle_share, month_span, tenancy_share
from kubecost_pipelines.core.window import DAY, HOURS_PER_MONTH
from kubecost_pipelines.operations.costs.allocation_names import (
    COLUMNS,
    FIELDS,
    KINDS,
    UNALLOCATED,
    key_of,
    label_columns,
    resolve_aliases,
)
from kubecost_pipelines.operations.costs.filters import (
    EVERYTHING,
    Compiled,
    Condition,
    Filter,
    Group,
    compile_filter,
)
from kubecost_pipelines.operations.costs.questions import HOUR, AllocationQuestion, Hours, Step, set_start, set_windows

if TYPE_CHECKING:
    from kubecost_pipelines.core.sharing import Split

IDLE = "__idle__"
MAX_ITEMS = 200_000
TEXTS = ("cluster", "node", "namespace", "controller", "controller_kind", "pod", "container", "provider_id")

_HOW = {
    "sum": "sum({0})",
    "first": "min({0})",
    "last": "max({0})",
    "all": "bool_and({0})",
    "any": "any_value({0})",
    # What all rows agree on.
    "common": "CASE WHEN min({0}) = max({0}) AND count({0}) = count(*) THEN min({0}) END",
    "currency": "CASE WHEN min({0}) = max({0}) THEN min({0}) ELSE 'mixed' END",
    "only": "CASE WHEN count(*) = 1 THEN any_value({0}) END",
}
_TYPES = {"sum": "float64", "first": "float64", "last": "float64", "all": "boolean"}


@dataclass(frozen=True)
class _Column:
    """One column of the answer: an expression of a row, and how those of several rows become one."""

    name: str
    of_row: str
    how: str

    @property
    def of_rows(self) -> str:
        return f"{_HOW[self.how].format(self.of_row)} AS {self.name}"

    @property
    def of_groups(self) -> str:
        return f"{_HOW[self.how].format(self.name)} AS {self.name}"


@dataclass(frozen=True)
class _Source:
    """Where a question reads: a table and its condition on days."""

    table: str
    where: str
    parameters: list[object]
    rows: str
    """How many rows of the lake one row stands for."""


class AllocationQueries:
    """Compiles questions.

    Args:
        label_keys: the labels that the store keeps sums of.
    """

    def __init__(self, label_keys: Sequence[str]) -> None:
        self._label_columns = label_columns(label_keys)
        self._summaries = [one for one in serving.summaries(label_keys) if one.of == serving.ALLOCATIONS]

    def compile(self, question: AllocationQuestion) -> Compiled:
        """Return the query: `set_start`, `name`, sums as `core.serving` names them, and what the rows have in common.

        The dearest come first in each set.
        """
        items = self._items(question)
        sql, parameters = items.sql, items.parameters
        if _asks_for_idle_of_kept(question):
            idle = self._idle_of_kept(question)
            sql, parameters = f"({sql}) UNION ALL BY NAME ({idle.sql})", [*parameters, *idle.parameters]
        return Compiled(
            f"{sql} ORDER BY set_start, total_cost DESC, name LIMIT {MAX_ITEMS + 1}", parameters, items.columns
        )

    def days_without_hours(self, question: AllocationQuestion) -> Compiled:
        """Return the query for `cluster` and `date` of what a question of hours asks for and only days know."""
        by_day = replace(question, step=Step.DAY)
        wanted = compile_filter(resolve_aliases(question.filter), self._label_columns)
        source = _source(by_day, self._smallest(by_day, {"cluster"} | wanted.columns))
        sql = (
            f"SELECT DISTINCT cluster, date FROM {source.table} WHERE {source.where} AND {wanted.sql} "
            f"EXCEPT SELECT key, day FROM lake_files WHERE stored_in = '{serving.HOURS}' ORDER BY cluster, date"
        )
        return Compiled(sql, [*source.parameters, *wanted.parameters], wanted.columns)

    def _items(self, question: AllocationQuestion) -> Compiled:
        keys = [key_of(one, self._label_columns) for one in question.aggregate]
        wanted = compile_filter(resolve_aliases(question.filter), self._label_columns)
        shared = compile_filter(_shared(question), self._label_columns)
        needed = set[str]().union(wanted.columns, shared.columns, *(key.columns for key in keys))
        if question.is_split_by_node:
            needed.add("node")
        summary = self._smallest(question, needed) if question.aggregate else None
        source = _source(question, summary)
        columns = [*_common(question, summary), *_state(question, source), *_amounts(question)]
        parts = ", ".join(f"coalesce({key.sql}, '{UNALLOCATED}')" for key in keys)
        name = f"concat_ws('/', {parts})" if parts else "name"
        start, parameters = _set_start(question)
        named = f"{start} AS set_start, {_named(question, name)} AS name"
        parameters += [value for key in keys for value in key.parameters]
        if not _shares_items(question):
            where = " AND ".join([source.where, *_kept_types(question), wanted.sql])
            sql = f"SELECT {named}, {_listed(columns)} FROM {source.table} WHERE {where} GROUP BY 1, 2"
            return Compiled(sql, [*parameters, *source.parameters, *wanted.parameters], needed)
        # What a filter leaves out still counts when shared cost is divided.
        where = " AND ".join([source.where, *_kept_types(question)])
        grouped = (
            f"SELECT {named}, allocation_type, ({wanted.sql}) AS is_kept, ({shared.sql}) AS is_shared, "
            f"{_listed(columns)} FROM {source.table} WHERE {where} GROUP BY 1, 2, 3, 4, 5"
        )
        sql = (
            f"WITH grouped AS ({grouped}), divided AS ({_divided(question, columns)}) "
            f"SELECT set_start, name, {', '.join(column.of_groups for column in columns)} FROM divided WHERE is_kept "
            "GROUP BY 1, 2"
        )
        return Compiled(sql, [*parameters, *wanted.parameters, *shared.parameters, *source.parameters], needed)

    def _idle_of_kept(self, question: AllocationQuestion) -> Compiled:
        """Return the idle cost that the workloads which a filter keeps would bear if it were shared, as in Kubecost."""
        wanted = compile_filter(resolve_aliases(question.filter), self._label_columns)
        by_node = {"node"} if question.is_split_by_node else set[str]()
        source = _source(question, self._smallest(question, wanted.columns | by_node))
        shares = _idle_shares(question)
        whole = " + ".join(f"sum({share})" for share in shares.values())
        sums = [f"sum({share}) AS {x}_cost" for x, share in shares.items()]
        start, parameters = _set_start(question)
        sql = (
            f"SELECT {start} AS set_start, {_idle_name(question)} AS name, "
            f"{_listed(_state(question, source))}, {', '.join(sums)}, {whole} AS total_cost FROM {source.table} "
            f"WHERE {source.where} AND allocation_type IN ('workload', 'idle') AND {wanted.sql} "
            f"GROUP BY 1, 2 HAVING abs({whole}) > 1e-12"
        )
        return Compiled(sql, [*parameters, *source.parameters, *wanted.parameters], wanted.columns)

    def _smallest(self, question: AllocationQuestion, needed: set[str]) -> Summary | None:
        if isinstance(question.step, Hours):
            return None  # Few days are kept, and no sums of their hours.
        return next((one for one in self._summaries if needed <= set(one.dimensions)), None)


def _source(question: AllocationQuestion, summary: Summary | None) -> _Source:
    if isinstance(question.step, Hours):
        return _Source(serving.HOURS, "hour >= ? AND hour < ?", [_naive(time) for time in question.bounds], "1")
    first, end = question.days
    if summary is None:
        return _Source(serving.ALLOCATIONS, "date >= ? AND date < ?", [first, end], "1")
    spans = [(day_span(first), day_span(end - DAY))]
    if question.step in (Step.MONTH, Step.QUARTER, Step.ALL):
        inner_first = first if first.day == 1 else set_windows(first, end, Step.MONTH)[0][1]
        inner_end = end.replace(day=1)
        if inner_first < inner_end:
            spans = [(month_span(inner_first), month_span(inner_end - DAY))]
            spans += [(day_span(first), day_span(inner_first - DAY))] if first < inner_first else []
            spans += [(day_span(inner_end), day_span(end - DAY))] if inner_end < end else []
    where = " OR ".join(["span BETWEEN ? AND ?"] * len(spans))
    return _Source(summary.name, f"({where})", [bound for span in spans for bound in span], "rows")


def _set_start(question: AllocationQuestion) -> tuple[str, list[object]]:
    first = question.bounds[0]
    if isinstance(question.step, Hours):
        return f"time_bucket(INTERVAL {question.step.count} HOUR, hour, CAST(? AS TIMESTAMP))", [_naive(first)]
    return set_start(question.step, first)


def _naive(time: date) -> date:
    """Return a UTC time as the store has it."""
    return time.replace(tzinfo=None) if isinstance(time, datetime) else time


def _shared(question: AllocationQuestion) -> Filter:
    namespaces = [Condition(FIELDS["namespace"], None, "equals", name) for name in question.share_namespaces]
    labels = [Condition(FIELDS["label"], key, "equals", value) for key, value in question.share_labels]
    conditions = (*namespaces, *labels)
    return Group("OR", conditions) if conditions else Condition(FIELDS["cluster"], None, "equals", "\0nobody")


def _shares_items(question: AllocationQuestion) -> bool:
    return bool(question.share_namespaces or question.share_labels or question.share_cost)


def _asks_for_idle_of_kept(question: AllocationQuestion) -> bool:
    return question.idle and not question.share_idle and question.filter != EVERYTHING


def _named(question: AllocationQuestion, name: str) -> str:
    return f"CASE WHEN allocation_type = 'idle' THEN {_idle_name(question)} ELSE {name} END"


def _idle_name(question: AllocationQuestion) -> str:
    if not question.split_idle or question.share_idle:
        return f"'{IDLE}'"
    return f"concat_ws('/', cluster, {'node, ' if question.is_split_by_node else ''}'{IDLE}')"


def _kept_types(question: AllocationQuestion) -> list[str]:
    """Return which rows stay: those that give all of theirs away do not."""
    conditions = []
    if question.share_idle:
        conditions.append(f"(allocation_type <> 'idle' OR {' + '.join(_idle_shares(question).values())} <> 0)")
    elif not question.idle or _asks_for_idle_of_kept(question):
        conditions.append("allocation_type <> 'idle'")
    if question.share_tenancy_costs:
        tenancy = tenancy_share(is_reconciled=question.is_reconciled)
        conditions.append(f"(allocation_type <> 'shared' OR {tenancy} <> 0)")
    if not question.external:
        conditions.append("allocation_type <> 'external'")
    return conditions


def _idle_shares(question: AllocationQuestion) -> dict[str, str]:
    return {x: idle_share(x, question.idle_by, is_reconciled=question.is_reconciled) for x in serving.SHARED_IDLE}


def _common(question: AllocationQuestion, summary: Summary | None) -> list[_Column]:
    """Return what the rows of an item have in common."""
    if not question.aggregate:
        lists = [_Column(name, name, "only") for name in ("pvs", "load_balancers")]
        maps = [_Column(name, name, "any") for name in ("services", "labels", "annotations")]
        return [*(_Column(name, name, "common") for name in TEXTS), *lists, *maps]
    named = {COLUMNS.get(one.name, one.name) for one in question.aggregate}
    if named & {"controller", *KINDS}:
        named |= {"controller", "controller_kind"}
    known = set(summary.dimensions) if summary else set(TEXTS)
    # What an item is named after, its rows agree on; idle rows of several nodes are one item.
    agreed = named if len(question.aggregate) == 1 and named <= {"namespace", "pod", "container"} else set[str]()
    return [
        _Column(name, name, "any" if name in agreed else "common")
        for name in TEXTS
        if name in known and name in {*named, "cluster"}
    ]


def _state(question: AllocationQuestion, source: _Source) -> list[_Column]:
    return [
        _Column("rows", source.rows, "sum"),
        _Column('"start"', 'epoch("start")', "first"),
        _Column('"end"', 'epoch("end")', "last"),
        _Column("minutes", "minutes", "sum"),
        _Column("is_reconciled", "is_reconciled" if question.is_reconciled else "false", "all"),
        _Column("is_settled", "is_settled", "all"),
        _Column("currency", "currency", "currency"),
    ]


def _amounts(question: AllocationQuestion) -> list[_Column]:
    amounts = {name: name for name in serving.AMOUNTS}
    if not question.is_reconciled:
        amounts |= dict.fromkeys(serving.ADJUSTMENTS, "0e0")
        amounts["total_cost"] = f"({' - '.join(['total_cost', *serving.ADJUSTMENTS])})"
    if question.share_tenancy_costs:
        # `shared` rows give theirs away and keep what nobody can take.
        tenancy = tenancy_share(is_reconciled=question.is_reconciled)
        for name in ("shared_cost", "total_cost"):
            amounts[name] = f"(CASE WHEN allocation_type = 'shared' THEN 0 ELSE {amounts[name]} END + {tenancy})"
    if question.share_idle:
        shares = _idle_shares(question)
        taken = " + ".join(shares.values())
        amounts["total_cost"] = (
            f"(CASE WHEN allocation_type = 'idle' THEN 0 ELSE {amounts['total_cost']} END + {taken})"
        )
        for x, share in shares.items():
            amounts[f"{x}_cost"] = (
                f"(CASE WHEN allocation_type = 'idle' THEN -({amounts[f'{x}_cost_adjustment']}) ELSE {x}_cost END "
                f"+ {share})"
            )
    return [_Column(name, of_row, "sum") for name, of_row in amounts.items()]


def _listed(columns: Sequence[_Column]) -> str:
    return ", ".join(column.of_rows for column in columns)


def _divided(question: AllocationQuestion, columns: Sequence[_Column]) -> str:
    """Return SQL that divides what is shared among the groups of `grouped`, each set for itself."""
    import ibis  # noqa: PLC0415 - takes a second, and few questions need it

    from kubecost_pipelines.core.sharing import share_costs, share_flat_cost  # noqa: PLC0415 - as above

    is_hourly = isinstance(question.step, Hours)
    schema = {"set_start": "timestamp" if is_hourly else "date", "name": "string", "allocation_type": "string"}
    schema |= {"is_kept": "boolean", "is_shared": "boolean"}
    schema |= {column.name.strip('"'): _TYPES.get(column.how, "string") for column in columns}
    split: Split = "even" if question.is_shared_evenly else "weighted"
    within = ("set_start",)
    rows = share_costs(ibis.table(schema, name="grouped"), lambda rows: rows.is_shared, split, within)
    if question.share_cost:
        rows = share_flat_cost(rows, _flat_cost(question, rows.set_start), split, within)
    return str(ibis.to_sql(rows, dialect="duckdb"))


def _flat_cost(question: AllocationQuestion, set_start: Any) -> Any:
    """Return the flat cost of a set by its start: sets of months differ in length."""
    import ibis  # noqa: PLC0415 - as above

    starts: dict[float, list[date]] = {}
    for start, end in set_windows(*question.bounds, question.step):
        starts.setdefault((end - start) / HOUR, []).append(_naive(start))
    costs = {hours: question.share_cost * hours / HOURS_PER_MONTH for hours in starts}
    (hours, _), *others = starts.items()
    return (
        ibis.cases(*((set_start.isin(known), costs[one]) for one, known in others), else_=costs[hours])
        if others
        else ibis.literal(costs[hours])
    )
