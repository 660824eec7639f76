"""Allocations: what workloads cost, grouped, filtered, with idle and shared cost as the question wants them.

Idle and overhead are linear in the rows (`core.serving`), so any grouping adds up to the same total. The smallest sums
that know every column of the question answer it; a question about pods, or about labels that are not in the settings,
reads the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from kubecost_pipelines.core import serving
from kubecost_pipelines.core.serving import Summary, idle_share, tenancy_share
from kubecost_pipelines.core.tables import label_column
from kubecost_pipelines.operations.costs.filters import (
    EVERYTHING,
    Compiled,
    Condition,
    Field,
    Filter,
    Group,
    compile_filter,
    sanitized,
)
from kubecost_pipelines.operations.costs.questions import (
    HOURS_PER_MONTH,
    AllocationQuestion,
    Property,
    QuestionError,
    Step,
    set_start,
    set_windows,
)

IDLE, SHARED, UNALLOCATED = "__idle__", "__shared__", "__unallocated__"
MAX_ITEMS = 200_000

ALIASES = {"department": "department", "environment": "env", "owner": "owner", "product": "app", "team": "team"}
"""Kubecost's business words -> label."""

FIELDS = {
    "cluster": Field("cluster"),
    "node": Field("node"),
    "namespace": Field("namespace"),
    "controllername": Field("controller"),
    "controller": Field("controller"),
    "controllerkind": Field("controller_kind", ignores_case=True),
    "container": Field("container"),
    "pod": Field("pod"),
    "providerid": Field("provider_id"),
    "services": Field("services", "list"),
    "service": Field("services", "list"),
    "label": Field("labels", "map"),
    "annotation": Field("annotations", "map"),
}
"""Fields of `filter`; the aliases come on top."""

V1_FIELDS = {
    "filterClusters": FIELDS["cluster"],
    "filterNodes": FIELDS["node"],
    "filterNamespaces": FIELDS["namespace"],
    "filterControllerKinds": FIELDS["controllerkind"],
    "filterControllers": FIELDS["controller"],
    "filterPods": FIELDS["pod"],
    "filterContainers": FIELDS["container"],
    "filterServices": FIELDS["services"],
    "filterLabels": FIELDS["label"],
    "filterAnnotations": FIELDS["annotation"],
}
KINDS = ("deployment", "statefulset", "daemonset", "job")
PROPERTIES = (
    *("cluster", "node", "namespace", "controllerKind", "controller", "service", "pod", "container", "providerID"),
    *KINDS,
    *ALIASES,
    "label:<name>",
    "annotation:<name>",
)
_COLUMNS = {
    "cluster": "cluster",
    "node": "node",
    "namespace": "namespace",
    "controllerkind": "controller_kind",
    "pod": "pod",
    "container": "container",
    "providerid": "provider_id",
}


class Rows(Protocol):
    """What answers: the serving store."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]: ...


@dataclass
class Item:
    """One item of a set: sums, as `core.serving` names them, and what its rows have in common."""

    name: str
    values: dict[str, Any]

    @property
    def total(self) -> float:
        return float(self.values["total_cost"])


@dataclass
class ItemSet:
    """The items of `[start, end)`, the dearest first."""

    start: date
    end: date
    items: list[Item] = field(default_factory=list)


def parse_aggregate(text: str) -> tuple[Property, ...]:
    """Return what `aggregate` names: `namespace,label:app`; each once, in order.

    Raises:
        QuestionError: a name that allocations do not have.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, colon, key = part.partition(":")
        lowered = name.strip().lower()
        if colon and lowered in ("label", "annotation") and key.strip():
            found.append(Property(lowered, key.strip()))
        elif not colon and (lowered in _COLUMNS or lowered in ("controller", "service", *KINDS, *ALIASES)):
            found.append(Property(lowered))
        else:
            raise QuestionError(f"aggregate: unknown {part[:80]!r}; accepted are {', '.join(PROPERTIES)}")
    return tuple(dict.fromkeys(found))


