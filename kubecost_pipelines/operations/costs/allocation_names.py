"""Names: what allocations can be grouped and filtered by, and how an item is named after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubecost_pipelines.core.tables import label_column
from kubecost_pipelines.operations.costs.filters import Condition, Field, Filter, Group, sanitized
from kubecost_pipelines.operations.costs.questions import Property, QuestionError

UNALLOCATED = "__unallocated__"

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
COLUMNS = {
    "cluster": "cluster",
    "node": "node",
    "namespace": "namespace",
    "controllerkind": "controller_kind",
    "pod": "pod",
    "container": "container",
    "providerid": "provider_id",
}
"""Property in lower case -> column."""


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
        elif not colon and (lowered in COLUMNS or lowered in ("controller", "service", *KINDS, *ALIASES)):
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
class Key:
    """One part of an item's name: SQL with its parameters, and the columns it needs."""

    sql: str
    parameters: list[object]
    columns: set[str]


def label_columns(label_keys: Sequence[str]) -> dict[str, str]:
    """Return label -> column that holds it flattened; a label is known as written and as Prometheus keeps it."""
    return {name: label_column(key) for key in label_keys for name in (key, sanitized(key))}


def key_of(wanted: Property, flattened: Mapping[str, str]) -> Key:
    """Return the part of a name that a property gives; null where a row has none.

    Args:
        wanted: what is grouped by.
        flattened: label -> column that holds it.
    """
    if wanted.name in COLUMNS:
        column = COLUMNS[wanted.name]
        return Key(f"nullif({column}, '')", [], {column})
    if wanted.name == "controller":
        return Key(
            "CASE WHEN coalesce(controller_kind, '') = '' THEN nullif(controller, '') "
            "ELSE controller_kind || ':' || controller END",
            [],
            {"controller", "controller_kind"},
        )
    if wanted.name == "service":
        return Key("services[1]", [], {"services"})
    if wanted.name in KINDS:
        sql = f"CASE WHEN lower(controller_kind) = '{wanted.name}' THEN controller END"
        return Key(sql, [], {"controller", "controller_kind"})
    is_alias = wanted.name in ALIASES
    key = ALIASES[wanted.name] if is_alias else wanted.key or ""
    column = "annotations" if wanted.name == "annotation" else "labels"
    if column == "labels" and (known := flattened.get(key)):
        value, parameters, columns = f"nullif({known}, '')", list[object](), {known}
    else:
        value, parameters = f"nullif(coalesce({column}[?], {column}[?]), '')", [key, sanitized(key)]
        columns = {column}
    # A label's item is named `app=web`, a business word's only by its value.
    return Key(value if is_alias else f"(? || '=' || {value})", parameters if is_alias else [key, *parameters], columns)


def resolve_aliases(wanted: Filter) -> Filter:
    """Return a filter with business words as the labels that they are."""
    if isinstance(wanted, Group):
        return Group(wanted.joined_by, tuple(resolve_aliases(part) for part in wanted.parts))
    if wanted.field.column.startswith("label "):
        key = wanted.field.column.removeprefix("label ")
        return Condition(FIELDS["label"], key, wanted.operator, wanted.value, wanted.is_negated)
    return wanted
