"""Windows found among known closes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices
from closecast.drift import provenance
from closecast.drift.features import WindowReturns
from closecast.drift.provenance import Match
from closecast.drift.return_index import OtherSymbols
from closecast.sources.sample import SampleSource
from tests.support.synthetic_prices import patiently

pytestmark = pytest.mark.usefixtures("either_way")

MSFT = SampleSource().fetch("MSFT")
AAPL = SampleSource().fetch("AAPL")


def locate_all(windows: FloatArray, known: Prices) -> list[Match | None]:
    return provenance.locate(WindowReturns.of(windows), known)


def locate_elsewhere(
    windows: FloatArray, others: OtherSymbols
) -> list[tuple[Prices, Match] | None]:
    return provenance.locate_elsewhere(WindowReturns.of(windows), others)


def locate(closes: FloatArray, known: Prices) -> Match | None:
    return locate_all(closes[None], known)[0]


def window(first: int = 1000, n: int = 60) -> FloatArray:
    return MSFT.closes[first : first + n].copy()


def found(closes: FloatArray) -> Match:
    place = locate(closes, MSFT)
    assert place is not None
    return place


@patiently
@given(st.integers(0, len(MSFT) - 60), st.sampled_from([1.0, 5.37, 0.01, 100.0]))
def test_every_window_is_found_where_it_is_in_any_unit(first: int, factor: float) -> None:
    place = found(factor * window(first))
    assert (place.match, place.first, place.last, place.beyond) == ("exact", first, first + 59, 0)
    assert place.log_factor == pytest.approx(np.log(factor), abs=1e-9)


@patiently
@given(st.integers(0, len(MSFT) - 60))
def test_rounded_to_cents_it_is_the_same(first: int) -> None:
    place = found(np.round(window(first), 2))
    assert (place.match, place.first) == ("exact", first)


@patiently
@given(st.integers(0, len(AAPL) - 60))
def test_another_symbols_window_is_nowhere(first: int) -> None:
    assert locate(AAPL.closes[first : first + 60], MSFT) is None


@patiently
@given(st.integers(0, len(MSFT) - 60))
def test_newest_first_is_seen(first: int) -> None:
    place = found(window(first)[::-1])
    assert (place.match, place.first, place.last) == ("reversed", first, first + 59)


@patiently
@given(st.integers(100, len(MSFT) - 80), st.integers(16, 44), st.integers(1, 8))
def test_missing_sessions_leave_a_gap(first: int, row: int, missing: int) -> None:
    whole = window(first, 60 + missing)
    place = found(np.delete(whole, np.arange(row, row + missing)))
    assert (place.match, place.first) == ("gapped", first)
    assert abs(place.last - (first + 59 + missing)) <= missing


@patiently
@given(st.integers(100, len(MSFT) - 80), st.integers(16, 44))
def test_a_wrong_close_or_a_filled_day_hides_nothing(first: int, row: int) -> None:
    wrong = window(first)
    wrong[row] *= 1.3
    assert found(wrong).first == first
    filled = np.insert(window(first, 59), row, window(first)[row])
    assert found(filled).first == first


@pytest.mark.parametrize("newer", [1, 20, 45])
def test_a_window_that_goes_on_after_what_is_known(newer: int) -> None:
    known = MSFT.rows(0, 1060 - newer)
    place = locate(window(1000), known)
    assert place is not None
    assert (place.first, place.last, place.beyond) == (1000, 1059 - newer, newer)


def test_a_window_of_which_less_than_ten_moves_are_known_is_not_placed() -> None:
    assert locate(window(1000), MSFT.rows(0, 1008)) is None


def test_a_frozen_window_is_everywhere_and_so_nowhere() -> None:
    assert locate(np.full(60, 42.0), MSFT) is None


@pytest.mark.parametrize("n", [2, 10, 11, 12])
def test_short_windows(n: int) -> None:
    place = locate(window(2000, n), MSFT)
    assert place is None or (place.match, place.first) == ("exact", 2000)
    assert (place is not None) is (n >= 11)


def test_elsewhere_only_whole_windows_count() -> None:
    gapped = np.delete(window(1000, 65), np.arange(30, 35))
    sent = np.stack([window()[::-1], gapped, window(), AAPL.closes[700:760]])
    found = locate_elsewhere(sent, OtherSymbols([AAPL, MSFT]))
    assert found[:2] == [None, None]
    assert [(f[0].symbol, f[1].first) for f in found[2:] if f] == [("MSFT", 1000), ("AAPL", 700)]


def test_windows_together_are_found_where_they_are_found_alone() -> None:
    rng = np.random.default_rng(0)
    sent = np.stack(
        [
            *(window(first) for first in (200, 1000, 3000)),
            *(window(first)[::-1] for first in (300, 2000)),
            np.delete(window(1000, 65), np.arange(30, 35)),
            np.full(60, 7.0),
            *(100 * np.exp(np.cumsum(0.015 * rng.standard_normal(60))) for _ in range(10)),
            np.append(MSFT.closes[-30:], 200 + np.arange(30.0)),
        ]
    )
    together = locate_all(sent, MSFT)
    assert together == [locate(closes, MSFT) for closes in sent]
    matches = [place.match for place in together if place]
    assert matches == [*3 * ["exact"], *2 * ["reversed"], "gapped", "exact"]


def penny(seed: int) -> FloatArray:
    """Closes of about one, in cents: half of all known moves are like theirs."""
    return np.round(1 + 0.01 * np.random.default_rng(seed).integers(0, 2, 60), 2)


def test_a_crowd_of_moves_that_are_alike_is_no_crowd_of_places() -> None:
    """Each place that is compared costs: of a penny stock there were a hundred thousand."""

    def places(times: int) -> int:
        index = OtherSymbols([MSFT, AAPL] * times).index
        moves = np.diff(np.log(penny(0)))[None]
        return len(index.like(moves, np.arange(59)[None], np.full(1, 1e-3)).rows)

    assert places(10) <= places(1)


def test_a_window_that_stands_out_is_found_among_crowds() -> None:
    sent = np.stack([penny(1), AAPL.closes[700:760], penny(2)])
    found = locate_elsewhere(sent, OtherSymbols([MSFT, AAPL] * 10))
    assert found[0] is found[2] is None
    assert found[1] is not None
    assert (found[1][0].symbol, found[1][1].first) == ("AAPL", 700)
