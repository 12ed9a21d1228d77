"""Corrections: changed returns are found, restatements and their rounding are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.corrections import find_corrections, is_rounding, tick_of
from closecast.core.prices import Prices
from tests.support.synthetic_prices import garch, patiently

KNOWN = garch(300, seed=3)


def with_closes(rows: dict[int, float], prices: Prices = KNOWN) -> Prices:
    """Closes of which some are multiplied."""
    closes = prices.closes.copy()
    for row, factor in rows.items():
        closes[row] *= factor
    return replace(prices, closes=closes)


def rounded(prices: Prices, decimals: int) -> Prices:
    return replace(prices, closes=np.round(prices.closes, decimals))


def test_the_same_download_has_no_corrections() -> None:
    found = find_corrections(KNOWN, KNOWN)
    assert not found
    assert (found.first, found.compared, found.rescaled) == (None, 300, False)


def test_later_closes_are_new_and_no_corrections() -> None:
    assert not find_corrections(KNOWN.rows(0, 250), KNOWN)


@pytest.mark.parametrize("factor", [1.0001, 0.97, 100.0])
def test_a_corrected_close_changes_the_return_to_it_and_the_one_from_it(factor: float) -> None:
    found = find_corrections(KNOWN, with_closes({200: factor}))
    assert found.sessions.tolist() == KNOWN.sessions[200:202].tolist()
    assert found.first == KNOWN.sessions[200].item()
    assert not found.rescaled
    assert found.touches(str(KNOWN.sessions[200]))
    assert not found.touches(str(KNOWN.sessions[199]))


def test_the_newest_close_is_compared_too() -> None:
    found = find_corrections(KNOWN, with_closes({299: 1.02}))
    assert (found.first, found.rescaled) == (KNOWN.sessions[299].item(), True)


def test_a_cent_is_a_correction_where_nothing_else_changed() -> None:
    known = rounded(KNOWN, 2)
    closes = known.closes.copy()
    closes[100] += 0.01
    found = find_corrections(known, replace(known, closes=closes))
    assert found.sessions.tolist() == known.sessions[100:102].tolist()


@given(
    factor=st.floats(0.01, 0.999) | st.floats(1.001, 100), decimals=st.sampled_from([2, 4, None])
)
@patiently
def test_a_history_that_is_restated_and_rounded_has_no_corrections(
    factor: float, decimals: int | None
) -> None:
    known = KNOWN if decimals is None else rounded(KNOWN, decimals)
    new = replace(KNOWN, closes=np.round(factor * KNOWN.closes, decimals or 12))
    assert find_corrections(known, new).first is None


@pytest.mark.parametrize(("factor", "rescaled"), [(0.5, True), (0.97, True), (1.0000001, False)])
def test_another_level_is_noticed(factor: float, rescaled: bool) -> None:
    """The state holds its last close; the noise of a float32 is no other level."""
    new = replace(KNOWN, closes=factor * KNOWN.closes)
    assert find_corrections(KNOWN, new).rescaled is rescaled


def test_a_correction_inside_a_restated_history_is_found() -> None:
    new = with_closes({150: 1.01}, replace(KNOWN, closes=0.97 * KNOWN.closes))
    found = find_corrections(KNOWN, new)
    assert found.sessions.tolist() == KNOWN.sessions[150:152].tolist()


@pytest.mark.parametrize("row", [100, 298])
def test_a_session_that_one_download_lacks_is_a_correction(row: int) -> None:
    kept = np.arange(300) != row
    lacking = replace(KNOWN, sessions=KNOWN.sessions[kept], closes=KNOWN.closes[kept])
    for one, other in ((KNOWN, lacking), (lacking, KNOWN)):
        found = find_corrections(one, other)
        assert found.first == KNOWN.sessions[row].item()


def test_closes_that_are_held_back_are_missing() -> None:
    assert find_corrections(KNOWN, KNOWN.rows(0, 290)).first == KNOWN.sessions[290].item()


def test_a_download_that_begins_later_is_compared_from_there() -> None:
    later = KNOWN.rows(120, None)
    assert not find_corrections(KNOWN, later)
    assert not find_corrections(later, KNOWN)
    assert find_corrections(KNOWN, with_closes({200: 1.01}).rows(120, None)).compared == 180


def test_downloads_without_a_common_session_do_not_compare() -> None:
    found = find_corrections(KNOWN.rows(0, 100), KNOWN.rows(150, None))
    assert (found.first, found.compared, found.rescaled) == (None, 0, False)


def test_a_few_corrections_rewrite_no_history_and_another_series_does() -> None:
    few = find_corrections(KNOWN, with_closes(dict.fromkeys((40, 120, 121, 122, 250), 1.03)))
    assert few
    assert not few.rewrite_history
    shuffled = np.random.default_rng(1).permutation(np.diff(np.log(KNOWN.closes)))
    closes = KNOWN.closes[0] * np.exp(np.concatenate([[0.0], np.cumsum(shuffled)]))
    assert find_corrections(KNOWN, replace(KNOWN, closes=closes)).rewrite_history


@pytest.mark.parametrize(
    ("closes", "tick"),
    [
        ([101.0, 99.0], 1.0),
        ([101.25, 99.5], 0.01),
        ([0.2211, 0.433], 1e-4),
        ([100 / 3, 99.0], 0.0),
    ],
)
def test_the_tick_is_the_largest_power_of_ten_that_all_closes_are_multiples_of(
    closes: list[float], tick: float
) -> None:
    assert tick_of(np.array(closes)) == pytest.approx(tick)


def test_two_cents_at_two_ends_are_rounding_of_a_restated_close_only() -> None:
    ends = np.array([10.0, 10.0])
    assert is_rounding(0.1, 0.1015, ends, 0.01)
    assert not is_rounding(0.1, 0.1015, ends, 0.0)
    assert not is_rounding(0.1, 0.103, ends, 0.01)
    assert is_rounding(0.1, 0.1 + 1e-6, ends, 0.0)
