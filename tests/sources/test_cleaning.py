"""What ``PriceSource.fetch`` does to the rows of any source, rule by rule."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from closecast.core.calendars import sessions_between
from closecast.core.prices import MAX_PRICE, MIN_PRICE, Prices
from closecast.errors import InvalidPrices, NoPrices, PriceProblem, TooFewCloses
from closecast.settings import Settings
from closecast.sources.base import PriceSource, RawRows
from tests.support.synthetic_prices import patiently

NOW = datetime(2024, 6, 1, tzinfo=UTC)
NYSE = sessions_between("XNYS", date(2024, 1, 2), date(2024, 3, 28))
B3 = sessions_between("BVMF", date(2024, 1, 2), date(2024, 3, 28))
STEADY = 100 + np.arange(len(NYSE)) % 5


class GivenRows(PriceSource):
    name = "given"

    def __init__(self, dates: object, closes: object) -> None:
        self._dates = np.asarray(dates, dtype="datetime64[D]")
        self._closes = np.asarray(closes, dtype=np.float64)

    @classmethod
    def from_settings(cls, settings: Settings, argument: str) -> GivenRows:
        raise NotImplementedError

    def read(self, symbol: str, start: date | None, end: date | None) -> RawRows:
        return RawRows(self._dates, self._closes, "raw")


class RemarkedRows(GivenRows):
    def read(self, symbol: str, start: date | None, end: date | None) -> RawRows:
        return RawRows(self._dates, self._closes, "raw", (PriceProblem("read_as", "by hand"),))


def fetch(dates: object, closes: object, symbol: str = "MSFT", now: datetime = NOW) -> Prices:
    return GivenRows(dates, closes).fetch(symbol, now=now)


def problems(
    dates: object, closes: object, symbol: str = "MSFT"
) -> list[tuple[str, str | None, float | None]]:
    with pytest.raises(InvalidPrices) as caught:
        fetch(dates, closes, symbol)
    return [(p.rule, p.date, p.value) for p in caught.value.problems]


def notes(prices: Prices) -> list[tuple[str, str | None, float | None]]:
    return [(note.rule, note.date, note.value) for note in prices.notes]


def with_close(i: int, value: float) -> np.ndarray:
    closes = STEADY.astype(np.float64)
    closes[i] = value
    return closes


def test_clean_rows_pass_as_they_are() -> None:
    prices = fetch(NYSE, STEADY)
    assert prices.sessions.tolist() == NYSE.tolist()
    assert prices.closes.tolist() == STEADY.tolist()
    assert (prices.symbol, prices.source, prices.basis, prices.notes) == (
        "MSFT",
        "given",
        "raw",
        (),
    )


def test_remarks_of_the_source_come_before_what_is_left_out() -> None:
    prices = RemarkedRows(NYSE, with_close(3, np.nan)).fetch("MSFT", now=NOW)
    assert [note.rule for note in prices.notes][:2] == ["read_as", "missing_close"]


@pytest.mark.parametrize(
    ("value", "rule", "shown"),
    [
        (np.inf, "not_finite", None),
        (-np.inf, "not_finite", None),
        (0.0, "not_positive", 0.0),
        (-3.5, "not_positive", -3.5),
        (MIN_PRICE / 2, "out_of_bounds", MIN_PRICE / 2),
        (MAX_PRICE * 2, "out_of_bounds", MAX_PRICE * 2),
    ],
)
def test_impossible_closes_are_refused(value: float, rule: str, shown: float | None) -> None:
    assert problems(NYSE, with_close(7, value)) == [(rule, str(NYSE[7]), shown)]


def test_every_problem_is_listed() -> None:
    closes = with_close(7, -1.0)
    closes[20] = np.inf
    assert [rule for rule, _, _ in problems(NYSE, closes)] == ["not_positive", "not_finite"]


def test_duplicate_dates_are_refused() -> None:
    dates = NYSE.copy()
    dates[5] = dates[4]
    assert problems(dates, STEADY) == [("duplicate", str(NYSE[4]), STEADY[5])]


def test_newest_first_is_refused() -> None:
    found = problems(NYSE[::-1], STEADY)
    assert {rule for rule, _, _ in found} == {"unsorted"}
    assert len(found) == len(NYSE) - 1


def test_rows_without_a_date_are_refused() -> None:
    dates = NYSE.copy()
    dates[3] = np.datetime64("NaT")
    assert ("missing_date", None, STEADY[3]) in problems(dates, STEADY)


def test_rows_without_a_close_are_left_out_and_named() -> None:
    prices = fetch(NYSE, with_close(7, np.nan))
    assert prices.sessions.tolist() == np.delete(NYSE, 7).tolist()
    assert prices.closes.tolist() == np.delete(STEADY, 7).tolist()
    assert ("missing_close", str(NYSE[7]), None) in notes(prices)


@patiently
@given(missing=st.sets(st.integers(0, len(NYSE) - 1), max_size=len(NYSE) // 12))
def test_what_is_left_out_and_what_is_kept_make_the_whole(missing: set[int]) -> None:
    closes = STEADY.astype(np.float64)
    closes[list(missing)] = np.nan
    prices = fetch(NYSE, closes)
    named = {note.date for note in prices.notes if note.rule == "missing_close"}
    assert named == {str(NYSE[i]) for i in missing}
    assert named.isdisjoint(prices.sessions.astype(str))
    assert len(named) + len(prices) == len(NYSE)


def test_nothing_but_rows_without_a_close() -> None:
    with pytest.raises(NoPrices, match="no usable close of MSFT; 2024-01-02: no close"):
        fetch(NYSE, np.full(len(NYSE), np.nan))


def test_start_after_end() -> None:
    with pytest.raises(TooFewCloses, match="start 2024-01-03 is after end 2024-01-02"):
        GivenRows(NYSE, STEADY).fetch("MSFT", date(2024, 1, 3), date(2024, 1, 2), now=NOW)


def test_no_rows_at_all() -> None:
    with pytest.raises(NoPrices, match="given has no close of MSFT"):
        fetch([], [])


# Seen at Yahoo: rows of B3 shares on a Saturday and on a holiday, the last close repeated.
@pytest.mark.parametrize("filler", ["2024-03-23", "2024-02-12"])
def test_filler_rows_are_left_out_and_named(filler: str) -> None:
    at = int(np.searchsorted(B3, np.datetime64(filler)))
    closes = 60 + np.arange(len(B3)) % 3
    prices = fetch(
        np.insert(B3, at, np.datetime64(filler)),
        np.insert(closes, at, closes[at - 1]),
        symbol="VALE3",
    )
    assert prices.sessions.tolist() == B3.tolist()
    assert notes(prices) == [("not_a_session", filler, closes[at - 1])]


def test_many_rows_off_the_calendar_mean_the_wrong_calendar() -> None:
    every_day = np.arange("2024-01-02", "2024-03-28", dtype="datetime64[D]")
    with pytest.raises(InvalidPrices, match="suffix") as caught:
        fetch(every_day, np.full(len(every_day), 100.0))
    off = np.setdiff1d(every_day, NYSE).astype(str).tolist()
    [problem] = caught.value.problems
    assert (problem.rule, problem.date) == ("wrong_calendar", off[0])
    assert f"{len(off)} of {len(every_day)} rows are no sessions of XNYS" in problem.message
    assert all(day in problem.message for day in (off[1], off[2], off[-1]))


def test_coins_trade_every_day() -> None:
    every_day = np.arange("2024-01-02", "2024-03-28", dtype="datetime64[D]")
    prices = fetch(every_day, np.full(len(every_day), 100.0), symbol="btc-usd")
    assert (len(prices), prices.notes) == (len(every_day), ())


# New York closes at 16:00, in March (daylight saving) 20:00 UTC; prices settle in 20 minutes.
@pytest.mark.parametrize(
    ("now", "finished"),
    [
        (datetime(2024, 3, 28, 14, 0, tzinfo=UTC), False),
        (datetime(2024, 3, 28, 20, 19, tzinfo=UTC), False),
        (datetime(2024, 3, 28, 20, 20, tzinfo=UTC), True),
        (datetime(2024, 3, 29, 0, 0, tzinfo=UTC), True),
    ],
)
def test_the_bar_of_an_unfinished_session_is_left_out(now: datetime, finished: bool) -> None:
    prices = fetch(NYSE, STEADY, now=now)
    assert prices.span[1] == ("2024-03-28" if finished else "2024-03-27")
    assert notes(prices) == ([] if finished else [("unfinished_bar", "2024-03-28", STEADY[-1])])


@patiently
@given(i=st.integers(0, len(NYSE) - 1), factor=st.sampled_from([100.0, 0.01, 1000.0, 0.001]))
@example(i=0, factor=100.0)
@example(i=1, factor=100.0)
@example(i=len(NYSE) - 2, factor=100.0)
@example(i=len(NYSE) - 1, factor=100.0)
def test_one_close_in_another_unit_is_refused(i: int, factor: float) -> None:
    value = float(STEADY[i] * factor)
    assert problems(NYSE, with_close(i, value)) == [("unit_error", str(NYSE[i]), value)]


# Seen at Yahoo: a share in London in pounds for some sessions, in pence before and after.
@pytest.mark.parametrize(
    ("rows", "place"),
    [
        (slice(30, 32), "after 104"),
        (slice(20, 40), "after 104"),
        (slice(0, 20), "before 100"),
        (slice(len(NYSE) - 20, None), "after 100"),
    ],
)
def test_a_block_in_another_unit_is_one_sentence(rows: slice, place: str) -> None:
    closes = STEADY.astype(np.float64)
    closes[rows] /= 100
    first, last = NYSE[rows][[0, -1]]
    with pytest.raises(InvalidPrices) as caught:
        fetch(NYSE, closes)
    [problem] = caught.value.problems
    assert (problem.rule, problem.date) == ("unit_error", str(first))
    count = len(NYSE[rows])
    assert problem.message.startswith(f"{count} closes up to {last} are 0.0")
    assert problem.message.endswith(place)


def test_two_units_that_flip_at_random_are_one_sentence() -> None:
    closes = STEADY.astype(np.float64)
    wrong = np.random.default_rng(8).random(len(NYSE)) < 0.3
    closes[wrong] *= 100
    with pytest.raises(InvalidPrices, match="two units are mixed") as caught:
        fetch(NYSE, closes)
    [problem] = caught.value.problems
    assert (problem.rule, problem.date) == ("unit_error", str(NYSE[wrong][0]))
    assert problem.message.startswith(f"{wrong.sum()} of {len(NYSE)} closes, in ")


@patiently
@given(
    st.lists(st.floats(-0.35, 0.35), min_size=len(NYSE), max_size=len(NYSE)),
    st.floats(0.01, 1e4),
)
def test_no_walk_of_moderate_steps_is_refused_or_remarked_upon(
    returns: list[float], first: float
) -> None:
    assert fetch(NYSE, first * np.exp(np.cumsum(returns))).notes == ()


@pytest.mark.parametrize(
    ("ratio", "noted"),
    [(0.5, True), (0.05, True), (2.0, True), (100.0, True), (0.65, False), (1.45, False)],
)
def test_large_moves_that_stay_are_noted_and_kept(ratio: float, noted: bool) -> None:
    closes = np.full(len(NYSE), 80.0)
    closes[30:] *= ratio
    prices = fetch(NYSE, closes)
    assert prices.closes.tolist() == closes.tolist()
    assert notes(prices) == ([("remarkable_move", str(NYSE[30]), 80.0 * ratio)] if noted else [])


def test_missing_sessions_are_noted() -> None:
    prices = fetch(np.delete(NYSE, [10, 11, 12]), np.delete(STEADY, [10, 11, 12]))
    (note,) = prices.notes
    assert (note.rule, note.date) == ("missing_sessions", str(NYSE[10]))
    assert f"3 sessions of XNYS have no row (first {NYSE[10]}, last {NYSE[12]})" in note.message
