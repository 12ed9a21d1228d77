"""Moves of a whole market: the median of the others, by day."""

from __future__ import annotations

import numpy as np
import pytest

from closecast.core import market_moves
from closecast.core.market_moves import MarketPanel
from closecast.core.prices import Prices
from tests.support.synthetic_prices import as_prices

DAYS = 200


def walk(seed: int, crash: float = 0.0, at: int = 150, symbol: str = "") -> Prices:
    returns = np.random.default_rng(seed).normal(0, 0.01, DAYS)
    returns[at] += crash
    return as_prices(100 * np.exp(returns.cumsum()), symbol or "A" + chr(ord("A") + seed))


def test_a_day_that_all_fell_is_the_market_s() -> None:
    panel = MarketPanel([walk(seed, -0.3) for seed in range(6)])
    found = panel.without("AA")
    day = walk(0).sessions[150]
    moved, times = found.on(day) or (0.0, 0.0)
    assert moved == pytest.approx(-0.3, abs=0.02)
    assert times < -15
    assert abs((found.on(walk(0).sessions[151]) or (1, 1))[0]) < 0.02
    assert found.volatility == pytest.approx(0.011, abs=0.002)


def test_the_symbol_s_own_move_is_not_the_market_s() -> None:
    series = [walk(0, -0.5), *(walk(seed) for seed in range(1, 6))]
    day = series[0].sessions[150]
    moved, _ = MarketPanel(series).without("AA").on(day) or (1.0, 1.0)
    assert abs(moved) < 0.02


def test_five_symbols_are_the_least() -> None:
    for count, known in ((5, True), (4, False)):
        panel = MarketPanel([walk(seed) for seed in range(count)])
        assert bool(len(panel.without("AA").sessions)) is known
    assert MarketPanel([]).without("AA").on(np.datetime64("2020-01-01")) is None


def test_a_day_that_few_have_is_not_known() -> None:
    short = [walk(seed).rows(0, 120) for seed in range(1, 4)]
    found = MarketPanel([walk(0), walk(9), *short]).without("AA")
    assert found.on(walk(0).sessions[100]) is not None
    assert found.on(walk(0).sessions[150]) is None
    moves, times = found.at(walk(0).sessions[[100, 150]])
    assert (moves[1], times[1]) == (0.0, 0.0)
    assert moves[0] != 0


def test_of_many_symbols_none_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their median moves by no more than a rank, and one table serves all."""
    series = [walk(seed, -0.3) for seed in range(8)]
    alone = MarketPanel(series).without("AA")
    monkeypatch.setattr(market_moves, "_MANY", 7)
    panel = MarketPanel(series)
    assert panel.without("AA") is panel.without("AB")
    assert panel.without("AA").moves == pytest.approx(alone.moves, abs=0.02)


def test_a_symbol_that_is_not_among_them_has_all_as_its_market() -> None:
    panel = MarketPanel([walk(seed) for seed in range(6)])
    assert panel.without("OTHER") is panel.without("ANOTHER")


def test_medians_are_those_of_numpy() -> None:
    table = np.random.default_rng(1).normal(size=(9, 50))
    table[np.random.default_rng(2).random((9, 50)) < 0.3] = np.nan
    table[0] = 0.5  # no column is all NaN
    assert market_moves._median(table) == pytest.approx(np.nanmedian(table, axis=0))
