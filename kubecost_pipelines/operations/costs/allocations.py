"""Allocations: what workloads cost, grouped, filtered, with idle and shared cost as the question wants them.

Answers are columns, not rows: a year by day has thousands of items of forty figures, which are computed all at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

from kubecost_pipelines.core import serving
from kubecost_pipelines.core.window import midnight
from kubecost_pipelines.operations.costs.allocation_query import MAX_ITEMS, AllocationQueries
from kubecost_pipelines.operations.costs.questions import AllocationQuestion, Hours, QuestionError, set_windows

if TYPE_CHECKING:
    import numpy as np

_HOURS_CURE = (
    "set `step: 1h` of a cluster, or of `allocation` for all, and materialise its `allocations_hourly` and "
    "`reconciled_allocations_hourly`"
)


class Rows(Protocol):
    """What answers: the serving store."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return rows."""

    def columns(self, sql: str, parameters: Sequence[object] = ()) -> "Mapping[str, np.ndarray[Any, Any]]":
        """Return the same as columns."""


@dataclass
class Allocations:
    """The items of an answer.

    Attributes:
        sets: `[start, end)` of each set, in order: days, or with a step of hours UTC times.
        columns: one value per item: `name`, sums as `core.serving` names them, and what its rows have in common. Items
            are in the order of their sets, and the dearest first.
        bounds: where the items of each set begin, and at last where they end.
        without_hours: with a step of hours, days of the window by the cluster that has costs and no hours of them.
    """

    sets: list[tuple[date, date]]
    columns: "Mapping[str, np.ndarray[Any, Any]]" = field(default_factory=dict)
    bounds: list[int] = field(default_factory=list)
    without_hours: Mapping[str, list[date]] = field(default_factory=dict)

    @property
    def edges(self) -> "np.ndarray[Any, np.dtype[np.datetime64]]":
        """`sets` as UTC seconds: a line with two times for each."""
        import numpy as np  # noqa: PLC0415 - not needed to start

        times = [
            [edge.replace(tzinfo=None) if isinstance(edge, datetime) else edge for edge in one] for one in self.sets
        ]
        return np.array(times, "datetime64[s]")

    def cut(self, offset: int, limit: int | None) -> "Allocations":
        """Return so many items of each set, after the first `offset`."""
        import numpy as np  # noqa: PLC0415 - not needed to start

        if not self.columns or (offset == 0 and limit is None):
            return self
        starts, ends = np.array(self.bounds[:-1]), np.array(self.bounds[1:])
        starts = np.minimum(starts + offset, ends)
        ends = ends if limit is None else np.minimum(starts + limit, ends)
        kept = np.concatenate([np.arange(start, end) for start, end in zip(starts, ends, strict=True)])
        bounds = [0, *np.cumsum(ends - starts).tolist()]
        return Allocations(self.sets, {name: values[kept] for name, values in self.columns.items()}, bounds)

    def split(self, items: "Sequence[dict[str, Any]]") -> list[dict[str, dict[str, Any]]]:
        """Return what was made of each item as one map per set, by name."""
        if not self.columns:
            return [{} for _ in self.sets]
        return [
            {item["name"]: item for item in items[start:end]}
            for start, end in zip(self.bounds, self.bounds[1:], strict=False)
        ]


class AllocationCosts:
    """Answers questions about allocations.

    Args:
        rows: the serving store.
        label_keys: the labels that it keeps sums of.
    """

    def __init__(self, rows: Rows, label_keys: Sequence[str]) -> None:
        self._rows, self._queries = rows, AllocationQueries(label_keys)

    def ask(self, question: AllocationQuestion) -> Allocations:
        """Return one set per step of the window.

        Raises:
            QuestionError: more items than an answer may have, or hours that the store does not keep.
        """
        import numpy as np  # noqa: PLC0415 - not needed to start

        without_hours = self._without_hours(question) if isinstance(question.step, Hours) else {}
        found_sets = Allocations(set_windows(*question.bounds, question.step), without_hours=without_hours)
        if not found_sets.sets:
            return found_sets
        query = self._queries.compile(question)
        found = self._rows.columns(query.sql, query.parameters)
        of_set = found["set_start"].astype("datetime64[s]")
        if len(of_set) > MAX_ITEMS:
            raise QuestionError(
                f"the answer has more than {MAX_ITEMS:,} items: aggregate, filter, or ask for a shorter window."
            )
        bounds = [*np.searchsorted(of_set, found_sets.edges[:, 0]).tolist(), len(of_set)]
        # The idle cost beside filtered items has no other sums.
        sums = {name: np.ma.filled(found[name], 0.0) for name in serving.AMOUNTS}
        return replace(found_sets, columns={**found, **sums}, bounds=bounds)

    def _without_hours(self, question: AllocationQuestion) -> dict[str, list[date]]:
        [kept] = self._rows.query(f"SELECT max(day) AS newest FROM lake_files WHERE stored_in = '{serving.HOURS}'")
        if kept["newest"] is None:
            raise QuestionError(f"no cluster has hours: {_HOURS_CURE}.")
        first = serving.first_hourly_day(kept["newest"])
        if question.window.start < midnight(first):
            raise QuestionError(
                f"hours are answered from {first} on, {serving.HOURLY_DAYS} days up to the newest that has some: ask "
                "for a later window, or for days. Earlier hours are in the lake, in `reconciled_allocations_hourly`."
            )
        query = self._queries.days_without_hours(question)
        found: dict[str, list[date]] = {}
        for row in self._rows.query(query.sql, query.parameters):
            found.setdefault(row["cluster"], []).append(row["date"])
        return found
