"""Cloud costs: what is on the bills, by account, service and resource, and how much of it Kubernetes caused."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from kubecost_pipelines.core import serving
from kubecost_pipelines.operations.costs.allocation_names import UNALLOCATED
from kubecost_pipelines.operations.costs.allocation_query import MAX_ITEMS
from kubecost_pipelines.operations.costs.allocations import Rows
from kubecost_pipelines.operations.costs.filters import Compiled, Field, compile_filter
from kubecost_pipelines.operations.costs.questions import (
    CloudCostQuestion,
    Property,
    QuestionError,
    set_start,
    set_windows,
    whole_days,
)

FIELDS = {
    "accountid": Field("account_id"),
    "category": Field("category", ignores_case=True),
    "invoiceentityid": Field("invoice_entity_id"),
    "provider": Field("provider", ignores_case=True),
    "providerid": Field("provider_id"),
    "service": Field("service"),
    "regionid": Field("region_id"),
    "availabilityzone": Field("availability_zone"),
    "label": Field("labels", "map"),
}
V1_FIELDS = {
    "filterInvoiceEntityIDs": FIELDS["invoiceentityid"],
    "filterAccountIDs": FIELDS["accountid"],
    "filterProviders": FIELDS["provider"],
    "filterProviderIDs": FIELDS["providerid"],
    "filterProvidersID": FIELDS["providerid"],
    "filterServices": FIELDS["service"],
    "filterCategories": FIELDS["category"],
    "filterLabels": FIELDS["label"],
    "filterLabel": FIELDS["label"],
}
PROPERTIES = {
    "invoiceentityid": "invoiceEntityID",
    "accountid": "accountID",
    "provider": "provider",
    "providerid": "providerID",
    "category": "category",
    "service": "service",
    "regionid": "regionID",
    "availabilityzone": "availabilityZone",
}
DEFAULT = ("invoiceEntityID", "accountID", "provider", "providerID", "category", "service")
METRICS = {
    "listCost": "list_cost",
    "netCost": "net_cost",
    "amortizedNetCost": "amortized_net_cost",
    "invoicedCost": "invoiced_cost",
    "amortizedCost": "amortized_cost",
}
_TEXTS = (
    "provider_id",
    "provider",
    "account_id",
    "invoice_entity_id",
    "region_id",
    "availability_zone",
    "service",
    "category",
)


@dataclass
class CloudCost:
    """The charges of one name: for each metric its cost, and the part of it that Kubernetes caused."""

    name: str
    properties: dict[str, Any]
    costs: dict[str, tuple[float, float]]

    def cost(self, metric: str) -> float:
        return self.costs[metric][0]

    def kubernetes_share(self, metric: str) -> float:
        cost, of_kubernetes = self.costs[metric]
        return of_kubernetes / cost if cost > 0 else 0.0


@dataclass
class CloudCostSet:
    """The charges of `[start, end)`, the dearest first."""

    start: date
    end: date
    aggregate: tuple[str, ...]
    items: list[CloudCost] = field(default_factory=list)


def parse_aggregate(text: str) -> tuple[Property, ...]:
    """Return the properties that `aggregate` names; without any, the default ones.

    Raises:
        QuestionError: one that cloud costs do not have.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, colon, key = part.partition(":")
        if colon and name.lower() == "label" and key.strip():
            found.append(Property("label", key.strip()))
        elif not colon and name.lower() in PROPERTIES:
            found.append(Property(PROPERTIES[name.lower()]))
        else:
            accepted = ", ".join([*PROPERTIES.values(), "label:<name>"])
            raise QuestionError(f"aggregate: unknown {part[:80]!r}; accepted are {accepted}")
    return tuple(dict.fromkeys(found)) or tuple(Property(name) for name in DEFAULT)


def ask(rows: Rows, question: CloudCostQuestion, label_keys: Sequence[str]) -> list[CloudCostSet]:
    """Return one set per step of the window."""
    first, end = whole_days(question.window)
    names = tuple(str(one) for one in question.aggregate)
    sets = {start: CloudCostSet(start, until, names) for start, until in set_windows(first, end, question.step)}
    if not sets:
        return []
    query = compile_question(question, label_keys)
    found = rows.query(query.sql, query.parameters)
    if len(found) > MAX_ITEMS:
        raise QuestionError(f"the answer has more than {MAX_ITEMS:,} items: aggregate or filter.")
    for row in found:
        costs = {metric: (row.pop(column), row.pop(f"{column}_k8s")) for metric, column in METRICS.items()}
        sets[row.pop("set_start")].items.append(CloudCost(row.pop("item"), row, costs))
    for one in sets.values():
        one.items.sort(key=lambda item: (-item.cost("amortizedNetCost"), item.name))
    return list(sets.values())


def compile_question(question: CloudCostQuestion, label_keys: Sequence[str]) -> Compiled:
    """Return the one query that answers, over the sums by service where they know enough."""
    first, end = whole_days(question.window)
    wanted = compile_filter(question.filter, {})
    parts, parameters, needed = list[str](), list[object](), set(wanted.columns)
    for one in question.aggregate:
        if one.name == "label":
            parts.append(f"coalesce(nullif(labels[?], ''), '{UNALLOCATED}')")
            parameters.append(one.key)
            needed.add("labels")
        else:
            column = _column(one.name)
            parts.append(f"coalesce(nullif({column}, ''), '{UNALLOCATED}')")
            needed.add(column)
    [summary] = [one for one in serving.summaries(label_keys) if one.of == serving.CLOUD_COSTS]
    is_summed = needed <= set(summary.dimensions)
    texts = [text for text in _TEXTS if text in (summary.dimensions if is_summed else _TEXTS)]
    common = [f"CASE WHEN min({t}) = max({t}) AND count({t}) = count(*) THEN min({t}) END AS {t}" for t in texts]
    if not is_summed:
        common.append("CASE WHEN count(DISTINCT tags) = 1 THEN any_value(labels) END AS labels")
    sums = [
        f"sum({column}) AS {column}, coalesce(sum({column}) FILTER (is_kubernetes), 0) AS {column}_k8s"
        for column in METRICS.values()
    ]
    source = summary.name if is_summed else serving.CLOUD_COSTS
    start, starts = set_start(question.step, first)
    sql = (
        f"SELECT {start} AS set_start, "
        f"concat_ws('/', {', '.join(parts)}) AS item, {', '.join([*common, *sums])}, "
        "CASE WHEN min(currency) = max(currency) THEN min(currency) ELSE 'mixed' END AS currency "
        f"FROM {source} WHERE date >= ? AND date < ? AND {wanted.sql} GROUP BY 1, 2 LIMIT {MAX_ITEMS + 1}"
    )
    return Compiled(sql, [*starts, *parameters, first, end, *wanted.parameters], needed)


def _column(name: str) -> str:
    return {value: FIELDS[key].column for key, value in PROPERTIES.items()}[name]
