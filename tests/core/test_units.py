"""Blocks of closes in another unit: any length, at any place, and never a real move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from closecast.core.units import STAYS_DOWN, STAYS_UP, lasting_moves, unit_blocks
from closecast.sources.sample import SampleSource
from tests.support.synthetic_prices import patiently

N = 400


def walk(seed: int = 0, n: int = N, volatility: float = 0.02) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(0, volatility, n))


@patiently
@given(
    length=st.integers(1, 40),
    at=st.floats(0, 1),
    factor=st.sampled_from([100.0, 0.01, 1000.0, 0.001, 20.0, 1 / 20]),
    seed=st.integers(0, 99),
)
@example(length=20, at=1.0, factor=0.01, seed=0)
@example(length=40, at=1.0, factor=0.01, seed=0)
@example(length=20, at=0.0, factor=0.01, seed=0)
@example(length=2, at=0.5, factor=0.01, seed=0)
def test_a_block_of_any_length_is_found_where_it_is(
    length: int, at: float, factor: float, seed: int
) -> None:
    first = round(at * (N - length))
    stop = first + length
    closes = walk(seed)
    closes[first:stop] += np.log(factor)
    found = unit_blocks(closes)
    at_edge = first == 0 or stop == N
    if at_edge and (not factor < 1 / 50 and not factor > 50):
        assert found == []  # may be a split by 20
        return
    move_up = (factor > 1) != (first == 0)
    if at_edge and length >= (STAYS_UP if move_up else STAYS_DOWN):
        assert found == []  # stays for good
        return
    [block] = found
    assert (block.first, block.stop) == (first, stop)
    assert block.ratio == pytest.approx(factor, rel=0.2)
    assert lasting_moves(closes).tolist() == []


@pytest.mark.parametrize("share", [0.05, 0.3, 0.45])
@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_prices_that_flip_at_random_are_all_found(share: float, factor: float) -> None:
    rng = np.random.default_rng(3)
    closes, wrong = walk(), rng.random(N) < share
    closes[wrong] += np.log(factor)
    rows = [row for b in unit_blocks(closes) for row in range(b.first, b.stop)]
    assert rows == np.flatnonzero(wrong).tolist()


def test_several_blocks_of_several_units() -> None:
    closes = walk()
    closes[50:70] += np.log(100)
    closes[200] -= np.log(1000)
    closes[300:340] -= np.log(100)
    assert [(b.first, b.stop) for b in unit_blocks(closes)] == [(50, 70), (200, 201), (300, 340)]


@pytest.mark.parametrize("row", [STAYS_UP, 200, N - STAYS_UP])
def test_a_reverse_split_that_stays_is_no_unit_error(row: int) -> None:
    closes = walk()
    closes[row:] += np.log(100)
    assert unit_blocks(closes) == []
    assert lasting_moves(closes).tolist() == [row]


@pytest.mark.parametrize("ratio", [20, 25, 50])
@pytest.mark.parametrize("after", [1, 5, 29])
def test_a_split_of_yesterday_is_no_unit_error(ratio: int, after: int) -> None:
    closes = walk()
    closes[-after:] -= np.log(ratio)
    assert unit_blocks(closes) == []


def test_a_collapse_over_several_days_is_no_unit_error() -> None:
    """As of a coin in May 2022: to a hundredth, then a three-hundredth, within three days."""
    closes = walk(volatility=0.06)
    for row, fall in ((200, 17), (201, 280), (202, 80)):
        closes[row:] -= np.log(fall)
    assert unit_blocks(closes) == []


def test_moves_over_a_gap_may_be_of_any_size() -> None:
    closes = walk()
    closes[390:] += np.log(40)
    apart = np.zeros(N - 1, dtype=bool)
    apart[389] = True
    assert unit_blocks(closes, apart) == []
    assert lasting_moves(closes, apart).tolist() == []


def test_nothing_is_found_in_the_sample() -> None:
    source = SampleSource()
    for symbol in source.symbols():
        assert unit_blocks(np.log(source.read(symbol, None, None).closes)) == []


def test_nothing_is_found_in_wild_coins() -> None:
    """Daily volatility of 6 % with heavy tails, and days on which all fall by half."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        returns = rng.standard_t(2.5, 2000) * 0.04
        returns[rng.integers(0, 2000, 3)] -= np.log(2)
        assert unit_blocks(np.cumsum(returns)) == []


@pytest.mark.parametrize("factor", [100.0, 0.01, 20.0])
@pytest.mark.parametrize("length", [70, 90])
def test_blocks_at_both_ends_are_found_although_either_alone_may_stay(
    factor: float, length: int
) -> None:
    closes = walk()
    closes[:length] += np.log(factor)
    closes[-length:] += np.log(factor)
    assert [(b.first, b.stop) for b in unit_blocks(closes)] == [(0, length), (N - length, N)]
    assert lasting_moves(closes).tolist() == []


def test_every_other_close_of_a_long_series_is_found() -> None:
    n = 20_000
    closes = walk(n=n, volatility=0.001)
    closes[1::2] += np.log(100)
    # Counting each level against all others would take minutes.
    assert len(unit_blocks(closes)) == n // 2