def filter_fields() -> dict[str, Field]:
    """Return the fields that a v2 filter of allocations may name."""
    return {**FIELDS, **{alias: Field(f"label {key}") for alias, key in ALIASES.items()}}


def v1_fields() -> dict[str, Field]:
    """Return the v1 parameters of allocations."""
    plural = {alias: f"filter{alias.capitalize()}s" for alias in ALIASES}
    return {**V1_FIELDS, **{plural[alias]: Field(f"label {key}") for alias, key in ALIASES.items()}}


@dataclass(frozen=True)
class _Key:
    """One part of an item's name: SQL with its parameters, and the columns it needs."""

    sql: str
    parameters: list[object]
    columns: set[str]


class AllocationCosts:
    """Answers questions about allocations.

    Args:
        rows: the serving store.
        label_keys: the labels that it keeps sums of.
    """

    def __init__(self, rows: Rows, label_keys: Sequence[str]) -> None:
        self._rows = rows
        self._label_columns = {name: label_column(key) for key in label_keys for name in (key, sanitized(key))}
        self._summaries = [one for one in serving.summaries(label_keys) if one.of == serving.ALLOCATIONS]

    def ask(self, question: AllocationQuestion) -> list[ItemSet]:
        """Return one set per step of the window."""
        first, end = question.days
        sets = {start: ItemSet(start, until) for start, until in set_windows(first, end, question.step)}
        if not sets:
            return []
        query = self.compile(question)
        found = self._rows.query(query.sql, query.parameters)
        if len(found) > MAX_ITEMS:
            raise QuestionError(
                f"the answer has more than {MAX_ITEMS:,} items: aggregate, filter, or ask for a shorter window."
            )
        by_set: dict[date, list[dict[str, Any]]] = {start: [] for start in sets}
        for row in found:
            by_set[row.pop("set_start")].append(row)
        for start, one in sets.items():
            hours = (one.end - one.start).days * 24
            one.items = _distribute(by_set[start], question, hours)
        if question.idle and not question.share_idle and question.filter != EVERYTHING:
            self._add_idle(question, sets)
        for one in sets.values():
            one.items.sort(key=lambda item: (-item.total, item.name))
        return list(sets.values())

    def _add_idle(self, question: AllocationQuestion, sets: dict[date, ItemSet]) -> None:
        """Add the idle cost that the filtered workloads would bear if it were shared, as Kubecost does."""
        for one in sets.values():
            one.items = [item for item in one.items if item.name.rpartition("/")[2] != IDLE]
        wanted = compile_filter(_resolve_aliases(question.filter), self._label_columns)
        needed = wanted.columns | ({"node"} if question.split_idle and question.idle_by_node else set())
        source, source_parameters = self._source(question, self._smallest(needed))
        by = "node" if question.idle_by_node else "cluster"
        shares = {x: f"sum({idle_share(x, by, is_reconciled=question.is_reconciled)})" for x in serving.SHARED_IDLE}
        name = _idle_name(question)
        sql = (
            f"SELECT {set_start(question.step).format(first=question.days[0])} AS set_start, {name} AS name, "
            f"{', '.join(f'{share} AS {x}' for x, share in shares.items())}, {_STATE} FROM {source} "
            f"WHERE allocation_type IN ('workload', 'idle') AND {wanted.sql} GROUP BY 1, 2"
        )
        for row in self._rows.query(sql, [*source_parameters, *wanted.parameters]):
            start, item = row.pop("set_start"), Item(row.pop("name"), _empty())
            costs = {f"{x}_cost": row.pop(x) for x in serving.SHARED_IDLE}
            item.values |= {**row, **costs, "total_cost": sum(costs.values())}
            if abs(item.total) > 1e-12:
                sets[start].items.append(item)

    def compile(self, question: AllocationQuestion) -> Compiled:
        """Return the one query that answers, before fixed cost and namespaces are shared."""
        keys = [self._key(one) for one in question.aggregate]
        wanted = compile_filter(_resolve_aliases(question.filter), self._label_columns)
        shared = compile_filter(_shared(question), self._label_columns)
        needed = set[str]().union(wanted.columns, shared.columns, *(key.columns for key in keys))
        if question.split_idle and question.idle_by_node and not question.share_idle:
            needed.add("node")
        is_whole = not question.aggregate
        summary = None if is_whole else self._smallest(needed)
        shares_any = bool(question.share_namespaces or question.share_labels or question.share_cost)

        name, name_parameters = _name(question, keys)
        measures = _measures(question)
        first, _ = question.days
        source, source_parameters = self._source(question, summary)
        columns = _common(question, summary)
        parameters: list[object] = []
        selected = [f"{set_start(question.step).format(first=first)} AS set_start", f"{name} AS name"]
        parameters += name_parameters
        if shares_any:
            # What is left out still counts when shared cost is divided.
            selected += [f"({wanted.sql}) AS is_kept", f"({shared.sql}) AS is_shared"]
            parameters += [*wanted.parameters, *shared.parameters]
        grouped = ", ".join(str(position + 1) for position in range(len(selected) + 1))
        selected.append("allocation_type")
        selected += [*columns, *measures]
        where, where_parameters = _where(question, wanted, keeps_all=shares_any)
        sql = f"SELECT {', '.join(selected)} FROM {source} WHERE {where} GROUP BY {grouped} LIMIT {MAX_ITEMS + 1}"
        return Compiled(sql, [*parameters, *source_parameters, *where_parameters], needed)

    def _smallest(self, needed: set[str]) -> Summary | None:
        return next((one for one in self._summaries if needed <= set(one.dimensions)), None)

    def _source(self, question: AllocationQuestion, summary: Summary | None) -> tuple[str, list[object]]:
        first, end = question.days
        if summary is None:
            return "(SELECT *, 1 AS rows FROM allocations WHERE date >= ? AND date < ?)", [first, end]
        by_day = f"(SELECT * FROM {summary.name} WHERE date >= ? AND date < ?)"
        if question.step not in (Step.MONTH, Step.QUARTER, Step.ALL):
            return by_day, [first, end]
        inner_first = first if first.day == 1 else set_windows(first, end, Step.MONTH)[0][1]
        inner_end = end.replace(day=1)
        if inner_first >= inner_end:
            return by_day, [first, end]
        return (
            f"(SELECT * FROM {summary.of_months} WHERE date >= ? AND date < ? "
            f"UNION ALL SELECT * FROM {summary.name} WHERE (date >= ? AND date < ?) OR (date >= ? AND date < ?))",
            [inner_first, inner_end, first, inner_first, inner_end, end],
        )

    def _key(self, wanted: Property) -> _Key:
        if wanted.name in _COLUMNS:
            column = _COLUMNS[wanted.name]
            return _Key(f"nullif({column}, '')", [], {column})
        if wanted.name == "controller":
            return _Key(
                "CASE WHEN coalesce(controller_kind, '') = '' THEN nullif(controller, '') "
                "ELSE controller_kind || ':' || controller END",
                [],
                {"controller", "controller_kind"},
            )
        if wanted.name == "service":
            return _Key("services[1]", [], {"services"})
        if wanted.name in KINDS:
            sql = f"CASE WHEN lower(controller_kind) = '{wanted.name}' THEN controller END"
            return _Key(sql, [], {"controller", "controller_kind"})
        is_alias = wanted.name in ALIASES
        key = ALIASES[wanted.name] if is_alias else wanted.key or ""
        column = "annotations" if wanted.name == "annotation" else "labels"
        if column == "labels" and (flattened := self._label_columns.get(key)):
            value, parameters, columns = f"nullif({flattened}, '')", list[object](), {flattened}
        else:
            value, parameters = f"nullif(coalesce({column}[?], {column}[?]), '')", [key, sanitized(key)]
            columns = {column}
        # A label's item is named `app=web`, a business word's only by its value.
        return _Key(
            value if is_alias else f"(? || '=' || {value})", parameters if is_alias else [key, *parameters], columns
        )


