"""Predictors and series for live calibration: short windows, few steps, quick to follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from closecast.calibration import AdaptiveState, PanelMember, follow
from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices
from closecast.forecasters import Parameters, Predictor, make_forecaster
from tests.support.synthetic_prices import from_returns, garch

LENGTH, HORIZON = 20, 3


@lru_cache
def predictor_of(name: str = "ewma", horizon: int = HORIZON) -> Predictor:
    """A baseline with windows of 20 closes."""
    recipe = make_forecaster(name, Parameters(seq_length=LENGTH, horizon=horizon))
    return recipe.fit([garch(600, seed=99)], [garch(600, seed=99)])


def member(prices: Prices, name: str = "ewma", horizon: int = HORIZON) -> PanelMember:
    """A series with a forecast at each of its origins."""
    [forecast] = predictor_of(name, horizon).predict_along([prices])
    return PanelMember(prices, forecast)


def history(
    prices: Prices, name: str = "ewma", horizon: int = HORIZON
) -> Iterator[tuple[int, AdaptiveState]]:
    """Row and state after it, for every origin of one series on its own."""
    rows = {session: row for row, session in enumerate(prices.sessions.tolist())}
    for day, after in follow([member(prices, name, horizon)], prices.sessions[0]):
        yield rows[day.item()], after[prices.symbol]


def last(days: Iterator[tuple[int, AdaptiveState]]) -> AdaptiveState:
    """The state after all of them."""
    *_, (_, state) = days
    return state


def ahead(prices: Prices, row: int, horizon: int = HORIZON) -> FloatArray:
    """The log returns that followed a row, shape (horizon,)."""
    closes = prices.closes[row : row + horizon + 1]
    return np.asarray(np.log(closes[1:] / closes[0]))


def broken(n: int, at: int, factor: float, seed: int, symbol: str = "MADE") -> Prices:
    """Normal returns of 1 % a day, from row ``at`` on ``factor`` times as large."""
    returns = np.random.default_rng(seed).normal(0, 0.01, n - 1)
    returns[at:] *= factor
    return from_returns(returns, symbol)


def parts(states: Sequence[AdaptiveState]) -> list[tuple[bytes, ...]]:
    """Their bytes, to be compared."""
    return [state.to_parts() for state in states]
