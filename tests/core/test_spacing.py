"""Spacing of closes: steps of more than one session are found, and windows never span a gap."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.calendars import Dates, sessions_between
from closecast.core.dataset import make_examples
from closecast.core.prices import Prices
from closecast.core.spacing import (
    LONG_GAP,
    WINDOW,
    last_sparse_span,
    newest_stretch,
    skipped_sessions,
    windows_over_gaps,
)
from tests.support.synthetic_prices import patiently

NYSE = sessions_between("XNYS", date(2014, 1, 2), date(2021, 12, 31))
EVERY_DAY = np.arange("2016-01-01", "2022-01-01", dtype="datetime64[D]")


def on(sessions: Dates, symbol: str = "MSFT") -> Prices:
    return Prices(symbol, sessions, 100 + np.arange(len(sessions)) % 7, "made")


def weekday(days: Dates) -> np.ndarray:
    return (days.astype(np.int64) + 3) % 7  # Monday is 0


def test_sessions_without_a_row_are_counted_by_the_calendar() -> None:
    days = np.array(["2022-12-23", "2022-12-27", "2023-01-04"], dtype="datetime64[D]")
    assert skipped_sessions("XNYS", days).tolist() == [0, 4]
    assert skipped_sessions("24/7", days).tolist() == [3, 7]


def test_before_the_calendar_begins_weekdays_count() -> None:
    days = np.array(["1980-01-04", "1980-01-07", "1980-01-14", "1992-01-02"], "datetime64[D]")
    assert skipped_sessions("XNYS", days)[:2].tolist() == [0, 4]
    assert skipped_sessions("XNYS", days)[2] > 3000


@pytest.mark.parametrize("days", [NYSE[:0], NYSE[:1], NYSE[:9], NYSE])
def test_every_session_is_regular(days: Dates) -> None:
    assert last_sparse_span("XNYS", days) is None
    if len(days):
        assert newest_stretch(on(days)) == (on(days), None)


@pytest.mark.parametrize("share", [0.01, 0.02, 0.05])
def test_a_few_sessions_without_a_row_are_regular(share: float) -> None:
    """Holidays that the calendar does not know, and rows that a vendor lost."""
    for seed in range(5):
        kept = np.random.default_rng(seed).random(len(NYSE)) > share
        assert last_sparse_span("XNYS", NYSE[kept]) is None


@pytest.mark.parametrize("share", [0.15, 0.2, 0.3])
def test_many_sessions_without_a_row_are_not(share: float) -> None:
    for seed in range(5):
        days = NYSE[np.random.default_rng(seed).random(len(NYSE)) > share]
        span = last_sparse_span("XNYS", days)
        assert span is not None
        assert span.rule == "sparse_sessions"
        assert len(days) - span.last < WINDOW


@pytest.mark.parametrize("gap", [LONG_GAP, 60, 500])
def test_closes_before_a_long_gap_are_left_out(gap: int) -> None:
    prices = on(np.delete(NYSE, np.arange(700, 700 + gap)))
    stretch, before = newest_stretch(prices)
    assert stretch.sessions.tolist() == NYSE[700 + gap :].tolist()
    assert before is not None
    assert (before.rule, before.date) == ("long_gap", str(NYSE[700 + gap]))
    assert f"no close in the {gap} sessions of XNYS after {NYSE[699]}" in before.message


def test_closes_before_a_short_gap_are_kept() -> None:
    prices = on(np.delete(NYSE, np.arange(700, 699 + LONG_GAP)))
    assert newest_stretch(prices) == (prices, None)


@pytest.mark.parametrize(("step", "name"), [(5, "weekly"), (21, "monthly"), (2, "every 2 sess")])
def test_bars_of_another_frequency_at_the_beginning_are_left_out(step: int, name: str) -> None:
    days = np.concatenate([NYSE[:1000:step], NYSE[1000:]])
    stretch, before = newest_stretch(on(days))
    assert stretch.sessions[0] <= NYSE[1000]
    assert skipped_sessions("XNYS", stretch.sessions).max() == 0
    assert before is not None
    assert name in before.message


def with_gaps(parts: list[tuple[int, int]]) -> Prices:
    """Closes of runs of sessions, each followed by a gap: pairs of their lengths."""
    kept, row = [], 0
    for closes, gap in parts:
        kept += range(row, row + closes)
        row += closes + gap
    return on(NYSE[[i for i in kept if i < len(NYSE)]])


@patiently
@given(
    st.lists(st.tuples(st.integers(1, 250), st.integers(0, 40)), min_size=1, max_size=8),
    st.integers(5, 30),
)
def test_no_window_or_target_of_a_stretch_spans_a_long_gap(
    parts: list[tuple[int, int]], length: int
) -> None:
    """Whatever runs of closes and gaps a history is made of."""
    prices = with_gaps(parts)
    stretch, before = newest_stretch(prices)
    assert (before is None) == (len(stretch) == len(prices))
    assert stretch.sessions.tolist() == prices.sessions[-len(stretch) :].tolist()
    skipped = skipped_sessions("XNYS", stretch.sessions)
    assert not len(skipped) or skipped.max() < LONG_GAP
    if len(stretch) >= length + 3:
        ends = make_examples(stretch, length, 3).origins
        steps = np.searchsorted(NYSE, stretch.sessions)
        assert (steps[ends + 3] - steps[ends - length + 1]).max() < (length + 2) * LONG_GAP


@pytest.mark.parametrize("seed", range(3))
def test_the_newest_stretch_of_a_stretch_is_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    days = NYSE[np.sort(rng.choice(len(NYSE), 1500, replace=False))]
    stretch, _ = newest_stretch(on(np.concatenate([days[:600], NYSE[1800:]])))
    assert newest_stretch(stretch) == (stretch, None)


def test_a_coin_counts_days() -> None:
    coin = on(np.delete(EVERY_DAY, np.arange(400, 400 + LONG_GAP)), "BTC-USD")
    assert newest_stretch(coin)[0].sessions[0] == EVERY_DAY[400 + LONG_GAP]


@patiently
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 30)), min_size=1, max_size=8),
    st.integers(2, 30),
)
def test_windows_over_a_gap_are_those_with_a_gap_inside(
    parts: list[tuple[int, int]], length: int
) -> None:
    prices = with_gaps(parts)
    over = windows_over_gaps(prices, length)
    for end in range(length - 1, len(prices)):
        window = prices.sessions[end - length + 1 : end + 1]
        assert over[end] == (skipped_sessions("XNYS", window).max() >= LONG_GAP)
