"""Sessions of real exchanges; every date below was looked up at the exchange."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.sessions import (
    calendar_span,
    is_complete,
    last_completed_session,
    sessions_between,
)
from closecast.symbols import exchange_of
from tests.made_data import patiently

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
    assert last_completed_session("XNYS", elsewhere) == last_completed_session("XNYS", now)


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
    assert str(last_completed_session(exchange, at(now))) == expected
