"""Restatements: what a day of a bill was before it was replaced by other content, and what it is now.

History is appended: a day that is restated twice has two revisions. A revision names the content that it came from and
the content that it led to, so that one which was written but whose day was never published is taken back.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir

GROUP = ("date", "service_name", "category")
COSTS = ("billed_cost", "effective_cost")


def compare(before: ir.Table, after: ir.Table) -> ir.Table:
    """Return what changed between two versions of the same days, in exact decimals.

    Args:
        before: rows of `cloud_billing` as they were.
        after: rows of `cloud_billing` as they are now.

    Returns:
        `date`, `service_name`, `category` and, for billed and effective cost, `<cost>_before`, `<cost>_after` and
        `<cost>_difference`, where one of the two has changed.
    """
    both = ibis.union(_signed(before, is_after=False), _signed(after, is_after=True))
    summed = both.group_by(GROUP).aggregate(
        **{f"{cost}_{when}": both[f"{cost}_{when}"].sum() for cost in COSTS for when in ("before", "after")}
    )
    summed = summed.mutate(
        **{f"{cost}_difference": summed[f"{cost}_after"] - summed[f"{cost}_before"] for cost in COSTS}
    )
    changed = [summed[f"{cost}_difference"] != 0 for cost in COSTS]
    return summed.filter(ibis.or_(*changed)).order_by(GROUP)


def _signed(rows: ir.Table, *, is_after: bool) -> ir.Table:
    nothing = ibis.literal(0).cast(rows.billed_cost.type())
    costs = {
        f"{cost}_{when}": rows[cost].fill_null(0) if is_after == (when == "after") else nothing
        for cost in COSTS
        for when in ("before", "after")
    }
    return rows.select(
        date=rows.date, service_name=rows.service_name.fill_null(""), category=rows.category.fill_null(""), **costs
    )


def published(history: Sequence[Mapping[str, Any]], current: str) -> list[Mapping[str, Any]]:
    """Return the rows of a day's history that led to its current content.

    Args:
        history: rows of `restatements` of one day, with `revision`, `content_before` and `content_after`.
        current: the content that the lake holds now. A revision that goes on from it was never published.
    """
    leading = [row["revision"] for row in history if row["content_after"] == current]
    going_on = [row["revision"] for row in history if row["content_before"] == current]
    if leading:
        return [row for row in history if row["revision"] <= max(leading)]
    if going_on:
        return [row for row in history if row["revision"] < min(going_on)]
    return list(history)
