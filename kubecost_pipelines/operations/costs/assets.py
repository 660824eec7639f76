"""Assets: what nodes, disks, load balancers and the rest of the bill cost, in-cluster and, as type Cloud, outside."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from kubecost_pipelines.operations.costs.allocation_query import MAX_ITEMS
from kubecost_pipelines.operations.costs.allocations import Rows
from kubecost_pipelines.operations.costs.filters import Compiled, Field, compile_filter
from kubecost_pipelines.operations.costs.questions import (
    AssetQuestion,
    QuestionError,
    set_start,
    set_windows,
    whole_days,
)

UNDEFINED = "__undefined__"

FIELDS = {
    "name": Field("name"),
    "assettype": Field("asset_type", ignores_case=True),
    "type": Field("asset_type", ignores_case=True),
    "category": Field("category", ignores_case=True),
    "cluster": Field("cluster"),
    "project": Field("account"),
    "provider": Field("provider", ignores_case=True),
    "providerid": Field("provider_id"),
    "account": Field("account"),
    "service": Field("service"),
    "label": Field("labels", "map"),
}
V1_FIELDS = {
    "filterNames": FIELDS["name"],
    "filterTypes": FIELDS["type"],
    "filterCategories": FIELDS["category"],
    "filterClusters": FIELDS["cluster"],
    "filterProjects": FIELDS["project"],
    "filterProviders": FIELDS["provider"],
    "filterProviderIDs": FIELDS["providerid"],
    "filterAccounts": FIELDS["account"],
    "filterServices": FIELDS["service"],
    "filterLabels": FIELDS["label"],
}
PROPERTIES = {
    "account": "account",
    "cluster": "cluster",
    "project": "account",
    "providerid": "provider_id",
    "provider": "provider",
    "type": "asset_type",
    "category": "category",
    "service": "service",
    "name": "name",
}
_IDENTITY = ("asset_type", "category", "provider", "account", "service", "cluster", "name", "provider_id", "currency")
_KEY = ("provider", "account", "category", "cluster", "asset_type", "service", "provider_id", "name")
_SUMS = ("cost", "adjustment", "credit", "minutes", "cpu_core_hours", "ram_byte_hours", "gpu_hours", "cpu_cost")
_MORE_SUMS = ("ram_cost", "gpu_cost", "byte_hours", "discounted")
_LAST = ("node_type", "storage_class", "volume_name", "claim_name", "claim_namespace", "labels")

_ASSETS = """
    SELECT date, asset_type, category, upper(provider) AS provider, account, 'Kubernetes' AS service, cluster, name,
        provider_id, currency, labels, "start", "end", minutes, cost, adjustment, 0e0 AS credit, is_reconciled,
        is_settled, match_rule, node_type, is_spot, cpu_core_hours, ram_byte_hours, gpu_hours, cpu_cost, ram_cost,
        gpu_cost, (coalesce(cpu_cost, 0) + coalesce(ram_cost, 0)) * coalesce(discount, 0) AS discounted, byte_hours,
        storage_class, volume_name, claim_name, claim_namespace
    FROM assets WHERE date >= ? AND date < ?
"""
_CLOUD = """
    SELECT date, 'Cloud', category, provider, account_id, service, cluster, provider_id, provider_id, currency,
        labels,
        CAST(date AS TIMESTAMPTZ), CAST(date + 1 AS TIMESTAMPTZ), 1440e0, amortized_net_cost, 0e0, 0e0, true,
        true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM out_of_cluster WHERE date >= ? AND date < ?
"""


@dataclass
class Asset:
    """One asset, or the sum of several; `values` as in the table `asset_costs`."""

    name: str
    values: dict[str, Any]

    @property
    def total(self) -> float:
        return float(self.values["cost"] + self.values["adjustment"] + self.values["credit"])


@dataclass
class AssetSet:
    """The assets of `[start, end)`, the dearest first."""

    start: date
    end: date
    items: list[Asset] = field(default_factory=list)


def parse_aggregate(text: str) -> tuple[str, ...]:
    """Return the properties that `aggregate` names.

    Raises:
        QuestionError: one that assets do not have.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name.lower() not in PROPERTIES:
            raise QuestionError(f"aggregate: unknown {name[:80]!r}; accepted are {', '.join(PROPERTIES)}")
    return tuple(dict.fromkeys(PROPERTIES[name.lower()] for name in names))


def ask(rows: Rows, question: AssetQuestion) -> list[AssetSet]:
    """Return one set per step of the window."""
    first, end = whole_days(question.window)
    sets = {start: AssetSet(start, until) for start, until in set_windows(first, end, question.step)}
    if not sets:
        return []
    query = compile_question(question)
    found = rows.query(query.sql, query.parameters)
    if len(found) > MAX_ITEMS:
        raise QuestionError(f"the answer has more than {MAX_ITEMS:,} assets: aggregate or filter.")
    for row in found:
        start, name = row.pop("set_start"), row.pop("item")
        sets[start].items.append(Asset(name, row))
    for one in sets.values():
        one.items.sort(key=lambda asset: (-asset.total, asset.name))
    return list(sets.values())


def compile_question(question: AssetQuestion) -> Compiled:
    """Return the one query that answers."""
    first, end = whole_days(question.window)
    wanted = compile_filter(question.filter, {})
    key = question.aggregate or _KEY
    parts = ", ".join(f"coalesce(nullif({column}, ''), '{UNDEFINED}')" for column in key)
    adjustment = "sum(coalesce(adjustment, 0))" if question.is_adjusted else "0e0"
    sums = [f"sum(coalesce({name}, 0)) AS {name}" for name in (*_SUMS, *_MORE_SUMS) if name != "adjustment"]
    identity = [
        f"CASE WHEN min({one}) = max({one}) AND count({one}) = count(*) THEN min({one}) END AS {one}"
        for one in _IDENTITY
    ]
    last = [f"{'NULL' if question.aggregate else f'any_value({one})'} AS {one}" for one in _LAST]
    source = f"{_ASSETS} UNION ALL {_CLOUD}" if question.with_cloud else _ASSETS
    start, starts = set_start(question.step, first)
    sql = (
        f"SELECT {start} AS set_start, concat_ws('/', {parts}) AS item, "
        f"count(*) AS rows, {', '.join([*identity, *sums, *last])}, {adjustment} AS adjustment, "
        'min("start") AS "start", max("end") AS "end", bool_and(coalesce(is_reconciled, false)) AS is_reconciled, '
        "bool_and(coalesce(is_settled, false)) AS is_settled, avg(CAST(is_spot AS INTEGER)) AS spot_share, "
        "CASE WHEN min(match_rule) = max(match_rule) THEN min(match_rule) END AS match_rule "
        f"FROM ({source}) WHERE {wanted.sql} GROUP BY 1, 2 LIMIT {MAX_ITEMS + 1}"
    )
    windows: Sequence[object] = [first, end] * (2 if question.with_cloud else 1)
    return Compiled(sql, [*starts, *windows, *wanted.parameters], wanted.columns)
