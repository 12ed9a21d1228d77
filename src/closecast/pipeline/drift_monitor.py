"""What a new close says to the monitor over time: held against what was said before it came."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from closecast.calibration import AdaptiveState, PanelMember, SplitConformal
from closecast.core.calendars import as_date
from closecast.core.forecast import Forecast
from closecast.core.records import SCORED_PROBABILITIES
from closecast.database import Database, DriftDay
from closecast.drift import ARL0, Monitor, tail_probability
from closecast.errors import DamagedBundle, TooFewCloses
from closecast.forecasters import Predictor
from closecast.metrics.error_estimate import expected_error
from closecast.metrics.outcomes import probability_integral_transform, realised_log_return
from closecast.registry.documents import INTERVALS_FILE, Bundle, of_symbol

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class MonitoredSymbol:
    """A symbol under watch.

    Attributes
    ----------
    frozen : Forecast
        What the model says from windows alone, at the origins of ``member.forecast``.
    calibration : SplitConformal
        The one that the bundle came with: of ``frozen``, and it learns nothing.
    monitor : Monitor
        Before the closes to come.
    """

    version: str
    member: PanelMember
    frozen: Forecast
    calibration: SplitConformal
    monitor: Monitor

    def see(self, state: AdaptiveState, row: int, now: datetime) -> DriftDay:
        """Hold a close against what was said of it.

        Parameters
        ----------
        state : AdaptiveState
            Before the close.
        row : int
            Of the close in ``member.prices``.
        now : datetime
            Aware.
        """
        prices = self.member.prices
        session = as_date(prices.sessions[row])
        log_return = realised_log_return(prices, as_date(state.session), session)
        error = miss = pit = expected = shock = None
        lower, upper = state.ends[-1, 0]
        if log_return is not None:
            waiting = np.full(len(state.origins), np.nan)
            waiting[-1] = log_return
            miss = bool(state.score(waiting).misses[0])
            median = float(state.location[-1, 0])
            error = log_return - median
            shock = self._shock(row, log_return)
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

    def moved(self, day: DriftDay) -> Self:
        """The same after a session that was seen."""
        return replace(self, monitor=Monitor(day.monitor))

    def _shock(self, row: int, log_return: float) -> float | None:
        """Tail probability of the return from the row before, under the model as trained."""
        if row - 1 < self.member.first:
            return None
        said = self.frozen[row - 1 - len(self.member.prices)]
        score = (log_return - said.location[0]) / said.scale[0]
        return tail_probability(self.calibration.scores[0], float(score))


def watch_over(
    bundle: Bundle,
    predictor: Predictor,
    database: Database,
    members: Sequence[PanelMember],
    states: Mapping[str, AdaptiveState | None],
) -> dict[str, MonitoredSymbol]:
    """The symbols with the monitors in force when their states were.

    Raises
    ------
    DamagedBundle
        If the bundle has no calibration of a symbol.
    """
    version, found = bundle.manifest.version, {}
    for member in members:
        symbol = member.prices.symbol
        state = states[symbol]
        assert state is not None
        found[symbol] = MonitoredSymbol(
            version,
            member,
            _from_windows(predictor, member),
            SplitConformal.from_json(of_symbol(bundle.files, INTERVALS_FILE, symbol)),
            _monitor(database, version, symbol, state),
        )
    return found


def warn_if_crossed(before: Monitor, day: DriftDay) -> None:
    """Log a line where the evidence of a symbol has crossed into alarm."""
    if day.evidence >= ARL0 and not before.in_alarm:
        log.warning(
            "drift over time",
            extra={
                "symbol": day.symbol,
                "version": day.version,
                "session": str(day.session),
                "evidence": round(day.evidence, 1),
                "arl0": ARL0,
            },
        )


def _from_windows(predictor: Predictor, member: PanelMember) -> Forecast:
    """The forecasts that the bundle's calibration is of: from windows, at a member's origins."""
    if not predictor.uses_history:
        return member.forecast
    length = predictor.seq_length
    windows = sliding_window_view(member.prices.closes, length)
    return predictor.predict_batch(windows[member.first - length + 1 :])


def _monitor(database: Database, version: str, symbol: str, state: AdaptiveState) -> Monitor:
    """The monitor that saw what the state has absorbed; a new one if its values are damaged."""
    day = database.drift_days.newest(version, symbol, until=as_date(state.session))
    if day is None:
        return Monitor()
    try:
        return Monitor.from_values(day.monitor)
    except DamagedBundle as error:
        log.error("stored monitor damaged", extra={"symbol": symbol, "reason": str(error)})
        return Monitor()
