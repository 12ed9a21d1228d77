"""Many symbols, one calendar: each day's closes are absorbed together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from closecast.calibration.adaptive import AdaptiveState
from closecast.calibration.observations import OriginForecast, PanelObservation
from closecast.core.arrays import FloatArray
from closecast.core.forecast import Forecast
from closecast.core.prices import Prices
from closecast.core.symbols import exchange_of


@dataclass(frozen=True, eq=False)
class PanelMember:
    """A series with a predictor's forecasts from its newest origins.

    Attributes
    ----------
    forecast : Forecast
        A batch; its last row starts from the last close, the rows before from those before.
    """

    prices: Prices
    forecast: Forecast

    def base(self, row: int) -> OriginForecast:
        """The forecast from a row of ``prices``."""
        return OriginForecast.of(self.forecast[row - len(self.prices)])

    @property
    def first(self) -> int:
        """The first row of ``prices`` that has a forecast."""
        return len(self.prices) - len(self.forecast.location)


def advance(
    states: Mapping[str, AdaptiveState | None], members: Sequence[tuple[PanelMember, int]]
) -> dict[str, AdaptiveState]:
    """Absorb one day's closes: the states of the members after it.

    Parameters
    ----------
    states : mapping of symbol to AdaptiveState
        Before the day; ``None`` where a symbol begins.
    members : sequence of (Member, row)
        All symbols of one exchange that have a close on that day, and its row.
    """
    scored = {
        member.prices.symbol: state.score(_log_returns(state, member.prices, row))
        for member, row in members
        if (state := states[member.prices.symbol]) is not None
    }
    day = PanelObservation.of(list(scored.values())) if scored else None
    after = {}
    for member, row in members:
        prices, symbol = member.prices, member.prices.symbol
        session, close = prices.sessions[row], float(prices.closes[row])
        state = states[symbol]
        if state is None:
            after[symbol] = AdaptiveState.start(session, close, member.base(row))
        else:
            assert day is not None
            after[symbol] = state.absorb(session, close, scored[symbol], day, member.base(row))
    return after


def follow(
    series: Sequence[PanelMember],
    start: np.datetime64,
    begun: Mapping[str, AdaptiveState] | None = None,
) -> Iterator[tuple[np.datetime64, dict[str, AdaptiveState]]]:
    """Live states day by day from ``start`` on, as a service would have had them.

    Parameters
    ----------
    begun : mapping of symbol to AdaptiveState, optional
        States to go on from, all of the session before ``start``; without it symbols begin.

    Yields
    ------
    day, states
        The states of the symbols that have a close on the day, after it.
    """
    states: dict[str, AdaptiveState | None] = {s.prices.symbol: None for s in series}
    states |= begun or {}
    exchanges = {s.prices.symbol: exchange_of(s.prices.symbol) for s in series}
    firsts = [max(s.first, int(np.searchsorted(s.prices.sessions, start))) for s in series]
    days = [s.prices.sessions[first:] for s, first in zip(series, firsts, strict=True)]
    for day in np.unique(np.concatenate(days)):
        groups: dict[str, list[tuple[PanelMember, int]]] = {}
        for one, first in zip(series, firsts, strict=True):
            row = int(np.searchsorted(one.prices.sessions, day))
            if first <= row < len(one.prices) and one.prices.sessions[row] == day:
                groups.setdefault(exchanges[one.prices.symbol], []).append((one, row))
        after: dict[str, AdaptiveState] = {}
        for members in groups.values():
            after |= advance(states, members)
        states |= after
        yield day, after


def _log_returns(state: AdaptiveState, prices: Prices, row: int) -> FloatArray:
    """From each waiting origin to a row; both closes are from the same download."""
    rows = np.searchsorted(prices.sessions, state.origins)
    there = prices.sessions[np.minimum(rows, len(prices) - 1)] == state.origins
    closes = prices.closes[np.minimum(rows, len(prices) - 1)]
    return np.where(there, np.log(prices.closes[row]) - np.log(closes), np.nan)
