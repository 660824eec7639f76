"""What a sensor asks, and which days it requests: decided from the bill's digests and what the lake holds."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from kubecost_pipelines.core.bill_changes import (
    Answer,
    Cursor,
    Pace,
    Question,
    consecutive,
    due_questions,
    fill_history,
    fingerprint_of,
    next_days,
    put_off,
    run_key,
    take_in,
)
from kubecost_pipelines.core.bills.digest import DayDigest
from kubecost_pipelines.core.window import Window

HOUR, SETTLE = timedelta(hours=1), timedelta(hours=48)
NOON = datetime(2026, 10, 12, 12, tzinfo=UTC)
START = date(2026, 7, 15)
PACE = Pace(refresh=6 * HOUR, trailing_days=3, restatement_months=2, days_per_tick=4)
A, B = DayDigest("a", "-"), DayDigest("b", "-")


def october(*days: int) -> list[date]:
    return [date(2026, 10, day) for day in days]


OCTOBER = Question(Window.of_days(*october(1, 11)), is_whole=True)


def asked(
    days: Mapping[date, DayDigest] | None,
    held: Mapping[date, DayDigest | None],
    cursor: Cursor = Cursor(),  # noqa: B008 - frozen
    fingerprint: str = "f",
    now: datetime = NOON,
) -> Cursor:
    return take_in(cursor, OCTOBER, Answer(fingerprint, days), held, now, SETTLE)


def test_at_first_every_month_that_may_be_restated_is_asked_for_newest_first() -> None:
    questions = due_questions(Cursor(), NOON, START, PACE)

    assert [(one.month, one.window.days[0].day, one.window.days[-1].day) for one in questions] == [
        ("2026-10", 1, 11),
        ("2026-09", 1, 30),
        ("2026-08", 1, 31),
    ]
    assert all(one.is_whole for one in questions)


def test_no_day_before_the_first_one_to_cover_is_asked_for() -> None:
    [question] = due_questions(Cursor(), NOON, date(2026, 10, 9), PACE)

    assert question.window.days == october(9, 10, 11)


def test_files_are_asked_about_this_month_every_refresh_and_closed_months_every_sixth() -> None:
    cursor = answered_everything(PACE)

    assert months(due_questions(cursor, NOON + 5 * HOUR, START, PACE)) == []
    assert months(due_questions(cursor, NOON + 6 * HOUR, START, PACE)) == [("2026-10", True)]
    assert len(due_questions(cursor, NOON + 36 * HOUR, START, PACE)) == 3


def test_a_bill_that_is_billed_by_day_is_asked_about_trailing_days_and_the_month_every_sixth_time() -> None:
    pace = Pace(6 * HOUR, 3, 2, 4, is_billed_by_day=True)
    cursor = answered_everything(pace)

    [question] = due_questions(cursor, NOON + 6 * HOUR, START, pace)
    whole = due_questions(cursor, NOON + 36 * HOUR, START, pace)

    assert question.window.days == october(9, 10, 11)
    assert not question.is_whole
    assert whole[0].is_whole


def test_on_the_first_of_a_month_the_trailing_days_are_the_last_months() -> None:
    first = datetime(2026, 11, 1, 6, tzinfo=UTC)
    cursor = answered_everything(PACE, now=first - 6 * HOUR)

    assert months(due_questions(cursor, first, START, PACE)) == [("2026-10", True)]


def answered_everything(pace: Pace, now: datetime = NOON) -> Cursor:
    cursor = Cursor()
    for question in due_questions(cursor, now, START, pace):
        cursor = take_in(cursor, question, Answer("f", {}), {}, now, SETTLE)
    return cursor


def months(questions: list[Question]) -> list[tuple[str, bool]]:
    return [(one.month, one.is_whole) for one in questions]


def test_the_days_that_the_lake_lacks_or_holds_otherwise_are_wanted() -> None:
    bill = dict.fromkeys(october(*range(1, 12)), A)
    held: dict[date, DayDigest | None] = {**bill, date(2026, 10, 4): B, date(2026, 10, 6): None}
    del held[date(2026, 10, 8)]

    assert list(asked(bill, held).waiting) == october(4, 6, 8)


def test_a_new_invoice_makes_a_day_another_one() -> None:
    bill = {date(2026, 10, 5): DayDigest("a", "invoiced")}
    held = {**dict.fromkeys(october(*range(1, 12)), DayDigest("", "")), date(2026, 10, 5): A}

    assert list(asked(bill, held).waiting) == october(5)


def test_a_day_without_a_bill_is_wanted_once_it_is_settled() -> None:
    assert list(asked({}, {}).waiting) == october(*range(1, 10))  # the 10th and 11th may still come


def test_a_day_that_the_lake_holds_empty_and_the_bill_has_not_is_left_alone() -> None:
    empty = dict.fromkeys(october(*range(1, 12)), DayDigest("", ""))

    assert asked({}, empty).waiting == ()


def test_an_unchanged_bill_still_heals_what_the_lake_has_lost() -> None:
    bill = dict.fromkeys(october(*range(1, 12)), A)
    known = asked(bill, bill)
    lost = {day: one for day, one in bill.items() if day.day != 5}

    assert known.waiting == ()
    assert list(asked(None, lost, known).waiting) == october(5)


def test_a_month_too_large_to_tell_its_days_apart_is_read_whole_when_it_changes() -> None:
    held = dict.fromkeys(october(*range(1, 12)), A)

    first = asked(None, held, fingerprint="one")
    same = asked(None, held, Cursor(first.months), fingerprint="one")
    changed = asked(None, held, Cursor(first.months), fingerprint="two")

    assert list(first.waiting) == list(changed.waiting) == october(*range(1, 12))
    assert same.waiting == ()


def test_trailing_answers_leave_the_rest_of_the_month_as_it_was_known() -> None:
    bill = dict.fromkeys(october(*range(1, 12)), A)
    known = asked(bill, bill)
    trailing = Question(Window.of_days(*october(9, 11)), is_whole=False)

    told = take_in(known, trailing, Answer("t", {**bill, date(2026, 10, 10): B}), bill, NOON, SETTLE)

    assert list(told.waiting) == october(10)
    assert told.months["2026-10"].days == {**bill, date(2026, 10, 10): B}
    assert (fingerprint_of(told, OCTOBER), fingerprint_of(told, trailing)) == ("f", "t")


def test_the_newest_settled_days_come_first_then_the_provisional_ones_at_most_so_many() -> None:
    cursor = Cursor(waiting=tuple(october(11, 2, 10, 9, 4, 3)))

    first, rest = next_days(cursor, NOON, START, SETTLE, PACE)
    second, done = next_days(rest, NOON, START, SETTLE, PACE)

    assert first == [october(2, 3, 4), october(9)]
    assert second == [october(10, 11)]
    assert done.waiting == ()
    assert done.requests == 2


def test_history_before_the_months_that_are_asked_for_is_filled_from_what_the_lake_lacks() -> None:
    held = {date(2026, 7, day) for day in range(16, 32)}

    assert fill_history(Cursor(), held, NOON, START, PACE).waiting == (date(2026, 7, 15),)
    assert fill_history(Cursor(), {*held, START}, NOON, START, PACE).waiting == ()


def test_years_of_history_are_read_to_the_last_day_by_a_cursor_that_holds_some_of_them() -> None:
    first = date(2023, 7, 15)
    history = {first + timedelta(days=number) for number in range((NOON.date() - first).days)}
    cursor, held = Cursor(), set[date]()

    for _ in range(len(history)):
        cursor = fill_history(cursor, held, NOON, first, PACE)
        runs, cursor = next_days(Cursor.from_text(cursor.to_text()), NOON, first, SETTLE, PACE)
        assert len(cursor.waiting) <= 400
        held |= {day for run in runs for day in run}
        if not runs:
            break

    # The months that are asked for, the current one and the two before, are the bill's to tell.
    assert len(history) > 1000
    assert held == {day for day in history if day < date(2026, 8, 1)}


def test_a_month_that_could_not_be_read_is_asked_for_when_it_is_next_due() -> None:
    cursor = put_off(Cursor(), OCTOBER, NOON)

    assert "2026-10" not in dict(months(due_questions(cursor, NOON + HOUR, START, PACE)))
    assert "2026-10" in dict(months(due_questions(cursor, NOON + 6 * HOUR, START, PACE)))


def test_a_repeated_request_has_the_same_key_and_a_restatement_another() -> None:
    [day] = october(5)
    one, two = asked({day: A}, {}), asked({day: B}, {})

    assert run_key(one, [day]) == run_key(asked({day: A}, {}), [day])
    assert run_key(one, [day]) != run_key(two, [day])


def test_a_bill_that_returns_to_what_it_was_is_requested_again() -> None:
    [day] = october(5)
    _, requested = next_days(asked({day: A}, {}), NOON, START, SETTLE, PACE)

    assert run_key(asked({day: A}, {}, requested), [day]) != run_key(asked({day: A}, {}), [day])


def test_a_cursor_that_cannot_be_read_is_an_empty_one() -> None:
    for text in (None, "", "{", "[]", '{"months": 3}', '{"months": {"2026-10": {}}}', '{"waiting": ["x"]}'):
        assert Cursor.from_text(text) == Cursor()


@given(st.sets(st.dates(date(2026, 7, 1), date(2026, 10, 11)), max_size=60), st.integers(1, 40))
def test_draining_requests_every_day_once(days: set[date], cap: int) -> None:
    pace = Pace(6 * HOUR, 3, 2, cap)
    cursor, requested = Cursor(waiting=tuple(days)), list[date]()

    while True:
        runs, cursor = next_days(Cursor.from_text(cursor.to_text()), NOON, date(2026, 7, 1), SETTLE, pace)
        if not runs:
            break
        assert sum(map(len, runs)) <= cap
        requested += [day for run in runs for day in run]

    assert sorted(requested) == sorted(days)


@given(st.sets(st.dates(date(2026, 1, 1), date(2026, 12, 31)), max_size=40))
def test_runs_of_days_have_no_hole_and_lose_none(days: set[date]) -> None:
    runs = consecutive(days)

    assert [day for run in runs for day in run] == sorted(days)
    assert all((run[-1] - run[0]).days == len(run) - 1 for run in runs)
    assert all((after[0] - before[-1]).days > 1 for before, after in pairwise(runs))


@given(
    st.dictionaries(st.integers(1, 11), st.sampled_from("abc")),
    st.dictionaries(st.integers(1, 11), st.sampled_from("abc")),
)
def test_once_the_lake_holds_what_was_wanted_nothing_is(bill: dict[int, str], lake: dict[int, str]) -> None:
    says = {date(2026, 10, day): DayDigest(text, "-") for day, text in bill.items()}
    held = {date(2026, 10, day): DayDigest(text, "-") for day, text in lake.items()}

    wanted = asked(says, held)
    read = {day: says.get(day, DayDigest("", "")) for day in wanted.waiting}

    assert asked(None, {**held, **read}, wanted).waiting == ()


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 400))
def test_the_cursor_stays_small(days: int) -> None:
    cursor, now = Cursor(), NOON
    for _ in range(3):
        now += timedelta(days=days)
        for question in due_questions(cursor, now, START, PACE):
            bill = dict.fromkeys(question.window.days, DayDigest("0123456789" * 2, "01234567"))
            cursor = take_in(cursor, question, Answer("f", bill), {}, now, SETTLE)
        cursor = fill_history(cursor, (), now, START, PACE)
        _, cursor = next_days(cursor, now, START, SETTLE, PACE)

        assert len(cursor.months) <= PACE.restatement_months + 1
        assert len(cursor.to_text()) < 12_000
        assert Cursor.from_text(cursor.to_text()) == cursor
