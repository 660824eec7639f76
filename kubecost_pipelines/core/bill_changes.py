"""Bill changes: which days of a bill are to be read again, decided from what the bill says and what the lake holds.

What the bill says is remembered in a cursor: a fingerprint per month, and a digest per day of the months that may still
change. What the lake holds is asked of the lake, so that a day whose run failed, or whose file somebody deleted, is a
day that is missing. Nothing here asks anybody anything.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from kubecost_pipelines.core.bills.digest import NOTHING, DayDigest
from kubecost_pipelines.core.settling import is_settled
from kubecost_pipelines.core.window import DAY, Window, next_month

CLOSED_MONTH_EVERY = 6
"""Months that are over, and the first days of this one, are asked for at every sixth question, as Kubecost does it."""

WAITING_AT_MOST = 400
"""Days that the cursor remembers to request; what is more is found again by the next question."""


@dataclass(frozen=True)
class Pace:
    """How often to ask, about what, and how much to request at once."""

    refresh: timedelta
    trailing_days: int
    restatement_months: int
    days_per_tick: int
    is_billed_by_day: bool = False
    """Whether reading fewer days costs less; a file is read whole anyway."""


@dataclass(frozen=True)
class Question:
    """What to ask a bill: the days of one month, all of them (so far) or the trailing ones."""

    window: Window
    is_whole: bool

    @property
    def month(self) -> str:
        return f"{self.window.start:%Y-%m}"


@dataclass(frozen=True)
class KnownMonth:
    """What a month's bill last said."""

    fingerprint: str = ""
    """Of the whole month's files."""
    trailing: str = ""
    """Of the trailing days, where they are asked for alone."""
    asked: datetime | None = None
    asked_whole: datetime | None = None
    days: Mapping[date, DayDigest] | None = None
    """None where the month is too large to be told apart by day."""


@dataclass(frozen=True)
class Cursor:
    """What is remembered from tick to tick: of at most `restatement_months` and the current month."""

    months: Mapping[str, KnownMonth] = field(default_factory=dict)
    waiting: tuple[date, ...] = ()
    """Days to request, in order."""
    requests: int = 0
    """Requests made so far: part of a run's key, so that a bill that returns to what it was is read again."""

    def to_text(self) -> str:
        """Return the cursor as JSON."""
        months = {
            name: {
                "fingerprint": month.fingerprint,
                "trailing": month.trailing,
                "asked": month.asked and month.asked.isoformat(),
                "asked_whole": month.asked_whole and month.asked_whole.isoformat(),
                "days": None
                if month.days is None
                else {f"{day:%d}": str(one) for day, one in sorted(month.days.items())},
            }
            for name, month in sorted(self.months.items())
        }
        return json.dumps({"months": months, "waiting": list(map(str, self.waiting)), "requests": self.requests})

    @classmethod
    def from_text(cls, text: str | None) -> "Cursor":
        """Return what `to_text` wrote. One that cannot be read is an empty one: the lake still knows what it holds."""
        try:
            content = json.loads(text or "{}")
            months = {name: _month(name, month) for name, month in content.get("months", {}).items()}
            return cls(months, tuple(map(date.fromisoformat, content.get("waiting", ()))), content.get("requests", 0))
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()


def _month(name: str, content: Mapping[str, object]) -> KnownMonth:
    days = content["days"]
    return KnownMonth(
        str(content["fingerprint"]),
        str(content["trailing"]),
        _time(content["asked"]),
        _time(content["asked_whole"]),
        {date.fromisoformat(f"{name}-{day}"): DayDigest.parse(text) for day, text in days.items()}
        if isinstance(days, dict)
        else None,
    )


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(str(text)) if text else None


def due_questions(cursor: Cursor, now: datetime, start: date, pace: Pace) -> list[Question]:
    """Return what to ask at `now`, newest month first.

    The months of the trailing days are asked for at every refresh. The others, as far back as bills are restated, and
    where days cost a query also the earlier days of this month, every sixth time.
    """
    yesterday = now.date() - DAY
    trailing = yesterday - (pace.trailing_days - 1) * DAY
    questions = []
    for month in _months(yesterday, pace.restatement_months):
        first, last = max(start, month), min(yesterday, next_month(month) - DAY)
        if first > last:
            continue
        known = cursor.months.get(f"{month:%Y-%m}", KnownMonth())
        is_recent = last >= trailing
        every = pace.refresh if is_recent and not pace.is_billed_by_day else pace.refresh * CLOSED_MONTH_EVERY
        if _is_due(known.asked_whole, now, every):
            questions.append(Question(Window.of_days(first, last), is_whole=True))
        elif is_recent and _is_due(known.asked, now, pace.refresh):
            questions.append(Question(Window.of_days(max(first, trailing), last), is_whole=False))
    return questions


def _months(yesterday: date, earlier: int) -> Iterable[date]:
    month = yesterday.replace(day=1)
    for _ in range(earlier + 1):
        yield month
        month = (month - DAY).replace(day=1)


def _is_due(asked: datetime | None, now: datetime, every: timedelta) -> bool:
    return asked is None or now - asked >= every


