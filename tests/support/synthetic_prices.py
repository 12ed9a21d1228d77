"""Closes made for tests, with known laws and fixed seeds."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from closecast.core.arrays import FloatArray
from closecast.core.prices import Basis, Prices

patiently = settings(deadline=None)
"""For properties: a shared, noisy machine says nothing by being slow."""


def as_prices(
    closes: FloatArray, symbol: str = "MADE", basis: Basis = "adjusted", first: str = "2010-01-04"
) -> Prices:
    """Closes on consecutive weekdays."""
    sessions = np.busday_offset(first, np.arange(len(closes)), roll="forward")
    return Prices(symbol, sessions, np.asarray(closes), "made", basis)


def from_returns(returns: FloatArray, symbol: str = "MADE", start: float = 100.0) -> Prices:
    """Closes that begin at ``start`` and move by these log returns."""
    return as_prices(start * np.exp(np.concatenate([[0.0], np.cumsum(returns)])), symbol)


def random_walk(
    n: int, seed: int, volatility: float = 0.015, symbol: str = "MADE", start: float = 100.0
) -> Prices:
    """``n`` closes whose log returns are independent and normal: nothing to forecast."""
    rng = np.random.default_rng(seed)
    return from_returns(rng.normal(0, volatility, n - 1), symbol, start)


def garch(n: int, seed: int, symbol: str = "MADE") -> Prices:
    """``n`` closes of a GARCH(1,1) with daily volatility 1.5 %: calm and wild times in turn."""
    rng = np.random.default_rng(seed)
    long_run, alpha, beta = 0.015**2, 0.08, 0.9
    variance, returns = long_run, np.empty(n - 1)
    for t, shock in enumerate(rng.normal(size=n - 1)):
        returns[t] = np.sqrt(variance) * shock
        variance = (1 - alpha - beta) * long_run + alpha * returns[t] ** 2 + beta * variance
    return from_returns(returns, symbol)


def momentum(n: int, seed: int, persistence: float = 0.95, symbol: str = "MADE") -> Prices:
    """``n`` closes whose returns lean on a slow AR(1): something that a network can learn."""
    rng = np.random.default_rng(seed)
    lean, returns = 0.0, np.empty(n - 1)
    for t in range(n - 1):
        lean = persistence * lean + rng.normal(0, 0.005)
        returns[t] = lean + rng.normal(0, 0.005)
    return from_returns(returns, symbol)


def closes(least: int, most: int) -> st.SearchStrategy[FloatArray]:
    """Series from ``least`` to ``most`` closes long, at any believable level and of any mood."""
    return st.builds(
        lambda n, seed, level, volatility: (
            level * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, volatility, n)))
        ),
        n=st.integers(least, most),
        seed=st.integers(0, 2**32 - 1),
        level=st.floats(1e-3, 1e6),
        volatility=st.sampled_from([0.0, 1e-4, 0.01, 0.05]),
    )


score_tables = st.builds(
    lambda seed, horizon, n, digits: (
        np.random.default_rng(seed).normal(size=(horizon, n)).round(digits)
    ),
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(39, 200),
    st.sampled_from([0, 1, 6]),  # few digits: many ties
)
"""Standardised errors of some steps; with few digits there are many ties."""
