"""bill_changes_<ProviderKey>: ask a bill what has changed, and request exactly those days.

The sensor only asks, lets `core.bill_changes` decide, and requests. What was asked and what was answered stands in its
cursor; what is there already is asked of the lake, so that a lost day is a missing one.
"""

from collections.abc import Sequence
from datetime import date
from time import monotonic

import dagster as dg

from kubecost_pipelines.clouds import BillError, open_store
from kubecost_pipelines.core.bill_changes import (
    Cursor,
    Pace,
    Question,
    due_questions,
    fill_history,
    fingerprint_of,
    next_days,
    put_off,
    run_key,
    take_in,
)
from kubecost_pipelines.core.bills.digest import DayDigest
from kubecost_pipelines.core.tables import CLOUD_BILLING
from kubecost_pipelines.defs.connection_status import find_unreadable, look_at, report
from kubecost_pipelines.defs.keys import asset_key
from kubecost_pipelines.defs.pools import limit_pools
from kubecost_pipelines.defs.requests import range_tags, unfinished_run
from kubecost_pipelines.defs.restatements import digest_of
from kubecost_pipelines.defs.workbench import Tools, Workbench
from kubecost_pipelines.settings import CloudStoreSettings, Settings

TICK_SECONDS = 300
"""Between two ticks. Most find that nothing is due; while days wait, each tick requests some of them."""

ASKING_SECONDS = 20
"""A tick stops asking after that (Dagster ends one at 60); what is left is asked by the next one."""


def build_bill_sensor(settings: Settings, store: CloudStoreSettings) -> dg.SensorDefinition:
    """Build the sensor of one ProviderKey."""
    pace = Pace(
        settings.refresh_every,
        settings.trailing_days,
        settings.restatement_months,
        settings.days_per_tick,
        store.is_billed_by_day,
    )

    @dg.sensor(
        name=f"bill_changes_{store.key.slug}",
        target=dg.AssetSelection.assets(asset_key(CLOUD_BILLING, *store.key.parts)),
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING if settings.runs_by_itself else dg.DefaultSensorStatus.STOPPED,
        description=f"{store.title}: asks every {settings.refresh_hours:g} hours which days of the bill have changed, "
        f"and reads those again, at most {settings.days_per_tick} at once. At first it reads all days since "
        f"{settings.start_date}.",
        tags={"provider": store.provider, "provider_key": store.id},
    )
    def bill_changes(context: dg.SensorEvaluationContext, workbench: dg.ResourceParam[Workbench]) -> dg.SensorResult:
        limit_pools(context)
        if run := unfinished_run(context.instance, "dagster/sensor_name", context.sensor_name):
            return dg.SensorResult(skip_reason=f"Run {run} still reads the days of an earlier tick.")
        cursor, notes, unread = Cursor.from_text(context.cursor), list[str](), list[str]()
        # Most ticks end here: nothing is opened for them.
        if questions := due_questions(cursor, workbench.clock(), settings.start_date, pace):
            with workbench.open() as tools:
                found = look_at(tools, store, context.instance)
                if found.is_reachable:
                    cursor = _ask(context, tools, store, cursor, questions, pace, notes, unread)
                report(
                    tools, store, context.instance, find_unreadable(tools, store, found, unread[0]) if unread else found
                )
                if not found.is_reachable:
                    return dg.SensorResult(skip_reason=found.words)
        requested, cursor = next_days(cursor, workbench.clock(), settings.start_date, settings.settle_after, pace)
        if cursor.waiting:
            context.log.info(f"{len(cursor.waiting)} more days wait for the next ticks.")
        if requested:
            return dg.SensorResult(
                run_requests=[_request(store, cursor, days) for days in requested], cursor=cursor.to_text()
            )
        asked = "Nothing has changed." if questions else f"Asked less than {pace.refresh} ago."
        asked = "The bill could not be read." if unread else asked
        return dg.SensorResult(skip_reason=" ".join([asked, *unread, *notes]), cursor=cursor.to_text())

    return bill_changes


def _request(store: CloudStoreSettings, cursor: Cursor, days: Sequence[date]) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{store.key}:{run_key(cursor, days)}",
        asset_selection=[asset_key(CLOUD_BILLING, *store.key.parts)],
        tags=range_tags(days),
    )


def _ask(
    context: dg.SensorEvaluationContext,
    tools: Tools,
    store: CloudStoreSettings,
    cursor: Cursor,
    questions: Sequence[Question],
    pace: Pace,
    notes: list[str],
    unread: list[str],
) -> Cursor:
    """Ask the bill; a month that cannot be read is told in `unread`, and does not stop the others."""
    held = tools.lake.held_days(CLOUD_BILLING, store.key.parts)
    cursor = fill_history(cursor, held, tools.now, tools.settings.start_date, pace)
    cloud_store = open_store(store, tools.settings.label_keys, tools.scratch)
    limit = int(tools.settings.digest_megabytes * 1e6)
    stop = monotonic() + ASKING_SECONDS
    for question in questions:
        if monotonic() > stop:
            notes.append("The remaining months are asked for by the next tick.")
            break
        try:
            answer = cloud_store.changes(question.window, fingerprint_of(cursor, question), tools.engine, limit)
        except (BillError, OSError) as error:
            context.log.error(str(error))
            unread.append(f"{question.month}: {error}")
            cursor = put_off(cursor, question, tools.now)
            continue
        if answer.note:
            context.log.info(f"{question.month}: {answer.note}")
        there = _describe(tools, store, [day for day in question.window.days if day in held])
        cursor = take_in(cursor, question, answer, there, tools.now, tools.settings.settle_after)
    return cursor


def _describe(tools: Tools, store: CloudStoreSettings, days: Sequence[date]) -> dict[date, DayDigest | None]:
    found = {day: tools.lake.describe(CLOUD_BILLING, store.key.parts, day) for day in days}
    return {day: digest_of(written) for day, written in found.items() if written}
