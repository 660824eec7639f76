"""Movers: which assets the workloads pay whose cost moved most, which share of each, by which rule and bill."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import ibis

from kubecost_pipelines.core.tables import ALLOCATIONS
from kubecost_pipelines.core.tracing import trace, trace_unused
from kubecost_pipelines.core.workload_costs import Prices
from kubecost_pipelines.defs.workbench import Tools

PARTS_SHOWN = 200
"""Parts of assets in the table of one run."""

_OF_ASSET = {
    "asset": "name",
    "asset_type": "asset_type",
    "match_rule": "match_rule",
    "cost_basis": "cost_basis",
    "bill": "provider_key",
    "bill_rows": "bill_rows",
}
_SUMS = ("share", "estimate", "adjustment", "total_cost")


def explain_movers(
    tools: Tools, cluster: str, day: date, movers: Sequence[Mapping[str, Any]], prices: Prices
) -> list[dict[str, Any]]:
    """Return a row per mover, asset and resource of one day, the largest adjustments first.

    Args:
        tools: read the allocations of the day.
        cluster: whose.
        day: one of those that `prices` has.
        movers: `namespace` and `controller`; a namespace such as `__idle__` has no controller.
        prices: of the whole cluster.
    """
    schema = {"its_date": "date", "its_namespace": "string", "its_controller": "string"}
    # Kept, so that what follows has the same words on every day and for every cluster: they take long to compile.
    named = tools.keep(ibis.memtable([(day, one["namespace"], one["controller"]) for one in movers], schema=schema))
    rows = tools.lake.read(ALLOCATIONS, [cluster], [day], tools.engine, is_numbered=True)
    is_mover = (rows.namespace == named.its_namespace) & rows.controller.identical_to(named.its_controller)
    rows = tools.keep(rows.semi_join(named, is_mover))
    whose = rows.select("namespace", "controller", its_row="row")
    used = trace(rows, prices, is_by_row=True)
    used = used.inner_join(whose, used.row == whose.its_row)
    unused, nobody = trace_unused(prices), named.filter(named.its_controller.isnull())
    unused = unused.semi_join(nobody, [unused.date == nobody.its_date, unused.namespace == nobody.its_namespace])
    columns = ("namespace", "controller", "asset_id", "resource", *_SUMS)
    parts = used.select(columns).union(unused.mutate(controller=ibis.null("string")).select(columns))
    parts = parts.group_by("namespace", "controller", "asset_id", "resource").aggregate(
        **{name: parts[name].sum() for name in _SUMS}
    )
    assets = prices.assets.semi_join(named, prices.assets.date == named.its_date)
    assets = assets.select(its_id="asset_id", **{name: assets[column] for name, column in _OF_ASSET.items()})
    told = parts.left_join(assets, parts.asset_id == assets.its_id).drop("its_id")
    rows_told = told.order_by(ibis.desc(told.adjustment.abs()), "asset_id", "resource").limit(PARTS_SHOWN)
    return list(rows_told.to_pyarrow().to_pylist())
