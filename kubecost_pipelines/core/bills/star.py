"""Star: a bill taken apart, so that what its lines repeat is looked at once.

An export writes the same ids, tags and names on the lines of every day. A star schema has each combination of them
once, numbered, and a line has that number and its figures.
"""

from dataclasses import dataclass

import ibis.expr.types as ir

LINES, TEXTS, DATES = "lines", "texts", "dates"
"""The tables of a star. The last two are also the columns of numbers, in the lines and in those tables."""


@dataclass(frozen=True)
class StarColumns:
    """Which columns of a bill are texts, which say the day, and which are figures: by the bill's own names."""

    texts: tuple[str, ...]
    dates: tuple[str, ...]
    figures: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.texts, *self.dates, *self.figures)


@dataclass(frozen=True)
class Star:
    """A bill taken apart; every column is as the bill has it."""

    lines: ir.Table
    """One row per line of the bill: `texts`, `dates`, and the figures."""
    texts: ir.Table
    """The number `texts`, and the texts that it stands for; two numbers may stand for the same."""
    dates: ir.Table
    """The number `dates`, and the dates that it stands for, likewise."""
