"""Allocations: what workloads cost, grouped, filtered, with idle and shared cost as the question wants them.

Answers are columns, not rows: a year by day has thousands of items of forty figures, which are computed all at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

from kubecost_pipelines.core import serving
from kubecost_pipelines.operations.costs.allocation_query import MAX_ITEMS, AllocationQueries
from kubecost_pipelines.operations.costs.questions import AllocationQuestion, QuestionError, set_windows

if TYPE_CHECKING:
    import numpy as np


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
        sets: `[start, end)` days of each set, in order.
        columns: one value per item: `name`, sums as `core.serving` names them, and what its rows have in common. Items
            are in the order of their sets, and the dearest first.
        bounds: where the items of each set begin, and at last where they end.
    """

    sets: list[tuple[date, date]]
    columns: "Mapping[str, np.ndarray[Any, Any]]" = field(default_factory=dict)
    bounds: list[int] = field(default_factory=list)

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
        """Return one set per step of the window."""
        import numpy as np  # noqa: PLC0415 - not needed to start

        sets = set_windows(*question.days, question.step)
        if not sets:
            return Allocations([])
        query = self._queries.compile(question)
        found = self._rows.columns(query.sql, query.parameters)
        of_set = found["set_start"].astype("datetime64[D]")
        if len(of_set) > MAX_ITEMS:
            raise QuestionError(
                f"the answer has more than {MAX_ITEMS:,} items: aggregate, filter, or ask for a shorter window."
            )
        starts = np.array([start for start, _ in sets], "datetime64[D]")
        bounds = [*np.searchsorted(of_set, starts).tolist(), len(of_set)]
        # The idle cost beside filtered items has no other sums.
        sums = {name: np.ma.filled(found[name], 0.0) for name in serving.AMOUNTS}
        return Allocations(sets, {**found, **sums}, bounds)