@dataclass(frozen=True)
class Answer:
    """What a bill answers: its fingerprint now and, where that is another one than asked with, its days."""

    fingerprint: str
    days: Mapping[date, DayDigest] | None = None
    """None where the fingerprint is the known one, or where the days cannot be told (`note` says why)."""
    note: str = ""


def fingerprint_of(cursor: Cursor, question: Question) -> str:
    """Return the fingerprint that this question was last answered with."""
    known = cursor.months.get(question.month, KnownMonth())
    return known.fingerprint if question.is_whole else known.trailing


def take_in(
    cursor: Cursor,
    question: Question,
    answer: Answer,
    held: Mapping[date, DayDigest | None],
    now: datetime,
    settle: timedelta,
) -> Cursor:
    """Return the cursor with a bill's answer, the days to read again among those that wait.

    Args:
        cursor: what was known.
        question: what was asked.
        answer: what the bill says.
        held: day -> what the lake holds of it, None where that is unknown; days that it does not hold are left out.
        now: when that is.
        settle: how long after its end a day is settled.
    """
    known = cursor.months.get(question.month, KnownMonth())
    is_new = answer.fingerprint != fingerprint_of(cursor, question)
    days = _merged(known.days, answer, question, is_new)
    if days is not None:
        wanted = _differing(question.window, days, held, now, settle)
    else:
        wanted = [day for day in question.window.days if is_new or day not in held]
    learned = (
        replace(known, fingerprint=answer.fingerprint, asked=now, asked_whole=now, days=days)
        if question.is_whole
        else replace(known, trailing=answer.fingerprint, asked=now, days=days)
    )
    others = [day for day in cursor.waiting if day not in set(question.window.days)]
    return replace(cursor, months={**cursor.months, question.month: learned}, waiting=(*others, *wanted))


def _merged(
    known: Mapping[date, DayDigest] | None, answer: Answer, question: Question, is_new: bool
) -> Mapping[date, DayDigest] | None:
    if answer.days is None:
        return None if is_new else known
    asked_for = set(question.window.days)
    kept = {day: one for day, one in (known or {}).items() if day not in asked_for}
    return {**kept, **{day: one for day, one in answer.days.items() if day in asked_for}}


def _differing(
    window: Window,
    bill: Mapping[date, DayDigest],
    held: Mapping[date, DayDigest | None],
    now: datetime,
    settle: timedelta,
) -> list[date]:
    """Return the days that the lake does not hold as the bill has them.

    A day that the bill does not have is read once it is settled: it then says that it has no bill.
    """

    def is_different(day: date) -> bool:
        if day in held:
            return held[day] != bill.get(day, NOTHING)
        return day in bill or is_settled(day, now, settle)

    return [day for day in window.days if is_different(day)]


def put_off(cursor: Cursor, question: Question, now: datetime) -> Cursor:
    """Return the cursor after a question that could not be answered: it is asked again when it is next due."""
    known = cursor.months.get(question.month, KnownMonth())
    asked_whole = now if question.is_whole else known.asked_whole
    months = {**cursor.months, question.month: replace(known, asked=now, asked_whole=asked_whole)}
    return replace(cursor, months=months)


def fill_history(cursor: Cursor, held: Collection[date], now: datetime, start: date, pace: Pace) -> Cursor:
    """Return the cursor, with the days before the months that are asked for which the lake does not hold."""
    oldest = list(_months(now.date() - DAY, pace.restatement_months))[-1]
    history = Window.of_days(start, oldest - DAY).days if start < oldest else []
    missing = [day for day in history if day not in held]
    others = [day for day in cursor.waiting if day >= oldest]
    return replace(cursor, waiting=(*others, *missing))


def next_days(
    cursor: Cursor, now: datetime, start: date, settle: timedelta, pace: Pace
) -> tuple[list[list[date]], Cursor]:
    """Return the days to request now, in runs of consecutive days, and the cursor without them.

    The newest settled days come first, for they are final; then the newest provisional ones. The cursor forgets the
    months that are no longer asked for.
    """
    waiting = sorted({day for day in cursor.waiting if start <= day < now.date()}, reverse=True)
    waiting.sort(key=lambda day: not is_settled(day, now, settle))
    chosen, left = waiting[: pace.days_per_tick], waiting[pace.days_per_tick :]
    asked_for = {f"{month:%Y-%m}" for month in _months(now.date() - DAY, pace.restatement_months)}
    months = {name: month for name, month in cursor.months.items() if name in asked_for}
    remembered = replace(
        cursor, months=months, waiting=tuple(left[:WAITING_AT_MOST]), requests=cursor.requests + bool(chosen)
    )
    return consecutive(chosen), remembered


def run_key(cursor: Cursor, days: Collection[date]) -> str:
    """Return what names a request for these days: another one when the bill says something else of them."""
    said = [_said(cursor.months.get(f"{day:%Y-%m}", KnownMonth()), day) for day in days]
    fingerprint = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    return f"{min(days)}:{max(days)}:{fingerprint}:{cursor.requests}"


def _said(month: KnownMonth, day: date) -> str:
    return str((month.days or {}).get(day, month.fingerprint))


def consecutive(days: Iterable[date]) -> list[list[date]]:
    """Return the days in runs of consecutive ones, the earliest first."""
    runs: list[list[date]] = []
    for day in sorted(set(days)):
        if runs and day - runs[-1][-1] == DAY:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs
