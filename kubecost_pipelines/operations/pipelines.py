"""Pipelines: which assets a process rebuilds or repairs, and for which days.

Decided from the graph that Dagster has loaded, so that a remote deployment needs no copy of its settings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from kubecost_pipelines.core.tables import (
    ALLOCATIONS,
    ALLOCATIONS_HOURLY,
    ASSET_COSTS,
    CLOUD_ASSETS,
    CLOUD_BILLING,
    RECONCILED_ALLOCATIONS_HOURLY,
    RECONCILED_ASSETS,
    Table,
)
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.core.window_parser import parse_window
from kubecost_pipelines.operations.errors import IllegalWindowError, UnknownTargetError

Pipeline = Literal["cloud-assets", "reconciliation", "allocations"]

TABLES_OF: Mapping[Pipeline, tuple[str, ...]] = {
    "cloud-assets": (CLOUD_BILLING.name, CLOUD_ASSETS.name),
    "reconciliation": (CLOUD_BILLING.name, RECONCILED_ASSETS.name, ASSET_COSTS.name),
    "allocations": (
        *(ALLOCATIONS.name, "reconciled_allocations"),
        *(ALLOCATIONS_HOURLY.name, RECONCILED_ALLOCATIONS_HOURLY.name),
    ),
}
"""A pipeline begins where the data comes from: its bill or its cluster is read again. What lies downstream follows by
automation."""
_OWN: Mapping[Pipeline, Table] = {
    "cloud-assets": CLOUD_ASSETS,
    "reconciliation": RECONCILED_ASSETS,
    "allocations": ALLOCATIONS,
}
"""The table that only this pipeline writes: where it is missing, the process is off."""

TAG = "kubecost_pipelines"
"""Prefix of the tags that our backfills carry."""


@dataclass(frozen=True)
class Node:
    """One daily asset of the graph, and whose it is."""

    key: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def target(self) -> str:
        """`aws/111122223333`, a cluster's name, or nothing for a table over all of them."""
        if "provider_key" in self.tags:
            return f"{self.tags.get('provider')}/{self.tags['provider_key']}"
        return self.tags.get("cluster", "")


@dataclass(frozen=True)
class Graph:
    """The daily assets that Dagster has loaded, and the days that they have."""

    nodes: Sequence[Node]
    days: Sequence[date]


@dataclass(frozen=True)
class Plan:
    """What is to run: these assets, for each of these days (without a gap)."""

    pipeline: Pipeline
    verb: Literal["rebuild", "repair"]
    target: str
    """The one bill or cluster that it is for; nothing for all of them."""
    keys: tuple[tuple[str, ...], ...]
    days: tuple[date, ...]

    @property
    def assets(self) -> list[str]:
        return ["/".join(key) for key in self.keys]

    @property
    def title(self) -> str:
        return f"{self.verb} {self.pipeline} of {self.target or 'all'}"

    @property
    def in_words(self) -> str:
        return f"{self.title}: {len(self.keys)} assets × {len(self.days)} days, {self.days[0]} to {self.days[-1]}"

    @property
    def tags(self) -> dict[str, str]:
        """What lets a later rebuild or repair find its own, and people filter the UI's list."""
        whose = "cluster" if self.pipeline == "allocations" else "provider_key"
        one = {f"{TAG}/{whose}": self.target.rpartition("/")[2]} if self.target else {}
        return {
            f"{TAG}/process": self.pipeline,
            f"{TAG}/first_day": str(self.days[0]),
            f"{TAG}/last_day": str(self.days[-1]),
            **one,
        }


def plan_rebuild(graph: Graph, pipeline: Pipeline, target: str | None = None) -> Plan:
    """Plan to write every day of a pipeline again, for one bill or cluster or for all.

    Args:
        graph: what Dagster has loaded.
        pipeline: which.
        target: a ProviderKey (`aws/111122223333` or the id alone) or a cluster's name.

    Raises:
        UnknownTargetError: the graph has no such bill or cluster, or does not run the pipeline for it.
    """
    return _plan(graph, pipeline, "rebuild", target, graph.days)


def plan_repair(graph: Graph, pipeline: Pipeline, window: str, now: datetime, target: str | None = None) -> Plan:
    """Plan to write again every UTC day that a window touches; arguments as for `plan_rebuild`.

    Raises:
        IllegalWindowError: the window does not parse, or touches no day that can be repaired.
        UnknownTargetError: as `plan_rebuild`.
    """
    try:
        asked = parse_window(window, now)
    except ValueError as error:
        raise IllegalWindowError(str(error)) from None
    touched = set(asked.days)
    days = [day for day in graph.days if day in touched]
    if not days:
        known = Window.of_days(graph.days[0], graph.days[-1]).in_words if graph.days else "none"
        raise IllegalWindowError(
            f"no day of {asked} can be repaired: there are {known}. A day can be repaired when it has ended; try "
            "--window 7d."
        )
    return _plan(graph, pipeline, "repair", target, days)


def _plan(
    graph: Graph,
    pipeline: Pipeline,
    verb: Literal["rebuild", "repair"],
    target: str | None,
    days: Sequence[date],
) -> Plan:
    nodes = [node for node in graph.nodes if node.key[0] in TABLES_OF[pipeline]]
    known = sorted({node.target for node in nodes if node.key[0] == _OWN[pipeline].name})
    chosen = known if target is None else [one for one in known if target in (one, one.rpartition("/")[2])]
    if not chosen:
        what = "no such bill or cluster" if target else "no bill or cluster that it runs for"
        raise UnknownTargetError(
            f"{pipeline}{f' of {target}' if target else ''}: {what}. There are: {', '.join(known) or 'none'}. Name one "
            "of them, add it to the settings, or switch the process on (`off` in docs/settings.md)."
        )
    if target and len(chosen) > 1:
        raise UnknownTargetError(f"{target} is more than one: {', '.join(chosen)}. Name the provider too.")
    if not days:
        raise IllegalWindowError("there is no day yet: the first one (`start_date`) has not ended.")
    keys = tuple(node.key for node in nodes if not node.target or node.target in chosen)
    return Plan(pipeline, verb, chosen[0] if target else "", keys, tuple(days))
