"""The reference: statistics of clean windows of many symbols, measured once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.dataset import log_returns, long_run_volatility
from closecast.core.prices import Prices
from closecast.drift.features import WindowFeatures, WindowReturns, ewma_before, features_of
from closecast.drift.statistics import STATISTICS
from closecast.sources.sample import SampleSource

STEP = 3
"""Sessions between two windows: neighbours hold almost the same numbers."""

_LEAST_SESSIONS = 500  # of the past; with fewer the whole reference is used
_GAPS = (1, 2, 5, 10, 21, 63)
_WARM_UP = 64
_LEAST_COVERED = 500  # windows
_POOLED_STILL_DAYS = 250.0
_LEAST_STILL_SHARE = 5e-3  # two still days in a row are not yet a frozen feed


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Every statistic of every window of the reference symbols.

    Attributes
    ----------
    alone, with_before : mapping of key to array, shape (m,)
        Measured without and with the closes before the window.
    last_sessions : array of datetime64[D], shape (m,)
    symbols : array of str, shape (m,)
    still_share : float
        Of all returns.
    moves : array, shape (m,)
        Mean size of the newest moves of each window over their mean in the symbol's whole span:
        above 1 in wild times.
    data_hash : str
        Of the closes.
    step : int
        Sessions between two windows.
    """

    alone: Mapping[str, FloatArray]
    with_before: Mapping[str, FloatArray]
    last_sessions: NDArray[np.datetime64]
    symbols: NDArray[np.str_]
    moves: FloatArray
    still_share: float
    data_hash: str
    step: int = STEP

    def without(self, symbol: str) -> Reference:
        """Leave out one symbol's windows: no symbol is judged by a pool that holds it."""
        return self.where(self.symbols != symbol)

    def only(self, statistics: Collection[str]) -> Reference:
        """Select statistics by key."""
        return replace(
            self,
            alone={key: self.alone[key] for key in self.alone if key in statistics},
            with_before={
                key: self.with_before[key] for key in self.with_before if key in statistics
            },
        )

    def where(self, kept: NDArray[np.bool_]) -> Reference:
        """Select windows by a mask, shape (m,)."""
        return replace(
            self,
            alone={key: values[kept] for key, values in self.alone.items()},
            with_before={key: values[kept] for key, values in self.with_before.items()},
            last_sessions=self.last_sessions[kept],
            symbols=self.symbols[kept],
            moves=self.moves[kept],
        )

    def wildness_beside(self, first: str, last: str) -> float:
        """Volatility of the whole reference over that of a span (ISO dates, both included).

        From 1 to 2; 1 if the span holds fewer than 500 windows. It is at least 1, because training
        years that were wilder than most must not make usual days findings. A model trained on 2005
        to 2007 takes a volatility for usual that is two thirds of that of the years after.
        """
        start, end = np.datetime64(first, "D"), np.datetime64(last, "D")
        inside = self.moves[(self.last_sessions >= start) & (self.last_sessions <= end)]
        if len(inside) < _LEAST_COVERED:
            return 1.0
        return float(np.clip(self.moves.mean() / inside.mean(), 1.0, 2.0))


@lru_cache(maxsize=4)
def sample_reference(seq_length: int, until: str | None = None) -> Reference:
    """The embedded sample of real prices, up to a session (ISO date), as a reference.

    If fewer than 500 sessions lie before that day, the whole sample is used. The reference is then
    not only of the past; its dates show that.
    """
    source = SampleSource()
    whole = [source.fetch(symbol) for symbol in source.symbols()]
    rows = [_rows_until(prices, until) for prices in whole]
    if min(rows) < max(_LEAST_SESSIONS, 2 * seq_length):
        return measure_reference(whole, seq_length)
    past = [prices.rows(0, stop) for prices, stop in zip(whole, rows, strict=True)]
    return measure_reference(past, seq_length)


def measure_reference(series: Sequence[Prices], seq_length: int, step: int = STEP) -> Reference:
    """Measure windows of closes assumed to be clean, each symbol in its own scale.

    Parameters
    ----------
    series : sequence of Prices
        Each with a few windows at least.
    step : int
        Sessions between two windows.
    """
    returns = [log_returns(prices.closes) for prices in series]
    pooled = still_share_of(np.concatenate(returns))
    parts = [_measured(prices, seq_length, pooled, step) for prices in series]
    digest = hashlib.sha256("".join(prices.content_hash for prices in series).encode())
    return Reference(
        alone={key: np.concatenate([part[0][key] for part in parts]) for key in parts[0][0]},
        with_before={key: np.concatenate([part[1][key] for part in parts]) for key in parts[0][1]},
        last_sessions=np.concatenate([part[2] for part in parts]),
        symbols=np.concatenate(
            [np.full(len(part[2]), p.symbol) for part, p in zip(parts, series, strict=True)]
        ),
        moves=np.concatenate([part[3] for part in parts]),
        still_share=pooled,
        data_hash=digest.hexdigest(),
        step=step,
    )


