"""What every bill format is read with: named source columns, and the days of a billing period."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from kubecost_pipelines.core.tables import CLOUD_BILLING, COST
from kubecost_pipelines.core.window import Window, next_month

SHORT_COST = "decimal(18, 12)"
"""Cost below a million: 64 bits, in which DuckDB reads long texts many times as fast as in `COST`'s 128."""


class UnknownBillError(ValueError):
    """The rows are not those of a bill format that we know. The message names the missing columns and the cure."""


@dataclass(frozen=True)
class Source:
    """A column of the bill: its names (the first that is there counts), its type, and whether we can do without it."""

    names: tuple[str, ...]
    type: str = "string"
    is_required: bool = False


class Keep(Protocol):
    """Computes rows that several steps read, once."""

    def __call__(self, what: str, rows: ir.Table, /, *, is_repeated: bool = False) -> ir.Table:
        """Return the computed rows.

        Args:
            what: what they are, as a name.
            rows: to be computed.
            is_repeated: whether many other rows will repeat what these say.
        """
        ...


class SourceColumns:
    """The columns of a bill, found by the names that their format gives them."""

    def __init__(self, bill: ir.Table, canonical: Callable[[str], str]) -> None:
        self._bill = bill
        self.of: dict[str, list[str]] = {}
        for name in bill.columns:
            self.of.setdefault(canonical(name), []).append(name)

    def find(self, source: Source) -> str | None:
        """Return the bill's own name for a source; None where it has none."""
        return next((self.of[name][0] for name in source.names if name in self.of), None)

    def found(self, sources: Iterable[Source]) -> tuple[str, ...]:
        """Return the bill's own names for those of the sources that it has."""
        return tuple(name for source in sources if (name := self.find(source)))

    def missing(self, sources: Iterable[Source]) -> list[str]:
        """Return the required sources that the bill lacks."""
        return [source.names[0] for source in sources if source.is_required and not self.find(source)]

    def text(self, source: Source) -> ir.StringValue:
        """Return a source as text; null where it is absent or empty."""
        found = self.find(source)
        return self._bill[found].cast("string").nullif("") if found else ibis.null().cast("string")

    def number(self, source: Source) -> ir.Value:
        """Return a source as its number. Words in a required one fail; elsewhere they read as empty."""
        found = self.find(source)
        if found is None:
            return ibis.null().cast(source.type)
        column = self._bill[found]
        if not column.type().is_string():
            return column.cast(source.type)
        text = column.nullif("")
        if source.type == COST:
            return read_cost(text, may_be_words=not source.is_required)
        return text.cast(source.type) if source.is_required else text.try_cast(source.type)


def read_cost(text: ir.StringValue, *, may_be_words: bool = False) -> ir.DecimalValue:
    """Return the cost (`COST`) that a text says. Words fail, or read as empty where they may be there."""
    rest = text.try_cast(COST) if may_be_words else text.cast(COST)
    return ibis.coalesce(text.try_cast(SHORT_COST).cast(COST), rest)


def billing_period(window: Window) -> tuple[date, date]:
    """Return the first and the last day of the month that the window lies in."""
    first = window.start.date().replace(day=1)
    return first, next_month(first) - timedelta(days=1)


def clamp(day: ir.DateValue, window: Window) -> ir.DateValue:
    """Return the day itself, or the nearest one of the billing period, so that no line falls out of every day."""
    first, last = billing_period(window)
    return ibis.greatest(ibis.least(day, ibis.date(last)), ibis.date(first))


def within_month(rows: ir.Table, window: Window) -> ir.Table:
    """Keep the rows of the window's days, and add the `date` on which each counts; drops `period_start`.

    A late charge is on the invoice of the month that its billing period is, not of its day. Periods that are not
    calendar months (`period_start` null, or not a first) say nothing about that.
    """
    first, last = billing_period(window)
    is_month = (rows.period_start.day() == 1).fill_null(False)
    home = ibis.ifelse(is_month, rows.period_start, rows.charge_period_start)
    rows = rows.filter(home.between(ibis.date(first), ibis.date(last)))
    rows = rows.mutate(date=clamp(rows.charge_period_start, window)).drop("period_start")
    return rows.filter(rows.date.between(ibis.date(window.days[0]), ibis.date(window.days[-1])))


def join_same(rows: ir.Table, told: ir.Table, keys: Sequence[str]) -> ir.Table:
    """Add the columns of `told`, which has each combination of `keys` once; null is the same as null."""
    same = [rows[name].identical_to(told[name]) for name in keys]
    return rows.inner_join(told, same, rname="told_{name}").drop(*(f"told_{name}" for name in keys))


def as_cloud_billing(rows: ir.Table, named: Mapping[str, ir.Value], labels: Mapping[str, ir.Value]) -> ir.Table:
    """Return `date`, the columns of `cloud_billing` (null where `named` and `rows` have none), and the labels."""
    schema = {"date": dt.date, **CLOUD_BILLING.schema(), **dict.fromkeys(labels, dt.string)}
    values: dict[str, ir.Value] = {**{name: rows[name] for name in rows.columns}, **named, **labels}
    return rows.select(**{name: values.get(name, ibis.null()).cast(type_) for name, type_ in schema.items()})
