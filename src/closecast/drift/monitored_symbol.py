"""``MonitoredSymbol``: a symbol's newest close compared with the forecast issued before it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import numpy as np

from closecast.calibration import AdaptiveState, PanelMember, SplitConformal
from closecast.core.calendars import as_date
from closecast.core.forecast import Forecast
from closecast.core.records import SCORED_PROBABILITIES, DriftDay
from closecast.drift.monitor import ARL0, Monitor, tail_probability
from closecast.errors import TooFewCloses
from closecast.metrics.error_estimate import expected_error
from closecast.metrics.outcomes import probability_integral_transform, realised_log_return

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class MonitoredSymbol:
    """One symbol of one model, with its monitor before the next close.

    Attributes
    ----------
    member : PanelMember
        Closes of the symbol, and forecasts whose intervals are the ones served.
    frozen : Forecast
        Forecasts made from windows alone, at the origins of ``member.forecast``: those that
        ``calibration`` was computed for.
    calibration : SplitConformal
        The calibration in the bundle; unlike the live one, it does not learn from new closes.
    monitor : Monitor
        Evidence up to the close before.
    """

    version: str
    member: PanelMember
    frozen: Forecast
    calibration: SplitConformal
    monitor: Monitor

    def observe(self, state: AdaptiveState, row: int, now: datetime) -> DriftDay:
        """Compare one close with the forecast of the live calibration before it.

        Parameters
        ----------
        state : AdaptiveState
            Live calibration before it absorbed the close.
        row : int
            Of the close in ``member.prices``.
        now : datetime
            Aware; becomes ``DriftDay.at``.
        """
        prices = self.member.prices
        session = as_date(prices.sessions[row])
        log_return = realised_log_return(prices, as_date(state.session), session)
        error = miss = pit = expected = shock = None
        lower, upper = state.ends[-1, 0]
        if log_return is not None:
            next_return = np.full(len(state.origins), np.nan)
            next_return[-1] = log_return
            miss = bool(state.score(next_return).misses[0])
            median = float(state.location[-1, 0])
            error = log_return - median
            shock = self._tail(row, log_return)
            try:
                quantiles = state.forecast(SCORED_PROBABILITIES).quantiles[0]
                pit = probability_integral_transform(quantiles.tolist(), log_return)
                expected = expected_error(quantiles, SCORED_PROBABILITIES, median)
            except TooFewCloses:  # a 99 % interval needs 199 past errors
                log.debug("too few errors for a PIT", extra={"symbol": prices.symbol})
        monitor = self.monitor.after(miss, shock)
        return DriftDay(
            version=self.version,
            symbol=prices.symbol,
            session=session,
            monitor=monitor.values,
            evidence=monitor.evidence,
            miss=miss,
            pit=pit,
            shock=shock,
            error=error,
            expected_error=expected,
            width=float((upper - lower) * state.scale[-1, 0]),
            at=now,
        )

    def after(self, day: DriftDay) -> Self:
        """Return the symbol with its monitor after an observed session."""
        return replace(self, monitor=Monitor(day.monitor))

    def enters_alarm(self, day: DriftDay) -> bool:
        """Return whether an observed session takes the evidence from below ``ARL0`` to it."""
        return day.evidence >= ARL0 and not self.monitor.in_alarm

    def _tail(self, row: int, log_return: float) -> float | None:
        """Tail probability of the return from the row before, under the model as trained."""
        if row - 1 < self.member.first:
            return None
        forecast = self.frozen[row - 1 - len(self.member.prices)]
        score = (log_return - forecast.location[0]) / forecast.scale[0]
        return tail_probability(self.calibration.scores[0], float(score))