def _resolve_aliases(wanted: Filter) -> Filter:
    if isinstance(wanted, Group):
        return Group(wanted.joined_by, tuple(_resolve_aliases(part) for part in wanted.parts))
    if wanted.field.column.startswith("label "):
        key = wanted.field.column.removeprefix("label ")
        return Condition(FIELDS["label"], key, wanted.operator, wanted.value, wanted.is_negated)
    return wanted


def _shared(question: AllocationQuestion) -> Filter:
    namespaces = [Condition(FIELDS["namespace"], None, "equals", name) for name in question.share_namespaces]
    labels = [Condition(FIELDS["label"], key, "equals", value) for key, value in question.share_labels]
    conditions = (*namespaces, *labels)
    return Group("OR", conditions) if conditions else Condition(FIELDS["cluster"], None, "equals", "\0nobody")


def _name(question: AllocationQuestion, keys: Sequence[_Key]) -> tuple[str, list[object]]:
    parts = [f"coalesce({key.sql}, '{UNALLOCATED}')" for key in keys]
    name = f"concat_ws('/', {', '.join(parts)})" if parts else "name"
    sql = f"CASE WHEN allocation_type = 'idle' THEN {_idle_name(question)} ELSE {name} END"
    return sql, [value for key in keys for value in key.parameters]


