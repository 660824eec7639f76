r"""Filters: Kubecost's two languages, text to conditions, conditions to SQL with parameters.

v2, `filter=`: `namespace:"kube-system","web"+label[app]!:"x"`, joined by `+` (and) or `|` (or), parentheses where both
are used. v1, a parameter per field: `filterNamespaces=kube-system,web*`, where `*` at the end takes every name that
begins so. When `filter` is given, v1 is not read. Grammar: https://docs.kubecost.com/apis/filters-api
That grammar cannot name what has a quotation mark in it: here `\"` is one, `\\` a backslash, any other `\` is itself.
No text of a question ever becomes SQL: fields are looked up in a table, values are parameters.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MAX_LENGTH, MAX_DEPTH, MAX_CONDITIONS = 16_384, 32, 500


class FilterError(ValueError):
    """The filter cannot be understood; the message names the place and what is accepted."""


@dataclass(frozen=True)
class Field:
    """One field of a filter: the column it looks at, and of which kind that is."""

    column: str
    kind: str = "text"
    """`text`, `list` or `map`."""
    ignores_case: bool = False


@dataclass(frozen=True)
class Condition:
    """`<field>[<key>] <operator> <value>`; `operator` is equals, contains, starts or ends."""

    field: Field
    key: str | None
    operator: str
    value: str
    is_negated: bool = False


@dataclass(frozen=True)
class Group:
    """Conditions that must all hold, or of which one must."""

    joined_by: str
    parts: "tuple[Group | Condition, ...]"


Filter = Group | Condition
EVERYTHING = Group("AND", ())

_TOKEN = re.compile(
    r"""\s*(?:(?P<op>!?(?:<~|~>|~)?:)|(?P<text>"(?:[^"\\]|\\["\\]|\\(?!["\\]))*")"""
    r"""|(?P<key>\[[^\]]*\])|(?P<mark>[(),+|])|(?P<word>[\w-]+))"""
)
_ESCAPED = re.compile(r"""\\(["\\])""")
_OPERATORS = {"": "equals", "~": "contains", "<~": "starts", "~>": "ends"}


@dataclass
class _Reader:
    source: str
    fields: Mapping[str, Field]
    tokens: list[tuple[str, str, int]] = field(default_factory=list)
    at: int = 0
    conditions: int = 0

    def read(self) -> Filter:
        self._split()
        found = self._expression(0)
        if self.at < len(self.tokens):
            raise self._error("expected `+`, `|` or the end")
        return found

    def _split(self) -> None:
        position = 0
        while self.source[position:].strip():
            found = _TOKEN.match(self.source, position)
            if not found:
                raise FilterError(
                    f"illegal filter at character {position + 1}: {_shown(self.source[position:])}. {self._help()}"
                )
            kind = found.lastgroup or ""
            self.tokens.append((kind, found[kind], position))
            position = found.end()

    def _expression(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise FilterError(f"illegal filter: more than {MAX_DEPTH} parentheses in one another")
        parts, mark = [self._part(depth)], ""
        while self._peek()[1] in ("+", "|") and self._peek()[0] == "mark":
            joined_by = self._next()[1]
            if mark and joined_by != mark:
                raise self._error("`+` and `|` side by side: put one of them into parentheses")
            mark = joined_by
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else Group("OR" if mark == "|" else "AND", tuple(parts))

    def _part(self, depth: int) -> Filter:
        if self._peek()[:2] == ("mark", "("):
            self._next()
            inner = self._expression(depth + 1)
            if self._peek()[:2] != ("mark", ")"):
                raise self._error("expected `)`")
            self._next()
            return inner
        return self._comparison()

    def _comparison(self) -> Filter:
        kind, name, _ = self._peek()
        known = self.fields.get(name.lower()) if kind == "word" else None
        if not known:
            raise self._error(f"expected a field, one of {', '.join(sorted(self.fields))}")
        self._next()
        key = None
        if self._peek()[0] == "key":
            if known.kind != "map":
                raise self._error(f"`{name}` takes no key")
            key = self._next()[1][1:-1].strip()
        if self._peek()[0] != "op":
            raise self._error("expected an operator: : !: ~: !~: <~: !<~: ~>: !~>:")
        operator = self._next()[1].removesuffix(":")
        is_negated, operator = operator.startswith("!"), _OPERATORS[operator.removeprefix("!")]
        values = [self._value()]
        while self._peek()[:2] == ("mark", ","):
            self._next()
            values.append(self._value())
        self.conditions += len(values)
        if self.conditions > MAX_CONDITIONS:
            raise FilterError(f"illegal filter: more than {MAX_CONDITIONS} conditions")
        parts = tuple(Condition(known, key, operator, value, is_negated) for value in values)
        return parts[0] if len(parts) == 1 else Group("AND" if is_negated else "OR", parts)

    def _value(self) -> str:
        kind, value, _ = self._peek()
        if kind != "text":
            raise self._error('expected a value in quotation marks, such as "web"')
        self._next()
        return _ESCAPED.sub(r"\1", value[1:-1])

    def _peek(self) -> tuple[str, str, int]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "", len(self.source))

    def _next(self) -> tuple[str, str, int]:
        token = self._peek()
        self.at += 1
        return token

    def _error(self, what: str) -> FilterError:
        _, found, position = self._peek()
        return FilterError(
            f"illegal filter at character {position + 1} ({_shown(found) or 'the end'}): {what}. {self._help()}"
        )

    def _help(self) -> str:
        first = next(iter(sorted(self.fields)), "field")
        return f'A filter reads like {first}:"a","b"+label[app]!:"c".'


