"""Automation: how a table that is made from others follows them, on old days too.

`AutomationCondition.eager()` looks at the latest day only, and waits for every source. Bills are restated for months,
and one cluster that is down must not hold up the others: a table is made from the sources that are there, and says
which are not.
"""

from functools import cache
from typing import Any

import dagster as dg

from kubecost_pipelines.settings import Settings

NAME = "derived_tables"
LEVELS = 3
"""How far up a table looks for what is at work: from reconciled allocations to the inventory."""


@cache
def follows_its_sources() -> dg.AutomationCondition[Any]:
    """Return the condition of a derived table: a source has changed, or the day has sources and was never made.

    It waits while a source of that day, or a source of a source, is at work or about to be, so that a change runs
    through the graph once: allocations would otherwise be reconciled before the assets that come with them. Each change
    is answered by one run, whatever becomes of it: a day whose run failed waits for the next change, or for `settle`.
    """
    condition = dg.AutomationCondition
    is_changed = condition.any_deps_match(condition.newly_updated()).since_last_handled()
    is_new = condition.missing() & condition.any_deps_match(~condition.missing()) & ~condition.execution_failed()
    is_moving = condition.any_deps_match(_is_moving(LEVELS))
    return (
        (is_changed.with_label("a source has changed") | is_new.with_label("never made, and a source is there"))
        & ~is_moving.with_label("a source is at work")
        & ~condition.in_progress()
    ).with_label("follows its sources, on old days too")


def _is_moving(levels: int) -> dg.AutomationCondition[Any]:
    """Return whether a table is at work or about to be, or one that it is made from is."""
    condition = dg.AutomationCondition
    is_moving = condition.in_progress() | condition.will_be_requested()
    return is_moving | condition.any_deps_match(_is_moving(levels - 1)) if levels else is_moving


def build_automation(settings: Settings) -> dg.AutomationConditionSensorDefinition:
    """Build the switch of all derived tables."""
    status = dg.DefaultSensorStatus.RUNNING if settings.runs_by_itself else dg.DefaultSensorStatus.STOPPED
    return dg.AutomationConditionSensorDefinition(
        NAME,
        target=dg.AssetSelection.all(),
        default_status=status,
        description="Makes the tables that are made from others again, for every day on which a source has changed.",
    )
