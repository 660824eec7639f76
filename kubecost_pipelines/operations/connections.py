"""Connections: of every bill and cluster, whether it can be read, which days are there, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from kubecost_pipelines.core.connection_status import ConnectionStatus
from kubecost_pipelines.core.settling import is_settled
from kubecost_pipelines.core.tables import ALLOCATIONS, CLOUD_BILLING, CONNECTION_STATUS
from kubecost_pipelines.core.window import DAY
from kubecost_pipelines.defs.workbench import Tools
from kubecost_pipelines.operations.lake_answers import answer, keys_of
from kubecost_pipelines.operations.questions import connections as last_checks
from kubecost_pipelines.settings.model import CloudStoreSettings, ClusterSettings

DayState = Literal["settled", "provisional", "late", "missing"]

SHOWN_DAYS = 366


@dataclass(frozen=True)
class Connection:
    """One bill or cluster."""

    kind: Literal["store", "cluster"]
    key: str
    title: str
    provider: str | None
    status: str
    """A bill's Cloud Connection Status; of a cluster `UP_TO_DATE`, `BEHIND` or `EMPTY`."""
    since: datetime | None
    checked_at: datetime | None
    detail: str
    cure: str
    days: Sequence[tuple[date, DayState]]


def read_connections(tools: Tools) -> list[Connection]:
    """Return every bill and cluster of the settings, in their order."""
    checks = _last_checks(tools)
    stores = [_store(tools, store, checks.get(str(store.key), {})) for store in tools.settings.cloud_stores]
    return [*stores, *(_cluster(tools, cluster) for cluster in tools.settings.clusters)]


def coverage(have: Sequence[date], first: date, now: datetime, settle_after: timedelta) -> list[tuple[date, DayState]]:
    """Say of each day since `first` whether it is there, or by when it should have been.

    A day that is not there is late until it would be settled, and missing from then on.
    """
    yesterday = now.date() - DAY
    first = max(first, yesterday - (SHOWN_DAYS - 1) * DAY)
    known = set(have)
    days = [first + DAY * step for step in range((yesterday - first).days + 1)]

    def state(day: date) -> DayState:
        settled = is_settled(day, now, settle_after)
        if day in known:
            return "settled" if settled else "provisional"
        return "missing" if settled else "late"

    return [(day, state(day)) for day in days]


def _last_checks(tools: Tools) -> dict[str, dict[str, Any]]:
    days = {
        day for key in keys_of(tools.settings, CONNECTION_STATUS) for day in tools.lake.days(CONNECTION_STATUS, key)
    }
    if not days:
        return {}
    return {row["provider_key"]: row for row in answer(tools, last_checks(), sorted(days))}


def _store(tools: Tools, store: CloudStoreSettings, check: dict[str, Any]) -> Connection:
    settings = tools.settings
    have = tools.lake.days(CLOUD_BILLING, store.key.parts)
    return Connection(
        kind="store",
        key=str(store.key),
        title=store.name or store.key.id,
        provider=store.provider,
        status=check.get("status", ConnectionStatus.INITIAL_STATUS),
        since=check.get("since"),
        checked_at=check.get("checked_at"),
        detail=check.get("detail", ""),
        cure=check.get("cure")
        or ("" if check else "Materialise connection_status in Dagster, or wait for its schedule."),
        days=coverage(have, settings.start_date, tools.now, settings.settle_after),
    )


def _cluster(tools: Tools, cluster: ClusterSettings) -> Connection:
    settings = tools.settings
    have = tools.lake.days(ALLOCATIONS, (cluster.name,))
    days = coverage(have, settings.start_date, tools.now, settings.settle_after)
    missing = [day for day, state in days if state == "missing"]
    behind = [day for day, state in days if state == "late"]
    if not have:
        status, detail = "EMPTY", "No day has been collected yet."
    elif missing:
        status, detail = "BEHIND", f"{len(missing)} of {len(days)} days are missing, the last one {missing[-1]}."
    elif len(behind) > 1:
        status, detail = "BEHIND", f"The last day is {have[-1]}."
    else:
        status, detail = "UP_TO_DATE", f"The last day is {have[-1]}."
    cure = f"See that {cluster.endpoint} answers (`kubecost-pipelines check`), then repair."
    cure = "" if status == "UP_TO_DATE" else cure
    return Connection("cluster", cluster.name, cluster.name, cluster.provider, status, None, None, detail, cure, days)