def parse_filter(text: str, fields: Mapping[str, Field]) -> Filter:
    """Return what a v2 expression says.

    Args:
        text: the parameter `filter`; empty takes everything.
        fields: names in lower case -> field.

    Raises:
        FilterError: with the place and what is accepted there.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"illegal filter: {len(text)} characters, at most {MAX_LENGTH} are read")
    return _Reader(text, fields).read() if text.strip() else EVERYTHING


def parse_v1(given: Mapping[str, str], names: Mapping[str, Field]) -> Filter:
    """Return what v1 parameters say, all of which must hold.

    Args:
        given: parameter -> comma list.
        names: parameter, such as `filterNamespaces` -> field.
    """
    parts: list[Filter] = []
    for name, known in names.items():
        values = [value.strip() for value in given.get(name, "").split(",") if value.strip()]
        if len(values) > MAX_CONDITIONS:
            raise FilterError(f"{name}: more than {MAX_CONDITIONS} values")
        if values:
            parts.append(Group("OR", tuple(_v1_condition(name, known, value) for value in values)))
    return Group("AND", tuple(parts)) if parts else EVERYTHING


def _v1_condition(name: str, known: Field, value: str) -> Filter:
    key = None
    if known.kind == "map":
        key, colon, value = value.partition(":")
        if not colon:
            raise FilterError(f"{name}: expected `key:value`, got {_shown(key)}")
        key, value = key.strip(), value.strip()
    elif name == "filterControllers" and ":" in value:
        # `deployment:web`, as controllers are named in answers.
        kind, _, controller = value.partition(":")
        return Group(
            "AND",
            (Condition(Field("controller_kind"), None, "equals", kind), _v1_condition(name, known, controller)),
        )
    if value.endswith("*"):
        return Condition(known, key, "starts", value[:-1])
    return Condition(known, key, "equals", value)


UNALLOCATED = "__unallocated__"


@dataclass
class Compiled:
    """A condition of SQL, and the values of its question marks in order."""

    sql: str
    parameters: list[object]
    columns: set[str]
    """Columns that it looks at; `None` stands for columns that no summary has."""


def compile_filter(wanted: Filter, label_columns: Mapping[str, str]) -> Compiled:
    """Return the filter as SQL.

    Args:
        wanted: what must hold.
        label_columns: label key -> column that holds it flattened.
    """
    if isinstance(wanted, Condition):
        return _compile_condition(wanted, label_columns)
    compiled = [compile_filter(part, label_columns) for part in wanted.parts]
    return Compiled(
        f"({f' {wanted.joined_by} '.join(part.sql for part in compiled)})" if compiled else "true",
        [value for part in compiled for value in part.parameters],
        set().union(*(part.columns for part in compiled)) if compiled else set(),
    )


def sanitized(key: str) -> str:
    """Return a label key as Prometheus keeps it, and with it Kubecost."""
    return re.sub(r"[^A-Za-z0-9_]", "_", key)


_TESTS = {
    "equals": "{column} = {value}",
    "contains": "contains({column}, {value})",
    "starts": "starts_with({column}, {value})",
    "ends": "ends_with({column}, {value})",
}


def _compile_condition(condition: Condition, label_columns: Mapping[str, str]) -> Compiled:
    known, parameters = condition.field, list[object]()
    column, columns = known.column, {known.column}
    if known.kind == "map" and condition.key is not None:
        if flattened := label_columns.get(condition.key) if column == "labels" else None:
            column, columns = flattened, {flattened}
        else:
            column = f"coalesce({known.column}[?], {known.column}[?])"
            parameters = [condition.key, sanitized(condition.key)]
    elif known.kind in ("map", "list"):
        members = f"map_keys({column})" if known.kind == "map" else column
        # An unknown list or map contains nothing.
        test = _TESTS["equals" if condition.operator == "contains" else condition.operator]
        inner = test.format(column="member", value="?")
        sql = f"len(list_filter(coalesce({members}, []), lambda member: {inner})) > 0"
        return Compiled(f"NOT ({sql})" if condition.is_negated else sql, [condition.value], columns)
    if condition.value in ("", UNALLOCATED) and condition.operator == "equals":
        sql = f"coalesce({column}, '') = ''"
    elif known.ignores_case:
        sql = _TESTS[condition.operator].format(column=f"lower(coalesce({column}, ''))", value="lower(?)")
        parameters.append(condition.value)
    else:
        sql = _TESTS[condition.operator].format(column=f"coalesce({column}, '')", value="?")
        parameters.append(condition.value)
    return Compiled(f"NOT ({sql})" if condition.is_negated else sql, parameters, columns)


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def conditions_of(wanted: Filter) -> Sequence[Condition]:
    """Return every condition of a filter."""
    return [wanted] if isinstance(wanted, Condition) else [c for part in wanted.parts for c in conditions_of(part)]