def _idle_name(question: AllocationQuestion) -> str:
    if not question.split_idle or question.share_idle:
        return f"'{IDLE}'"
    return f"concat_ws('/', cluster, {'node, ' if question.idle_by_node else ''}'{IDLE}')"


def _where(question: AllocationQuestion, wanted: Compiled, *, keeps_all: bool) -> tuple[str, list[object]]:
    conditions = ["true"]
    if not question.idle and not question.share_idle:
        conditions.append("allocation_type <> 'idle'")
    if not question.external:
        conditions.append("allocation_type <> 'external'")
    if question.filter != EVERYTHING and not keeps_all:
        conditions.append(wanted.sql)
        return " AND ".join(conditions), wanted.parameters
    return " AND ".join(conditions), []


def _common(question: AllocationQuestion, summary: Summary | None) -> list[str]:
    """Return what the rows of an item have in common."""
    texts = ("cluster", "node", "namespace", "controller", "controller_kind", "pod", "container", "provider_id")
    known = set(summary.dimensions) if summary else set(texts)
    named = {column for one in question.aggregate for column in (_COLUMNS.get(one.name, one.name),)}
    if named & {"controller", *KINDS}:
        named |= {"controller", "controller_kind"}
    wanted = texts if not question.aggregate else ("cluster", *(t for t in texts if t in named and t != "cluster"))
    columns = [
        f"CASE WHEN min({t}) = max({t}) AND count({t}) = count(*) THEN min({t}) END AS {t}"
        for t in wanted
        if t in known
    ]
    if not question.aggregate:
        columns += [f"CASE WHEN count(*) = 1 THEN any_value({one}) END AS {one}" for one in ("pvs", "load_balancers")]
        columns += [f"any_value({one}) AS {one}" for one in ("services", "labels", "annotations")]
    return columns


