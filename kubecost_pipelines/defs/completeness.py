"""Completeness: a table over many clusters or bills is made from those that are there, and names the others."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from kubecost_pipelines.core.expectations import Expectation
from kubecost_pipelines.core.tables import Table
from kubecost_pipelines.defs.reporting import Report
from kubecost_pipelines.defs.workbench import Tools

MISSING = "missing"
"""Where a day's file and its materialisation name the sources that it was made without."""


def name_missing(
    tools: Tools,
    report: Report,
    expectation: Expectation,
    table: Table,
    sources: Mapping[str, Sequence[str]],
    days: Sequence[date],
) -> dict[date, dict[str, Any]]:
    """Report the sources that lack a day of `table`.

    Args:
        tools: the lake to look into.
        report: takes the expectation's offenders.
        expectation: that every source is there.
        table: what the sources should hold.
        sources: name for people -> key parts in the lake.
        days: the days that are made.

    Returns:
        Per day that lacks one, what its file and its materialisation are to say.
    """
    held = {name: tools.lake.held_days(table, key) for name, key in sources.items()}
    missing = {day: [name for name in sources if day not in held[name]] for day in days}
    report.note(expectation, [{"date": day, "missing": name} for day, names in missing.items() for name in names])
    return {day: {MISSING: names} for day, names in missing.items() if names}
