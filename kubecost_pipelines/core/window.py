"""Windows: half-open UTC intervals `[start, end)`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

DAY = timedelta(days=1)
HOURS_PER_MONTH = 730
"""Kubecost's month, by which costs per month are meant."""


@dataclass(frozen=True, order=True)
class Window:
    """A half-open interval `[start, end)` of aware UTC times."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.utcoffset() != timedelta(0) or self.end.utcoffset() != timedelta(0):
            raise ValueError(f"a window takes aware UTC times, not {self.start!r} and {self.end!r}")
        if self.end < self.start:
            raise ValueError(f"a window cannot end ({self.end}) before it starts ({self.start})")

    @classmethod
    def of_day(cls, day: date) -> "Window":
        return cls.of_days(day, day)

    @classmethod
    def of_days(cls, first: date, last: date) -> "Window":
        """Return the window from the start of `first` to the end of `last`."""
        return cls(midnight(first), midnight(last) + DAY)

    @property
    def days(self) -> list[date]:
        """Every UTC day that the window touches."""
        if self.end == self.start:
            return []
        first, last = self.start.date(), (self.end - timedelta(microseconds=1)).date()
        return [first + DAY * i for i in range((last - first).days + 1)]

    def by_month(self) -> Iterator["Window"]:
        """Split the window where billing periods meet."""
        start = self.start
        while start < self.end:
            end = min(self.end, midnight(next_month(start.date())))
            yield Window(start, end)
            start = end

    @property
    def in_words(self) -> str:
        """The days as a reader wants them: `2026-10-05` or `2026-10-01 to 2026-10-31`."""
        days = self.days
        return " to ".join(map(str, dict.fromkeys((days[0], days[-1])))) if days else "no day"

    def __str__(self) -> str:
        return f"[{self.start:%Y-%m-%dT%H:%M:%SZ}, {self.end:%Y-%m-%dT%H:%M:%SZ})"


def midnight(day: date) -> datetime:
    """Return the UTC instant at which `day` starts."""
    return datetime.combine(day, time(), UTC)


def next_month(day: date) -> date:
    """Return the first day of the month after the one that `day` lies in."""
    return (day.replace(day=1) + 32 * DAY).replace(day=1)
