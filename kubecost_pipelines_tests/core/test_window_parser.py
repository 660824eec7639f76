"""Windows as Kubecost users write them: OpenCost's own cases, the quirks that we refuse, and properties."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubecost_pipelines.core.window import Window
from kubecost_pipelines.core.window_parser import FORMS, parse_window

CASES = json.loads((Path(__file__).parents[1] / "data" / "window_cases.json").read_text(encoding="utf-8"))
STRICTER = {
    "1586908800,1586822400": None,  # ends before it starts
    "x2020-04-01T00:00:00Z,2020-04-03T00:00:00Zy": None,  # junk around it
    "1d offset 1w": ("2024-04-25T08:01:04Z", "2024-04-26T08:01:04Z"),  # a week of seven days
}
NOW = datetime(2024, 5, 3, 8, 1, 4, tzinfo=UTC)

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=offsets)  # noqa: DTZ001 - they get one
counts = st.integers(0, 5000)
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(days=7)}
units = st.sampled_from(list(UNITS))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['group']}: {case['input']} at {case['now']}")
def test_a_window_means_what_it_means_to_opencost_or_is_refused(case: dict[str, Any]) -> None:
    now = datetime.fromisoformat(case["now"])
    expected = STRICTER.get(case["input"], None if case["error"] else (case["start"], case["end"]))

    if expected is None:
        with pytest.raises(ValueError, match="illegal window: " + re.escape(case["input"])):
            parse_window(case["input"], now)
        return
    window = parse_window(case["input"], now)

    assert (window.start, window.end) == tuple(map(datetime.fromisoformat, expected))


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("today", "2024-05-03T00:00:00Z", "2024-05-04T00:00:00Z"),
        ("month", "2024-05-01T00:00:00Z", "2024-05-03T08:01:04Z"),
        ("lastmonth", "2024-04-01T00:00:00Z", "2024-05-01T00:00:00Z"),
        ("24h", "2024-05-02T09:00:00Z", "2024-05-03T09:00:00Z"),  # not 1d
        ("2w", "2024-04-20T00:00:00Z", "2024-05-04T00:00:00Z"),  # ends with the day, not with the week
        ("0d", "2024-05-04T00:00:00Z", "2024-05-04T00:00:00Z"),
        ("1583712000-1583884800", "2020-03-09T00:00:00Z", "2020-03-11T00:00:00Z"),
        ("1583712000|1583884800", "2020-03-09T00:00:00Z", "2020-03-11T00:00:00Z"),
        ("1583712000,1583712000", "2020-03-09T00:00:00Z", "2020-03-09T00:00:00Z"),
        ("2024-02-29T00:00:00Z,2024-03-01T00:00:00Z", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("7d offset 2h", "2024-04-26T06:01:04Z", "2024-05-03T06:01:04Z"),
        ("15m offset 30m", "2024-05-03T07:16:04Z", "2024-05-03T07:31:04Z"),
    ],
)
def test_forms_that_the_grammar_gives(text: str, start: str, end: str) -> None:
    window = parse_window(text, NOW)

    assert (window.start, window.end) == (datetime.fromisoformat(start), datetime.fromisoformat(end))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " today",
        "today ",
        "today\n",
        "7d\n",
        "1583712000,1583884800\n",
        "2020-04-01T00:00:00Z,2020-04-03T00:00:00Z\n",
        "2020-04-01T00:00:00Z, 2020-04-03T00:00:00Z",
        "2020-04-01T00:00:00z,2020-04-03T00:00:00z",
        "2020-04-01t00:00:00Z,2020-04-03t00:00:00Z",
        "2023-02-29T00:00:00Z,2023-03-01T00:00:00Z",  # no such day
        "2020-04-01T24:00:00Z,2020-04-03T00:00:00Z",
        "2020-04-01T00:00:60Z,2020-04-03T00:00:00Z",
        "0000-01-01T00:00:00Z,2020-04-03T00:00:00Z",
        "2020-04-03T00:00:00Z,2020-04-01T00:00:00Z",
        "2020-04-01T00:00:00Z|2020-04-03T00:00:00Z",
        "-7d",
        "7 d",
        "7D",
        "1y",
        "30s",
        "٧d",  # seven, in Arabic digits
        "1d  offset 1w",
        "1d offset",
        "week offset 1w",
        "-5,10",
        "1.5,2",
        "1583712000,",
        "99999999999999999999,99999999999999999999",
        "99999999999999d",
        "1d offset 99999999999w",
        "9" * 5000 + "d",
        "lastweek,today",
    ],
)
def test_what_is_no_window_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(ValueError, match=r"illegal window: ") as refused:
        parse_window(text, NOW)

    assert all(form in str(refused.value) for form in FORMS)
    assert len(str(refused.value)) < 700


def test_now_must_carry_its_offset() -> None:
    with pytest.raises(ValueError, match="must carry its offset"):
        parse_window("today", NOW.replace(tzinfo=None))


@given(counts, units, times)
def test_a_duration_ends_with_the_running_unit_of_utc_whatever_the_offset(count: int, unit: str, now: datetime) -> None:
    window = parse_window(f"{count}{unit}", now)

    grid = min(UNITS[unit], timedelta(days=1))
    assert window.end - window.start == count * UNITS[unit]
    assert timedelta(0) < window.end - now <= grid
    assert (window.end - datetime(1970, 1, 1, tzinfo=UTC)) % grid == timedelta(0)
    assert window == parse_window(f"{count}{unit}", now.astimezone(UTC))


@given(counts, units, counts, units, times)
def test_an_offset_moves_a_duration_and_rounds_nothing(
    count: int, unit: str, back: int, back_unit: str, now: datetime
) -> None:
    window = parse_window(f"{count}{unit} offset {back}{back_unit}", now)

    assert now - window.end == back * UNITS[back_unit]
    assert window.end - window.start == count * UNITS[unit]


@given(times)
def test_days_weeks_and_months_are_those_of_the_offset_and_meet(now: datetime) -> None:
    found = {word: parse_window(word, now) for word in ("today", "yesterday", "week", "month", "lastweek", "lastmonth")}
    starts = {word: window.start.astimezone(now.tzinfo) for word, window in found.items()}

    assert all((start.hour, start.minute, start.second, start.microsecond) == (0, 0, 0, 0) for start in starts.values())
    assert starts["today"].date() == now.date()
    assert found["yesterday"].end == found["today"].start
    assert (starts["week"].isoweekday(), starts["lastweek"].isoweekday()) == (7, 7)
    assert (starts["month"].day, starts["lastmonth"].day) == (1, 1)
    assert found["week"].end == found["month"].end == now
    assert found["week"].end - found["week"].start < timedelta(days=7)
    assert found["lastweek"].end == found["week"].start
    assert found["lastweek"].end - found["lastweek"].start == timedelta(days=7)
    assert found["lastmonth"].end == found["month"].start


@given(st.integers(0, 4_000_000_000), st.integers(0, 100_000_000), st.sampled_from(",|-"))
def test_a_pair_of_times_is_what_it_says(start: int, seconds: int, separator: str) -> None:
    expected = Window(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(start + seconds, UTC))
    as_text = f"{expected.start:%Y-%m-%dT%H:%M:%SZ},{expected.end:%Y-%m-%dT%H:%M:%SZ}"

    assert parse_window(f"{start}{separator}{start + seconds}", NOW) == expected
    assert parse_window(as_text, NOW) == expected


@given(st.text() | st.from_regex(r"[0-9mhdwTZ:,| -]{0,45}"), times)
@example("9999-12-31T23:59:59Z,9999-12-31T23:59:59Z", NOW)
def test_any_other_text_is_refused_by_a_value_error_alone(text: str, now: datetime) -> None:
    try:
        window = parse_window(text, now)
    except ValueError:
        return

    assert window.start <= window.end
