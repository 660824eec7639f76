"""Windows as Kubecost's API takes them, text to `Window`.

Words (`today`, `week`, …) follow the offset that `now` carries; weeks start on Sunday; `week` and `month` end now. A
duration ends at the end of the running minute, hour or day of UTC, whatever the offset: `24h` is not `1d`. With
`offset` nothing is rounded. Stricter than Kubecost and OpenCost, which take reversed windows, impossible dates and
junk around two times, and count 24 weeks for a `w` of an offset.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

from kubecost_pipelines.core.window import DAY, Window

FORMS = (
    "today, yesterday, week, month, lastweek, lastmonth",
    "a duration: 15m, 24h, 7d, 2w",
    "a duration in the past: 24h offset 1d",
    "two Unix times: 1586822400,1586908800",
    "two UTC times: 2020-04-01T00:00:00Z,2020-04-03T00:00:00Z",
)
"""What `parse_window` accepts, for error messages and help."""

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": DAY, "w": 7 * DAY}
_GRIDS = {**_UNITS, "w": DAY}
"""What the end of a duration is aligned to: a week's is a day."""

_TIME = r"([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}Z)"
_ZERO = datetime.min.replace(tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 80
"""Characters of a wrong window that its error repeats."""


def parse_window(text: str, now: datetime) -> Window:
    """Return the window that `text` names at `now`.

    Args:
        text: one of `FORMS`, exactly: lower case, no blanks around it.
        now: an aware time; its offset is the one by which days, weeks and months are meant.

    Raises:
        ValueError: another form, an impossible date, a window that ends before it starts, or one beyond the years 1
            to 9999. The message names the forms that are accepted.
    """
    if now.utcoffset() is None:
        raise ValueError(f"`now` must carry its offset from UTC, and {now!r} does not")
    for pattern, read in _READERS:
        if found := re.fullmatch(pattern, text):
            try:
                return Window(*(time.astimezone(UTC) for time in read(found, now)))
            except (ValueError, OverflowError) as error:
                raise ValueError(_refusal(text, f" ({error})")) from None
    raise ValueError(_refusal(text))


def _refusal(text: str, why: str = "") -> str:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return f"illegal window: {shown}{why[:200]}. A window is one of: {'; '.join(FORMS)}."


def _word(found: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    local = now.astimezone(timezone(now.utcoffset() or timedelta()))
    today = local.replace(hour=0, minute=0, second=0, microsecond=0)
    month = today.replace(day=1)
    match found[0]:
        case "today":
            return today, today + DAY
        case "yesterday":
            return today - DAY, today
        case "month":
            return month, local
        case "lastmonth":
            return (month - DAY).replace(day=1), month
    sunday = today - today.isoweekday() % 7 * DAY
    return (sunday, local) if found[0] == "week" else (sunday - 7 * DAY, sunday)


def _duration(found: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    grid = _GRIDS[found[2]]
    end = _ZERO + (now - _ZERO) // grid * grid + grid
    return end - _length(found[1], found[2]), end


def _duration_in_the_past(found: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    end = now - _length(found[3], found[4])
    return end - _length(found[1], found[2]), end


def _length(count: str, unit: str) -> timedelta:
    return int(count) * _UNITS[unit]


def _unix_times(found: re.Match[str], _now: datetime) -> tuple[datetime, datetime]:
    start, end = (_EPOCH + timedelta(seconds=int(seconds)) for seconds in found.groups())
    return start, end


def _utc_times(found: re.Match[str], _now: datetime) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(found[1]), datetime.fromisoformat(found[2])


_READERS: tuple[tuple[str, Callable[[re.Match[str], datetime], tuple[datetime, datetime]]], ...] = (
    (r"today|yesterday|week|month|lastweek|lastmonth", _word),
    (r"([0-9]+)([mhdw])", _duration),
    (r"([0-9]+)([mhdw]) offset ([0-9]+)([mhdw])", _duration_in_the_past),
    (r"([0-9]+)[,|-]([0-9]+)", _unix_times),
    (f"{_TIME},{_TIME}", _utc_times),
)
