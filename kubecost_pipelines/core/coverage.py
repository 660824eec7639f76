"""Coverage: how much of the clusters' estimated cost found its bill row."""

from decimal import Decimal

import ibis
import ibis.expr.types as ir


def match_coverage(assets: ir.Table, by: tuple[str, ...] = ("asset_type",)) -> ir.Table:
    """Return, per group, how many assets the bill knows and how much of their estimate that is.

    Network assets are left out: they come from the bill, and would always be covered.

    Args:
        assets: rows of `asset_costs`.
        by: columns to group by.

    Returns:
        The columns of `by`, `assets`, `matched`, `cost`, `matched_cost` and `share` (by cost; by count where the
        cost is nothing).
    """
    estimated = assets.filter(assets.asset_type != "Network")
    is_matched = estimated.match_rule.notnull()
    counted = estimated.group_by(by).aggregate(
        assets=estimated.count(),
        matched=is_matched.sum(),
        cost=estimated.cost.sum(),
        matched_cost=ibis.ifelse(is_matched, estimated.cost, 0.0).sum(),
    )
    by_cost = counted.matched_cost / counted.cost.nullif(0.0)
    share = ibis.coalesce(by_cost, counted.matched / counted["assets"].cast("float64"))
    return counted.mutate(share=share).order_by(by)


def unmatched(assets: ir.Table) -> ir.Table:
    """Return the in-cluster assets that no bill row was found for, costliest first."""
    rows = assets.filter(assets.match_rule.isnull() & (assets.asset_type != "Network"))
    return (
        rows.group_by("cluster", "asset_type", "name", "provider_id")
        .aggregate(days=rows.date.nunique(), cost=rows.cost.sum())
        .order_by(ibis.desc("cost"))
    )


def difference(whole: Decimal, *parts: Decimal) -> Decimal:
    """Return what is left of `whole` after `parts`: exactly 0 when a bill is conserved."""
    return whole - sum(parts, Decimal(0))
