"""Made closes of coins, for no package carries closes of five real ones that may be passed on.

A coin's log return is a share of the market's and a part of its own, both with fat tails (Student's
t) and a volatility that comes in clusters. Large moves are often partly taken back the next day,
and now and then a coin has news of its own, after which it is wilder for days. The market falls on
the days of two real crashes, by as much as was published of them. Seeds are fixed: what thresholds
are tuned on is one panel, what is measured and tested are others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices

NAMES = (
    *("BTC", "ETH", "BNB", "XRP", "ADA", "DOGE", "LTC", "LINK", "ALGO", "ATOM", "VET"),
    *("HBAR", "TRX", "XLM", "ETC", "EOS", "NEO"),
)
CRASH, FOLLOWING, RETURN = "2020-03-12", "2022-11-08", "2022-11-10"
"""The fall of March 2020; the first day of that of November 2022, and the day after it."""

_MARKET_DAYS = {
    "2020-03-12": (-0.573, 0.22),  # median -43.6 %, most from -35 to -55 %
    "2020-03-13": (0.12, 0.4),
    "2022-11-08": (-0.15, 0.35),
    "2022-11-09": (-0.20, 0.25),
    "2022-11-10": (0.125, 0.3),
}
"""Log move of the market, and the spread of the coins' shares in it."""


@dataclass(frozen=True)
class Panel:
    """Numbers that a panel is made of.

    Attributes
    ----------
    market, own : float
        Long-run volatility of the market's day and of a coin's own part, as log returns.
    freedom, own_freedom : float
        Degrees of freedom of a day's law, of the market's and of a coin's own part.
    persistence, roughness : float
        Of the logarithm of the volatility, from day to day.
    momentum : float
        Deviation of a slow drift, over that of a day.
    taken_back : float
        Share of moves beyond three deviations that the next day partly takes back.
    news : float
        Probability of a coin's own news on a day.
    """

    seed: int
    market: float = 0.030
    own: float = 0.028
    freedom: float = 3.0
    own_freedom: float = 5.0
    persistence: float = 0.985
    roughness: float = 0.075
    momentum: float = 0.12
    taken_back: float = 0.3
    news: float = 0.0004


TUNED = Panel(seed=1)
HELD_OUT = (Panel(101), Panel(202, market=0.027, own=0.033, own_freedom=4.0, news=0.0006))
"""Nothing is chosen by these."""


@lru_cache(maxsize=4)
def coins(panel: Panel, first: str = "2018-01-01", last: str = "2026-06-30") -> tuple[Prices, ...]:
    """Closes of seventeen coins on every day of a span."""
    rng = np.random.default_rng(panel.seed)
    sessions = np.arange(np.datetime64(first), np.datetime64(last) + 1)
    n = len(sessions)
    market = panel.market * _clustered(panel, rng, n) * _fat(panel.freedom, rng, n, panel.momentum)
    market = _with_returns(panel, rng, market, panel.market)
    betas = rng.uniform(0.75, 1.25, len(NAMES))
    levels = 10.0 ** rng.uniform(-2, 4, len(NAMES))
    made = []
    for name, beta, level in zip(NAMES, betas, levels, strict=True):
        scale = panel.own * rng.uniform(0.5, 1.4)
        own = scale * _clustered(panel, rng, n) * _fat(panel.own_freedom, rng, n, panel.momentum)
        news = rng.random(n) < panel.news
        own *= 1.0 + _after(news)
        own = own + news * rng.choice([-1, 1], n) * rng.uniform(0.2, 0.5, n)
        own = _with_returns(panel, rng, own, scale)
        returns = np.linspace(1.2, 0.8, n) * (beta * market + own)  # coins have become calmer
        wild = (sessions >= np.datetime64("2020-02-20")) & (sessions < np.datetime64(CRASH))
        returns *= np.where(wild, 1.6, 1.0)  # the weeks before were not calm
        for day, (move, spread) in _MARKET_DAYS.items():
            row = int((np.datetime64(day) - sessions[0]).astype(int))
            if 0 <= row < n:
                share = float(np.clip(1 + spread * rng.standard_normal(), 0.6, 1.5))
                returns[row] = move * share
        returns[0] = 0.0
        walk = returns.cumsum()
        walk -= np.linspace(0.0, 0.9 * walk[-1], n)  # six decades of levels, not sixty
        closes = np.round(level * np.exp(walk), _decimals(level))
        made.append(Prices(f"{name}-USDT", sessions, closes, "made", "unknown"))
    return tuple(made)


def _clustered(panel: Panel, rng: np.random.Generator, n: int) -> FloatArray:
    """Volatility of each day over the long-run one, shape (n,)."""
    logs = np.empty(n)
    logs[0] = 0.0
    steps = panel.roughness * rng.standard_normal(n)
    for i in range(1, n):
        logs[i] = panel.persistence * logs[i - 1] + steps[i]
    variance = panel.roughness**2 / (1 - panel.persistence**2)
    return np.asarray(np.exp(logs - variance))


def _after(news: NDArray[np.bool_]) -> FloatArray:
    """Added volatility of the days after news, over the usual, shape (n,)."""
    added = np.zeros(len(news))
    for i in range(1, len(news)):
        added[i] = 2.5 if news[i - 1] else 0.85 * added[i - 1]
    return added


def _fat(freedom: float, rng: np.random.Generator, n: int, momentum: float) -> FloatArray:
    """A day's law in units of its deviation, with a slow drift, shape (n,)."""
    deviation = np.sqrt(freedom / (freedom - 2))
    days = rng.standard_t(freedom, n) / deviation
    drift = rng.standard_normal(n // 20 + 1).repeat(20)[:n]
    return np.asarray(np.clip(days, -10, 10) + momentum * drift)


def _with_returns(
    panel: Panel, rng: np.random.Generator, moves: FloatArray, scale: float
) -> FloatArray:
    """Take a part of some large moves back on the day after."""
    found = moves.copy()
    for row in np.flatnonzero(np.abs(moves[:-1]) > 3 * scale):
        if rng.random() < panel.taken_back:
            found[row + 1] -= found[row] * rng.uniform(0.25, 0.7)
    return found


def _decimals(level: float) -> int:
    """Decimals with which exchanges quote a level: five or six digits."""
    return int(max(2, 5 - np.floor(np.log10(level))))


def by_day(panel: tuple[Prices, ...], day: str) -> NDArray[np.float64]:
    """Log return of each coin on a day, shape (17,)."""
    row = int(np.searchsorted(panel[0].sessions, np.datetime64(day)))
    return np.array([float(np.log(p.closes[row] / p.closes[row - 1])) for p in panel])