def measured_at(
    series: Sequence[Prices],
    seq_length: int,
    volatility: float,
    step: int = STEP,
    plausible: float | None = None,
) -> dict[str, FloatArray]:
    """Measure windows alone in the scale of one symbol, whichever symbol they are of.

    A window that comes without a symbol is compared with the volatility of the service's default
    symbol, not with its own.

    Parameters
    ----------
    volatility : float
        Long-run volatility of that symbol.
    plausible : float, optional
        As in :class:`closecast.drift.features.WindowFeatures`; that symbol's by default.
    """
    usual = volatility if plausible is None else plausible
    pooled = still_share_of(np.concatenate([log_returns(prices.closes) for prices in series]))
    parts = []
    for prices in series:
        windows, first = _windows(prices, seq_length, step)
        still = np.full(len(first), still_share_of(log_returns(prices.closes), pooled))
        level, news = np.full(len(first), volatility), np.full(len(first), usual)
        parts.append(measured(features_of(windows, level, still, plausible=news)))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def still_share_of(
    returns: FloatArray, pooled: float | None = None, *, half_life: float = np.inf
) -> float:
    """Share of sessions whose close did not move, shrunk towards that of many symbols.

    Parameters
    ----------
    returns : array, shape (n,)
        Oldest first.
    pooled : float, optional
        Share of many symbols.
    half_life : float
        Sessions after which a session counts half: ticks were coarser once, and what stood still
        then is no reason to expect it now.
    """
    still = np.abs(returns) < 1e-6
    if pooled is None:
        return max(float(still.sum()) / len(returns), _LEAST_STILL_SHARE)
    counted = 0.5 ** (np.arange(len(returns))[::-1] / half_life)
    weight = _POOLED_STILL_DAYS
    share = (float(counted @ still) + weight * pooled) / (float(counted.sum()) + weight)
    return min(max(share, _LEAST_STILL_SHARE), 0.9)


def measured(reading: WindowFeatures) -> dict[str, FloatArray]:
    """Measure every statistic that the features allow, by key.

    Rounded, so that the result does not depend on the size of the batch.
    """
    return {
        key: np.round(statistic.measure(reading), 6)
        for key, statistic in STATISTICS.items()
        if statistic.weights[reading.before is not None]
    }


def _rows_until(prices: Prices, until: str | None) -> int:
    if until is None:
        return len(prices)
    return int(np.searchsorted(prices.sessions, np.datetime64(until, "D"), side="right"))


def _windows(prices: Prices, seq_length: int, step: int) -> tuple[WindowReturns, NDArray[np.int64]]:
    """Windows of a symbol and the rows at which they begin."""
    closes = prices.closes
    first = np.arange(min(_WARM_UP, len(closes) - seq_length), len(closes) - seq_length + 1, step)
    return WindowReturns.of(sliding_window_view(closes, seq_length)[first]), first


def _measured(
    prices: Prices, seq_length: int, pooled: float, step: int
) -> tuple[dict[str, FloatArray], dict[str, FloatArray], NDArray[np.datetime64], FloatArray]:
    closes = prices.closes
    windows, first = _windows(prices, seq_length, step)
    returns = log_returns(closes)
    level = np.full(len(first), long_run_volatility(returns))
    still = np.full(len(first), still_share_of(returns, pooled))
    alone = features_of(windows, level, still)
    gaps = np.resize(_GAPS, len(first))
    earlier = np.maximum(first - gaps, 0)
    before = np.array([ewma_before(closes[: row + 1]) or level[0] for row in earlier])
    scale = before * np.sqrt(np.maximum(first - earlier, 1))
    gap = np.log(closes[first] / closes[earlier]) / scale
    known = features_of(windows, level, still, before, gap, scale)
    last = first + seq_length - 1
    moves = sliding_window_view(np.abs(returns), STEP).mean(axis=1)[last - STEP]
    return measured(alone), measured(known), prices.sessions[last], moves / np.abs(returns).mean()
