"""Restatements: what a run says of the days that it replaces by other content, in the lake and in Dagster.

The lake's rows are written before the days that they are about, so that a run which dies in between loses nothing:
what it wrote goes on from content that was never replaced, and the next run takes it back.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg
import ibis
import pyarrow as pa

from kubecost_pipelines.core.bills.digest import NOTHING, DayDigest, as_digests, sum_up_days
from kubecost_pipelines.core.restatements import compare, published
from kubecost_pipelines.core.tables import CLOUD_BILLING, RESTATEMENTS
from kubecost_pipelines.defs.reporting import as_table
from kubecost_pipelines.defs.workbench import Tools
from kubecost_pipelines.lake import Staged, Written
from kubecost_pipelines.settings import CloudStoreSettings

DIGEST = "bill"
"""Where a day's file keeps the digest of its bill."""

NEW, SAME, RESTATED = "first version", "no change", "restated"


def digest_of(written: Written) -> DayDigest | None:
    """Return the digest of the bill that a file holds; None for a file that was written before there were any."""
    text = written.details.get(DIGEST)
    return None if text is None else DayDigest.parse(text)


def record_restatements(
    tools: Tools, store: CloudStoreSettings, days: list[date], staged: Staged
) -> tuple[dict[date, dict[str, Any]], dict[date, dict[str, Any]]]:
    """Append what the staged bill changes to the history of its days.

    Returns:
        Per day, what its file is to keep (the digest, and whether it is new, the same or restated), and what Dagster
        is to show of it.
    """
    digests = as_digests(sum_up_days(staged.rows).to_pyarrow().to_pylist())
    before = {day: tools.lake.describe(CLOUD_BILLING, store.key.parts, day) for day in days}
    kept = {
        day: {DIGEST: str(digests.get(day, NOTHING)), "version": _version(before[day], digests.get(day, NOTHING))}
        for day in days
    }
    restated = [day for day in days if kept[day]["version"] == RESTATED]
    if not restated or any(one and one.rows and day not in staged.by_day for day, one in before.items()):
        return kept, {}  # the lake refuses to empty a day, and publishes none of them
    old = tools.lake.read(CLOUD_BILLING, store.key.parts, restated, tools.engine)
    new = staged.rows.filter(staged.rows.date.isin(restated))
    changes: dict[date, list[dict[str, Any]]] = {day: [] for day in restated}
    for row in compare(old, new).to_pyarrow().to_pylist():
        changes[row.pop("date")].append(row)
    _append(tools, store, changes, {day: before[day] for day in restated}, digests)
    return kept, {day: _told(rows) for day, rows in changes.items()}


def _version(before: Written | None, now: DayDigest) -> str:
    if before is None or (before.rows == 0 and now != NOTHING):
        return NEW
    known = digest_of(before)
    return SAME if known and known.content == now.content else RESTATED


def _append(
    tools: Tools,
    store: CloudStoreSettings,
    changes: Mapping[date, list[dict[str, Any]]],
    before: Mapping[date, Written | None],
    digests: Mapping[date, DayDigest],
) -> None:
    rows, days = [], []
    for day, changed in changes.items():
        known = before[day]
        held = digest_of(known) if known else None
        current = held.content if held else ""
        history = tools.lake.read(RESTATEMENTS, store.key.parts, [day], tools.engine).to_pyarrow().to_pylist()
        led_here = published(history, current)
        revision = max((row["revision"] for row in led_here), default=0) + 1
        of_all = {
            "date": day,
            "restatement_id": f"{store.key}/{day}/{revision}",
            "provider_key": str(store.key),
            "revision": revision,
            "seen_at": tools.now,
            "content_before": current,
            "content_after": digests.get(day, NOTHING).content,
        }
        if changed or len(led_here) < len(history):
            days.append(day)
            rows += [*led_here, *({**of_all, **row} for row in changed)]
    if days:
        schema = ibis.schema({"date": "date", **RESTATEMENTS.schema()}).to_pyarrow()
        table = ibis.memtable(pa.Table.from_pylist(rows, schema=schema))
        staged = tools.lake.stage(RESTATEMENTS, table.mutate(date=table.date), tools.engine)
        tools.lake.publish(staged, store.key.parts, days)


def _told(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the materialisation of a restated day says of it."""
    billed, effective = (sum(row[f"{cost}_difference"] for row in rows) for cost in ("billed_cost", "effective_cost"))
    words = f"billed cost {billed:+,.6f}, effective cost {effective:+,.6f}" if rows else "no cost has changed"
    largest = sorted(rows, key=lambda row: -abs(row["effective_cost_difference"]))
    return {"restated": dg.MetadataValue.text(words), "restatement": as_table(largest)}