def _measures(question: AllocationQuestion) -> list[str]:
    is_reconciled = question.is_reconciled
    sums = {name: f"sum({name})" for name in serving.AMOUNTS}
    if not is_reconciled:
        total = " - ".join(["sum(total_cost)", *(f"sum({name})" for name in serving.ADJUSTMENTS)])
        sums |= dict.fromkeys(serving.ADJUSTMENTS, "0e0") | {"total_cost": f"({total})"}
    by = "node" if question.idle_by_node else "cluster"
    shares = {x: f"sum({idle_share(x, by, is_reconciled=is_reconciled)})" for x in serving.SHARED_IDLE}
    tenancy = f"sum({tenancy_share(is_reconciled=is_reconciled)})"
    added = list[str]()
    if question.share_tenancy_costs:
        # `shared` rows give theirs away and keep what nobody can take.
        sums["shared_cost"] = f"(CASE WHEN allocation_type = 'shared' THEN 0 ELSE sum(shared_cost) END + {tenancy})"
        added.append(f"CASE WHEN allocation_type = 'shared' THEN -({sums['total_cost']}) ELSE 0 END + {tenancy}")
    if question.share_idle:
        for x, share in shares.items():
            idle = f"CASE WHEN allocation_type = 'idle' THEN -(sum({x}_cost)%s) ELSE 0 END + {share}"
            with_adjustment = f" + sum({x}_cost_adjustment)" if is_reconciled else ""
            moved = f"({idle % with_adjustment})"
            sums[f"{x}_cost"] = f"(sum({x}_cost) + {moved})"
            added.append(moved)
    if added:
        sums["total_cost"] = f"({' + '.join([sums['total_cost'], *added])})"
    return [
        _STATE if is_reconciled else _STATE.replace("bool_and(is_reconciled)", "false"),
        *(f"{sql} AS {name}" for name, sql in sums.items()),
        *(f"{share} AS {x}_idle" for x, share in shares.items()),
    ]


_STATE = (
    'sum(rows) AS rows, min("start") AS "start", max("end") AS "end", sum(minutes) AS minutes, '
    "bool_and(is_reconciled) AS is_reconciled, bool_and(is_settled) AS is_settled, "
    "CASE WHEN min(currency) = max(currency) THEN min(currency) ELSE 'mixed' END AS currency"
)


def _distribute(rows: list[dict[str, Any]], question: AllocationQuestion, hours: int) -> list[Item]:
    """Merge the types of a name, divide what is shared, and leave out what is nothing."""
    kept: dict[str, dict[str, Any]] = {}
    weights: dict[str, float] = {}
    whole, pool = 0.0, question.share_cost * hours / HOURS_PER_MONTH
    names = set[str]()
    for row in rows:
        type_, name = row.pop("allocation_type"), row.pop("name") or UNALLOCATED
        is_kept, is_shared = row.pop("is_kept", True), row.pop("is_shared", False)
        if is_shared and type_ == "workload":
            pool += row["total_cost"]
            continue
        if type_ == "workload":
            whole += row["total_cost"]
            names.add(name)
            if is_kept:
                weights[name] = weights.get(name, 0.0) + row["total_cost"]
        is_given_away = (type_ == "idle" and question.share_idle) or (
            type_ == "shared" and question.share_tenancy_costs
        )
        if is_kept and not (is_given_away and abs(row["total_cost"]) < 1e-12):
            kept[name] = _merged(kept[name], row) if name in kept else row
    if pool:
        if question.is_shared_evenly:
            weights, whole = dict.fromkeys(weights, 1.0), float(len(names))
        if whole > 0:
            for name, weight in weights.items():
                kept[name]["shared_cost"] += pool * weight / whole
                kept[name]["total_cost"] += pool * weight / whole
        elif not names:
            kept[SHARED] = _empty() | {"shared_cost": pool, "total_cost": pool}
    return [Item(name, values) for name, values in kept.items()]


def _empty() -> dict[str, Any]:
    sums = dict.fromkeys((*serving.AMOUNTS, *(f"{x}_idle" for x in serving.SHARED_IDLE)), 0.0)
    unknown = {"rows": 0, "start": None, "end": None, "minutes": 0.0, "currency": None}
    return {**unknown, "is_reconciled": False, "is_settled": False, **sums}


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = dict[str, Any]()
    for name, value in one.items():
        more = other.get(name)
        if name in ("is_reconciled", "is_settled"):
            merged[name] = bool(value and more)
        elif name in ("start", "end"):
            known = [time for time in (value, more) if time is not None]
            merged[name] = (min(known) if name == "start" else max(known)) if known else None
        elif name == "currency":
            merged[name] = value if value == more else "mixed"
        elif isinstance(value, int | float):
            merged[name] = value + (more or 0)
        else:
            merged[name] = value if value == more else None
    return merged
