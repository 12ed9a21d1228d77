"""Moves of a whole market: what its symbols did on a day, in the median. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from closecast.core.arrays import Dates, FloatArray
from closecast.core.prices import Prices

LEAST_OTHERS = 4
"""Symbols, besides the judged one, without whose moves nothing is known of a market's day."""

_MANY = 30  # symbols: of so many, leaving one out does not move the median
_USUAL_DAYS = 20
_MEAN_TO_DEVIATION = float(np.sqrt(np.pi / 2))
_CUT = 6.0  # times the usual: one wild day is no scale


@dataclass(frozen=True, slots=True, eq=False)
class MarketMoves:
    """Median moves of a market's symbols.

    Attributes
    ----------
    sessions : array of datetime64[D], shape (m,)
        Days on which at least :data:`LEAST_OTHERS` symbols moved, in order.
    moves : array, shape (m,)
        Median log return.
    times : array, shape (m,)
        Median of the log returns, each over the volatility of its symbol's 20 sessions before.
    volatility : float
        Long-run volatility of one symbol's day, in the median.
    """

    sessions: Dates
    moves: FloatArray
    times: FloatArray
    volatility: float

    def on(self, day: np.datetime64) -> tuple[float, float] | None:
        """Move of a day, as a log return and in volatilities; ``None`` where it is not known."""
        row = int(self.sessions.searchsorted(day))
        if row == len(self.sessions) or self.sessions[row] != day:
            return None
        return float(self.moves[row]), float(self.times[row])

    def at(self, sessions: Dates) -> tuple[FloatArray, FloatArray]:
        """Moves of days in order, shape (n,): log returns and volatilities; 0 where not known."""
        if not len(self.sessions):
            return np.zeros(len(sessions)), np.zeros(len(sessions))
        rows = np.minimum(self.sessions.searchsorted(sessions), len(self.sessions) - 1)
        known = self.sessions[rows] == sessions
        return np.where(known, self.moves[rows], 0.0), np.where(known, self.times[rows], 0.0)


class MarketPanel:
    """Closes of the symbols of one market.

    Parameters
    ----------
    series : iterable of Prices
        All on one calendar.
    """

    def __init__(self, series: Iterable[Prices]) -> None:
        self._series = [prices for prices in series if len(prices) > _USUAL_DAYS + 1]
        self._without: dict[str, MarketMoves] = {}

    def without(self, symbol: str) -> MarketMoves:
        """Moves of the other symbols; computed once. Of many symbols, those of all."""
        if len(self._series) > _MANY or symbol not in self._rows:
            return self._all
        if symbol not in self._without:
            self._without[symbol] = self._median_without(self._rows[symbol])
        return self._without[symbol]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {prices.symbol: row for row, prices in enumerate(self._series)}

    @cached_property
    def _all(self) -> MarketMoves:
        return self._median_without(None)

    @cached_property
    def _table(self) -> tuple[Dates, FloatArray, FloatArray]:
        """Sessions, and moves and times of each symbol, shape (symbols, sessions), or NaN."""
        days = [prices.sessions[1:] for prices in self._series]
        sessions = np.unique(np.concatenate(days)) if days else np.empty(0, "datetime64[D]")
        moves = np.full((len(days), len(sessions)), np.nan)
        times = np.full_like(moves, np.nan)
        for row, prices in enumerate(self._series):
            returns = np.diff(prices.log_closes)
            columns = np.searchsorted(sessions, days[row])
            moves[row, columns] = returns
            times[row, columns] = returns / _usual_before(returns)
        return sessions, moves, times

    def _median_without(self, row: int | None) -> MarketMoves:
        sessions, moves, times = self._table
        if row is not None:
            kept = np.arange(len(moves)) != row
            moves, times = moves[kept], times[kept]
        enough = np.isfinite(times).sum(axis=0) >= LEAST_OTHERS
        sizes = [float(np.nanmean(np.abs(of_symbol))) for of_symbol in moves]
        found = MarketMoves(
            sessions[enough],
            _median(moves[:, enough]),
            _median(times[:, enough]),
            _MEAN_TO_DEVIATION * float(np.median(sizes)) if sizes else 0.0,
        )
        if len(self._series) > _MANY:
            self.__dict__.pop("_table", None)  # of many symbols it is large, and not needed again
        return found


def _usual_before(returns: FloatArray) -> FloatArray:
    """Volatility of the 20 sessions before each, shape (n,); NaN where there are fewer."""
    sizes = np.abs(returns)
    cut = np.minimum(sizes, _CUT * max(float(np.median(sizes)), 1e-9))
    sums = np.concatenate([[0.0], cut.cumsum()])
    usual = np.full(len(returns), np.nan)
    usual[_USUAL_DAYS:] = (sums[_USUAL_DAYS:-1] - sums[: -_USUAL_DAYS - 1]) / _USUAL_DAYS
    return np.asarray(np.maximum(_MEAN_TO_DEVIATION * usual, 1e-9))


def _median(values: FloatArray) -> FloatArray:
    """Median of each column without NaN; faster than ``nanmedian`` on wide tables."""
    ordered = np.sort(values, axis=0)  # NaN last
    counts = np.isfinite(ordered).sum(axis=0)
    columns = np.arange(values.shape[1])
    lower, upper = (counts - 1) // 2, counts // 2
    return np.asarray((ordered[lower, columns] + ordered[upper, columns]) / 2)
