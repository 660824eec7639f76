"""Reporting: what a run says of the days it wrote: figures per day, checks, charts, and what failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import dagster as dg
import ibis.expr.types as ir

from kubecost_pipelines.core.expectations import Expectation
from kubecost_pipelines.core.window import Window
from kubecost_pipelines.lake import Written

if TYPE_CHECKING:
    Materialized: TypeAlias = dg.MaterializeResult[None]
else:
    Materialized = dg.MaterializeResult
"""What an asset body returns. Dagster reads annotations, and does not know its own class with a parameter."""

SHOWN, FOUND = 20, 200
"""Rows of a table in the UI, and offenders that a check looks for; the whole is a query away."""


STATE, SETTLED, PROVISIONAL = "state", "settled", "provisional"
"""Whether a day's bill counted as complete when it was written, as its file and its materialisation say it."""


def window_of(context: dg.AssetExecutionContext) -> Window:
    """Return the days that this run is to write."""
    start, end = context.partition_time_window
    return Window(start, end)


@dataclass
class Report:
    """Collects what one run has to say about one asset, over all of its batches."""

    context: dg.AssetExecutionContext
    settled: Sequence[date] = ()
    written: list[Written] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    """What is about the run and not about a day: tables and charts."""
    by_day: dict[date, dict[str, Any]] = field(default_factory=dict)
    """What is about one day and is no figure of its file."""
    _offenders: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _expectations: dict[str, Expectation] = field(default_factory=dict)

    def add(self, written: Sequence[Written]) -> None:
        """Take down what was published."""
        self.written.extend(written)

    def check(self, expectation: Expectation, rows: ir.Table) -> None:
        """Run an expectation on a batch; its failures add up over the batches."""
        self._expectations[expectation.name] = expectation
        found = expectation.offenders(rows).limit(FOUND).to_pyarrow().to_pylist()
        self._offenders.setdefault(expectation.name, []).extend(found)

    def note(self, expectation: Expectation, offenders: Sequence[Mapping[str, Any]]) -> None:
        """Record an expectation whose offenders are known already."""
        self._expectations[expectation.name] = expectation
        self._offenders.setdefault(expectation.name, []).extend(map(dict, offenders))

    def state_of(self, day: date) -> str:
        return SETTLED if day in self.settled else PROVISIONAL

    def result(self) -> Materialized:
        """Return the run's result, or fail after recording the days that did succeed.

        Raises:
            dagster.Failure: some days failed. The others are published and recorded; the failed ones are as before.
        """
        if self.failures:
            self._fail()
        for one in self.written:
            self.context.add_asset_metadata(self._figures(one), partition_key=str(one.day))
        return dg.MaterializeResult(check_results=self._check_results())

    def _fail(self) -> NoReturn:
        # What a step returns or logs through its context is dropped when it fails; these events are not.
        instance, key = self.context.instance, self.context.asset_key
        for one in self.written:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(key, partition=str(one.day), metadata=self._figures(one))
            )
        for found in self._check_results():
            evaluation = dg.AssetCheckEvaluation(
                key,
                found.check_name or "",
                found.passed,
                metadata=found.metadata,
                severity=found.severity,
                description=found.description,
            )
            instance.report_runless_asset_event(evaluation)
        lines = [f"{what}: {error}" for what, error in self.failures.items()]
        raise dg.Failure(
            description="\n".join([f"{len(lines)} failed, {len(self.written)} days written.", *lines]),
            metadata={"failed": dg.MetadataValue.md("\n".join(f"- {line}" for line in lines))},
        )

    def _figures(self, one: Written) -> dict[str, Any]:
        state = {STATE: self.state_of(one.day)}
        sums = {f"Σ {name}": _number(value) for name, value in one.sums.items()}
        # What is about the whole run stands at its last day: once, not on every day's page.
        of_run = self.metadata if one is self.written[-1] else {}
        of_day = self.by_day.get(one.day, {})
        return {"dagster/partition_row_count": one.rows, **state, **sums, **one.details, **of_day, **of_run}

    def _check_results(self) -> list[dg.AssetCheckResult]:
        return [self._check_result(name, offenders) for name, offenders in self._offenders.items()]

    def _check_result(self, name: str, offenders: list[dict[str, Any]]) -> dg.AssetCheckResult:
        expectation = self._expectations[name]
        severity = dg.AssetCheckSeverity.WARN if expectation.severity == "warn" else dg.AssetCheckSeverity.ERROR
        metadata: dict[str, Any] = {"offenders": len(offenders), "days": _days(self.written)}
        if offenders:
            metadata["worst"] = as_table(offenders)
        return dg.AssetCheckResult(
            check_name=name,
            passed=not offenders,
            severity=severity,
            metadata=metadata,
            description=f"{len(offenders)}{' or more' * (len(offenders) >= FOUND)} found." if offenders else None,
        )


def as_table(rows: Sequence[Mapping[str, Any]], at_most: int = SHOWN) -> dg.TableMetadataValue | dg.TextMetadataValue:
    """Return the first rows as a table for the UI; values that it has no type for become text."""
    if not rows:
        return dg.MetadataValue.text("none")
    records = [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows[:at_most]]
    return dg.MetadataValue.table(records)


def _cell(value: Any) -> str | int | float | bool:
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | Decimal):
        return round(float(value), 6)
    return "" if value is None else str(value)


def _number(value: Decimal | float) -> float:
    return round(float(value), 6)


def _days(written: Sequence[Written]) -> str:
    days = sorted(one.day for one in written)
    return Window.of_days(days[0], days[-1]).in_words if days else "none"
