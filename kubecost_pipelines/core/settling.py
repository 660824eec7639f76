"""Settling: when a day's bill is complete enough to move estimates to it.

Bills arrive 6 to 24 hours late; reconciling earlier would deflate the cluster's cost
(Kubecost reconciles 48 hours after the usage, for the same reason).
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from kubecost_pipelines.core.window import DAY


def last_settled(now: datetime, settle_after: timedelta) -> date:
    """Return the last day since whose end `settle_after` has passed."""
    return (now.astimezone(UTC) - settle_after).date() - DAY


def is_settled(day: date, now: datetime, settle_after: timedelta) -> bool:
    """Say whether `settle_after` has passed since `day` ended."""
    return day <= last_settled(now, settle_after)


def settled_days(days: Iterable[date], now: datetime, settle_after: timedelta) -> list[date]:
    """Return the days that are settled at `now`."""
    return [day for day in days if is_settled(day, now, settle_after)]
