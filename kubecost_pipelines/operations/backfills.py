"""Rebuild and repair, as backfills of a running Dagster."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from kubecost_pipelines.operations.errors import AlreadyRunningError, BackfillFailedError
from kubecost_pipelines.operations.pipelines import TAG, Pipeline, Plan, plan_rebuild, plan_repair
from kubecost_pipelines.operations.webserver import Backfill, Webserver

CANCEL_SECONDS = 180
"""Dagster's daemon looks at backfills every half a minute, and ends runs before their backfill."""
PAUSE_SECONDS = 1.0
_SOME = 3


@dataclass(frozen=True)
class Launched:
    """A backfill that was started."""

    plan: Plan
    backfill_id: str
    link: str
    """Its page in the Dagster UI."""
    canceled: tuple[str, ...] = ()
    """Backfills of the same pipeline that were ended first."""


def rebuild(
    webserver: Webserver,
    pipeline: Pipeline,
    target: str | None = None,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Launched:
    """End what runs of a pipeline, wait until it has ended, and write its whole history again.

    Args:
        webserver: a running Dagster.
        pipeline: which.
        target: a ProviderKey or a cluster's name; all of them when None.
        say: told what is waited for.

    Raises:
        OperationError: see `errors`; AlreadyRunningError when a backfill of this pipeline is for other bills or
            clusters too (ending it would stop theirs), or does not end.
    """
    plan = plan_rebuild(webserver.graph(), pipeline, target)
    mine = _of_pipeline(webserver, plan)
    if broader := [one for one in mine if not one.keys <= set(plan.keys)]:
        raise AlreadyRunningError(
            f"backfill {broader[0].id} of {pipeline} is at work on this and on more: {webserver.link(broader[0].id)}. "
            "Wait for it, cancel it there, or rebuild all."
        )
    for one in mine:
        say(f"ending backfill {one.id}")
        webserver.cancel(one.id)
    _wait_until_canceled(webserver, mine)
    return _launch(webserver, plan, canceled=tuple(one.id for one in mine))


def repair(webserver: Webserver, pipeline: Pipeline, window: str, now: datetime, target: str | None = None) -> Launched:
    """Write every UTC day that a window touches again; arguments and errors as for `rebuild`.

    Raises:
        IllegalWindowError: the window does not parse, or no day of it can be repaired.
        AlreadyRunningError: a backfill of the pipeline is at work on one of these days.
    """
    plan = plan_repair(webserver.graph(), pipeline, window, now, target)
    first, last = str(plan.days[0]), str(plan.days[-1])
    for one in _of_pipeline(webserver, plan):
        if one.tags.get(f"{TAG}/first_day", first) <= last and first <= one.tags.get(f"{TAG}/last_day", last):
            raise AlreadyRunningError(
                f"backfill {one.id} of {pipeline} is at work on these days: {webserver.link(one.id)}. Wait for it, or "
                "cancel it there."
            )
    return _launch(webserver, plan)


def wait_for(webserver: Webserver, backfill_id: str, tell: Callable[[Backfill], None]) -> Backfill:
    """Ask every second how far a backfill is, tell it, and return when it has ended well.

    Raises:
        BackfillFailedError: it was cancelled, or days of it failed.
    """
    while True:
        found = webserver.backfill(backfill_id)
        tell(found)
        if found.has_ended:
            break
        time.sleep(PAUSE_SECONDS)
    if found.failed or found.written < found.targeted or found.error:
        failed = sorted((found.failed or {}).items(), key=lambda item: -item[1])
        worst = [f"{count} days of {asset}" for asset, count in failed[:_SOME]]
        why = ", ".join(worst) or found.error or f"{found.status.lower()}, {found.targeted - found.written} not written"
        raise BackfillFailedError(
            f"backfill {found.id} ended {found.status}: {why}. What was written stays. Read why at "
            f"{webserver.link(found.id)}, and repair these days."
        )
    return found


def _of_pipeline(webserver: Webserver, plan: Plan) -> list[Backfill]:
    """Return the active backfills of this pipeline: ours by tag, and others that do nothing but what it does."""
    keys = set(plan.keys)
    return [
        one
        for one in webserver.active()
        if one.keys & keys and (one.process == plan.pipeline or (one.process is None and one.keys <= keys))
    ]


def _wait_until_canceled(webserver: Webserver, backfills: list[Backfill]) -> None:
    deadline = time.monotonic() + CANCEL_SECONDS
    for one in backfills:
        while not webserver.backfill(one.id).has_ended:
            if time.monotonic() > deadline:
                raise AlreadyRunningError(
                    f"backfill {one.id} was asked to end and has not: {webserver.link(one.id)}. "
                    "Nothing was started. See that dagster-daemon runs, and try again."
                )
            time.sleep(PAUSE_SECONDS)


def _launch(webserver: Webserver, plan: Plan, canceled: tuple[str, ...] = ()) -> Launched:
    backfill_id = webserver.launch(plan)
    return Launched(plan, backfill_id, webserver.link(backfill_id), canceled)
