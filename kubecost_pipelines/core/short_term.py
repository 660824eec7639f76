"""Short-term estimate: what a node cost over its last settled days, in place of its list price, until its day settles.

A reserved or a spot node would otherwise cost twice as much for two days, every two days. Only nodes: what else there
is has no price that a commitment moves.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import ibis
import ibis.expr.types as ir

from kubecost_pipelines.core.settling import is_settled
from kubecost_pipelines.core.window import DAY


def recent_days(days: Sequence[date], now: datetime, settle_after: timedelta, count: int) -> list[date]:
    """Return the last `count` days that are settled at `now`, of those before `days`."""
    last = min(days[0], now.date()) - DAY
    while not is_settled(last, now, settle_after):
        last -= DAY
    return [last - back * DAY for back in reversed(range(count))]


def price_recent(costs: ir.Table, history: ir.Table) -> ir.Table:
    """Return the asset costs with provisional nodes at what an hour of them cost recently, marked `recent`.

    A node without recent billed hours keeps its estimate. `is_reconciled` stays false: nothing is billed yet.

    Args:
        costs: rows of `asset_costs`, with `date`.
        history: rows of `asset_costs` of the recent days.
    """
    billed = history.filter((history.asset_type == "Node") & history.is_reconciled & (history.minutes > 0))
    hourly = billed.group_by(recent_id=billed.asset_id).aggregate(
        hour_cost=billed.total_cost.sum() / (billed.minutes.sum() / 60)
    )
    joined = costs.left_join(hourly, costs.asset_id == hourly.recent_id)
    is_recent = ~joined.is_settled & joined.hour_cost.notnull() & joined.minutes.notnull()
    total = ibis.ifelse(is_recent, joined.hour_cost * joined.minutes / 60, joined.total_cost)
    return joined.mutate(
        total_cost=total,
        adjustment=ibis.ifelse(is_recent, total - joined.cost, joined.adjustment),
        cost_basis=ibis.ifelse(is_recent, "recent", joined.cost_basis),
    ).select(costs.columns)
