"""Sessions of real exchanges; every date below was looked up at the exchange."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.calendars import (
    SessionTable,
    calendar_span,
    is_complete,
    session_table,
    sessions_between,
)
from closecast.core.symbols import exchange_of
from closecast.errors import CalendarTooShort
from tests.support.synthetic_prices import patiently

SUFFIXES = ("", "SA", "L", "DE", "PA", "AS", "MI", "MC", "SW", "TO", "T", "HK", "AX", "MX", "BA")


def day(text: str) -> np.datetime64:
    return np.datetime64(text, "D")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("exchange", "closed"),
    [
        ("XNYS", "2021-12-24"),  # Christmas, observed
        ("XNYS", "2012-10-29"),  # hurricane Sandy
        ("XNYS", "2001-09-12"),
        ("XNYS", "2022-06-20"),  # Juneteenth, observed, first time
        ("BVMF", "2022-03-01"),  # carnival
        ("BVMF", "2022-11-15"),  # proclamation of the republic
        ("BVMF", "2024-11-20"),  # a holiday of the whole country since that year
        ("XLON", "2022-09-19"),  # the Queen's funeral
        ("XNYS", "2022-12-17"),  # a Saturday
    ],
)
def test_closed_days_are_no_sessions(exchange: str, closed: str) -> None:
    assert not len(sessions_between(exchange, day(closed), day(closed)))


@pytest.mark.parametrize(
    ("exchange", "open_day"),
    [
        ("XNYS", "2022-11-25"),
        ("BVMF", "2022-11-25"),
        ("BVMF", "2022-01-25"),
        ("XNYS", "1990-01-02"),
    ],
)
def test_open_days_are_sessions(exchange: str, open_day: str) -> None:
    assert sessions_between(exchange, day(open_day), day(open_day)).tolist() == [
        date.fromisoformat(open_day)
    ]


def test_both_ends_are_included() -> None:
    week = sessions_between("XNYS", date(2022, 3, 7), date(2022, 3, 11))
    assert week.astype(str).tolist() == [f"2022-03-{d:02}" for d in (7, 8, 9, 10, 11)]


def test_five_business_days_are_not_five_sessions() -> None:
    assert len(sessions_between("XNYS", date(2022, 11, 21), date(2022, 11, 25))) == 4


def test_coins_trade_every_day() -> None:
    assert len(sessions_between("24/7", date(2022, 12, 24), date(2023, 1, 1))) == 9


def test_a_span_that_ends_before_it_begins_is_empty() -> None:
    for exchange in ("XNYS", "24/7"):
        assert not len(sessions_between(exchange, date(2022, 3, 11), date(2022, 3, 7)))


@patiently
@given(
    st.sampled_from(["XNYS", "BVMF", "XTKS", "24/7"]),
    st.dates(date(1995, 1, 1), date(2024, 1, 1)),
    st.integers(0, 400),
)
def test_sessions_increase_inside_the_span(exchange: str, start: date, days: int) -> None:
    end = start + timedelta(days=days)
    sessions = sessions_between(exchange, start, end)
    assert sessions.dtype == np.dtype("datetime64[D]")
    assert (np.diff(sessions) > np.timedelta64(0, "D")).all()
    assert all(day(str(start)) <= s <= day(str(end)) for s in sessions)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_exchange_of_a_symbol_has_a_calendar_from_2000_until_after_today(suffix: str) -> None:
    exchange = exchange_of(f"X.{suffix}" if suffix else "X")
    first, last = calendar_span(exchange)
    assert first <= day("2000-01-10")
    assert last > np.datetime64(datetime.now(UTC).date(), "D")


@pytest.mark.parametrize(
    ("exchange", "session", "final_at"),
    [
        ("XNYS", "2022-03-11", "2022-03-11T21:20"),  # 16:00 in New York in winter
        ("XNYS", "2022-03-14", "2022-03-14T20:20"),  # and in summer time, one hour earlier
        ("XNYS", "2022-11-25", "2022-11-25T18:20"),  # the short day after Thanksgiving
        ("XTKS", "2022-03-11", "2022-03-11T06:20"),
        ("24/7", "2022-03-11", "2022-03-12T00:20"),
        ("XNYS", "2022-03-12", "2022-03-13T00:20"),  # a Saturday: complete once it is over
        ("XNYS", "1985-03-11", "1985-03-12T00:20"),  # before the calendar begins
    ],
)
def test_a_close_is_final_twenty_minutes_after_the_bell(
    exchange: str, session: str, final_at: str
) -> None:
    assert is_complete(exchange, day(session), at(final_at))
    assert not is_complete(exchange, day(session), at(final_at) - timedelta(seconds=1))


def test_the_time_zone_of_now_does_not_matter() -> None:
    now = at("2022-03-11T21:20")
    elsewhere = now.astimezone(timezone(timedelta(hours=-3)))
    assert is_complete("XNYS", day("2022-03-11"), elsewhere)
    table = session_table("XNYS", *calendar_span("XNYS"))
    assert table.last_completed(elsewhere) == table.last_completed(now)


@pytest.mark.parametrize(
    ("exchange", "now", "expected"),
    [
        ("XNYS", "2022-03-11T21:19", "2022-03-10"),
        ("XNYS", "2022-03-11T21:20", "2022-03-11"),
        ("XNYS", "2022-03-13T12:00", "2022-03-11"),  # Sunday
        ("BVMF", "2022-03-02T12:00", "2022-02-25"),  # carnival week
        ("XNYS", "2001-09-16T12:00", "2001-09-10"),
        ("XTKS", "2022-03-10T23:00", "2022-03-10"),  # already the 11th in Tokyo, not yet traded
        ("24/7", "2022-03-13T12:00", "2022-03-12"),
    ],
)
def test_last_completed_session(exchange: str, now: str, expected: str) -> None:
    table = session_table(exchange, *calendar_span(exchange))
    assert str(table.last_completed(at(now))) == expected


# -- tables ------------------------------------------------------------------------------------


def table(
    exchange: str = "XNYS", first: str = "2022-11-01", last: str = "2023-02-28"
) -> SessionTable:
    return session_table(exchange, day(first), day(last))


@pytest.mark.parametrize(
    ("exchange", "origin", "expected"),
    [
        ("XNYS", "2022-12-22", ["2022-12-23", "2022-12-27", "2022-12-28"]),  # Christmas, observed
        ("XNYS", "2022-11-23", ["2022-11-25", "2022-11-28", "2022-11-29"]),  # Thanksgiving
        ("BVMF", "2022-11-14", ["2022-11-16", "2022-11-17", "2022-11-18"]),  # the republic
        ("BVMF", "2022-12-29", ["2023-01-02", "2023-01-03", "2023-01-04"]),  # no 30th at B3
        ("XNYS", "2022-12-24", ["2022-12-27", "2022-12-28", "2022-12-29"]),  # from a Saturday
        ("24/7", "2022-12-30", ["2022-12-31", "2023-01-01", "2023-01-02"]),
    ],
)
def test_the_sessions_after_a_day(exchange: str, origin: str, expected: list[str]) -> None:
    assert table(exchange).after(day(origin), 3).astype(str).tolist() == expected


def test_no_sessions_after_a_day_are_none() -> None:
    assert not len(table().after(day("2022-12-22"), 0))


@pytest.mark.parametrize(
    ("exchange", "now", "completed", "next_one"),
    [
        ("XNYS", "2022-12-22T20:59", "2022-12-21", "2022-12-22"),  # open
        ("XNYS", "2022-12-22T21:00", "2022-12-21", "2022-12-23"),  # closed, and not final yet
        ("XNYS", "2022-12-22T21:20", "2022-12-22", "2022-12-23"),
        ("XNYS", "2022-12-24T12:00", "2022-12-23", "2022-12-27"),  # a long weekend
        ("XNYS", "2022-11-25T17:59", "2022-11-23", "2022-11-25"),  # half a day
        ("XNYS", "2022-11-25T18:00", "2022-11-23", "2022-11-28"),
        ("XNYS", "2022-12-22T05:00", "2022-12-21", "2022-12-22"),  # before the opening bell
        ("BVMF", "2022-11-15T15:00", "2022-11-14", "2022-11-16"),
        ("24/7", "2022-12-24T23:59", "2022-12-23", "2022-12-24"),
        ("24/7", "2022-12-25T00:00", "2022-12-23", "2022-12-25"),
    ],
)
def test_what_is_completed_and_what_closes_next(
    exchange: str, now: str, completed: str, next_one: str
) -> None:
    known = table(exchange)
    assert str(known.last_completed(at(now))) == completed
    assert str(known.next_to_close(at(now))) == next_one


@pytest.mark.parametrize(
    ("session", "bell"),
    [("2022-12-22", "2022-12-22T21:00"), ("2022-11-25", "2022-11-25T18:00")],
)
def test_the_closing_bell(session: str, bell: str) -> None:
    assert table().closes_at(day(session)) == at(bell)


@pytest.mark.parametrize(
    ("a", "b", "steps"),
    [
        ("2022-12-22", "2022-12-22", 0),
        ("2022-12-22", "2022-12-27", 2),
        ("2022-12-27", "2022-12-22", -2),
        ("2022-12-24", "2022-12-26", 0),  # neither is a session
    ],
)
def test_steps_between(a: str, b: str, steps: int) -> None:
    assert table().steps_between(day(a), day(b)) == steps


@pytest.mark.parametrize(
    "ask",
    [
        lambda t: t.after(day("2023-02-27"), 2),
        lambda t: t.after(day("2022-10-31"), 1),
        lambda t: t.after(day("2023-03-01"), 1),
        lambda t: t.last_completed(at("2023-02-28T21:20")),
        lambda t: t.last_completed(at("2022-11-01T12:00")),
        lambda t: t.next_to_close(at("2023-02-28T21:00")),
        lambda t: t.next_to_close(at("2022-10-01T12:00")),
        lambda t: t.closes_at(day("2022-12-26")),
        lambda t: t.closes_at(day("2023-03-01")),
        lambda t: t.steps_between(day("2022-10-31"), day("2022-12-01")),
        lambda t: t.steps_between(day("2022-12-01"), day("2023-03-01")),
    ],
)
def test_what_a_table_does_not_hold_is_refused_with_its_span(
    ask: Callable[[SessionTable], object],
) -> None:
    with pytest.raises(CalendarTooShort, match="XNYS holds 2022-11-01 to 2023-02-28"):
        ask(table())


def test_an_empty_table_refuses_everything() -> None:
    empty = table(first="2022-12-24", last="2022-12-25")
    assert not len(empty.sessions)
    with pytest.raises(CalendarTooShort, match="no session"):
        empty.last_completed(at("2022-12-25T00:00"))
    with pytest.raises(CalendarTooShort, match="no session"):
        empty.next_to_close(at("2022-12-25T00:00"))


@pytest.mark.parametrize(
    ("sessions", "final_at"),
    [
        (["2022-01-04", "2022-01-03"], ["2022-01-03T21", "2022-01-04T21"]),
        (["2022-01-03", "2022-01-03"], ["2022-01-03T21", "2022-01-04T21"]),
        (["2022-01-03", "2022-01-04"], ["2022-01-04T21", "2022-01-03T21"]),
        (["2022-01-03", "NaT"], ["2022-01-03T21", "2022-01-04T21"]),
        (["2022-01-03"], ["2022-01-03T21", "2022-01-04T21"]),
    ],
)
def test_a_table_that_is_none_is_refused(sessions: list[str], final_at: list[str]) -> None:
    with pytest.raises(ValueError, match=r"increase|sessions"):
        SessionTable("XNYS", np.array(sessions, "M8[D]"), np.array(final_at, "M8[s]"))


@patiently
@given(
    st.sampled_from(["XNYS", "BVMF", "XTKS", "24/7"]),
    st.datetimes(datetime(2000, 1, 1), datetime(2024, 1, 1), timezones=st.just(UTC)),
)
def test_the_session_that_closes_next_is_one_or_two_after_the_completed_one(
    exchange: str, now: datetime
) -> None:
    known = session_table(exchange)
    completed, next_one = known.last_completed(now), known.next_to_close(now)
    assert known.steps_between(completed, next_one) in (1, 2)
    assert is_complete(exchange, completed, now)
    assert known.closes_at(next_one) > now


def test_a_table_reaches_beyond_a_year_ahead() -> None:
    for exchange in ("XNYS", "BVMF", "24/7"):
        assert session_table(exchange).sessions[-1] > np.datetime64(datetime.now(UTC).date()) + 366
