"""Scoring: committed forecasts get their outcomes, which follow corrected closes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from closecast.core.calendars import SessionTable, as_date, session_table
from closecast.core.corrections import is_rounding, tick_of
from closecast.core.prices import Prices
from closecast.core.records import SettledStep
from closecast.core.symbols import exchange_of
from closecast.database import Database
from closecast.metrics.outcomes import realised_log_return, score_step, will_never_come
from closecast.pipeline.close_gate import UsableCloses


@dataclass(frozen=True, slots=True)
class ScoreCounts:
    """Steps that were scored for the first time, scored anew, and opened again."""

    scored: int = 0
    corrected: int = 0
    reopened: int = 0

    @property
    def any(self) -> bool:
        """Answer True if an outcome changed."""
        return bool(self.scored or self.corrected or self.reopened)

    def plus(self, other: ScoreCounts) -> ScoreCounts:
        """The sum of both."""
        return ScoreCounts(
            self.scored + other.scored,
            self.corrected + other.corrected,
            self.reopened + other.reopened,
        )


def score_forecasts(database: Database, symbol: str, usable: UsableCloses) -> ScoreCounts:
    """Score a symbol's committed forecasts with its usable closes, and correct earlier outcomes.

    An outcome whose return changed beyond rounding is replaced, and one whose close is held back
    now, or was taken back by the source, is opened again. A step that was given up because its
    close never came is scored if it comes after all. A step that was issued after its session's
    close is void for good: it was no forecast.
    """
    prices = usable.prices
    if prices is None:
        return ScoreCounts()
    calendar = session_table(exchange_of(symbol))
    reopened, corrected = _settle_again(database, calendar, prices, usable.settled_since)
    outcomes, void = [], []
    for forecast_id, forecast, step in database.forecasts.due(symbol, as_date(prices.sessions[-1])):
        if forecast.basis != prices.basis:
            continue
        if _closed_before(calendar, step.session, forecast.issued_at):
            void.append((forecast_id, step.step))
            continue
        log_return = realised_log_return(prices, forecast.origin, step.session)
        if log_return is not None:
            now = database.clock()
            outcomes.append((forecast_id, step.step, score_step(forecast, step, log_return, now)))
        elif will_never_come(prices, forecast.origin, step.session):
            void.append((forecast_id, step.step))
    scored = database.forecasts.score(outcomes) if outcomes else 0
    if void:
        database.forecasts.void(void)
    return ScoreCounts(scored, corrected, reopened)


def _settle_again(
    database: Database, calendar: SessionTable, prices: Prices, since: date | None
) -> tuple[int, int]:
    """Open and correct settled steps of sessions from ``since`` on; return how many of each."""
    ledger, after = database.forecasts, as_date(prices.sessions[-1]) + timedelta(days=1)
    tick = tick_of(prices.closes)
    reopen, correct = [], []
    for settled in ledger.settled(prices.symbol, after if since is None else min(since, after)):
        log_return = realised_log_return(prices, settled.origin, settled.session)
        if settled.basis != prices.basis:
            continue
        if log_return is None:
            if settled.log_return is not None:
                reopen.append((settled.forecast_id, settled.step))
        elif settled.log_return is None:
            if not _closed_before(calendar, settled.session, settled.issued_at):
                correct.append((settled, log_return))
        elif not _is_rounding(prices, settled, settled.log_return, log_return, tick):
            correct.append((settled, log_return))
    outcomes = []
    for settled, log_return in correct:
        forecast, _ = ledger.get(settled.forecast_id)
        [step] = [step for step in forecast.steps if step.step == settled.step]
        outcome = score_step(forecast, step, log_return, database.clock())
        outcomes.append((settled.forecast_id, settled.step, outcome))
    return (
        ledger.reopen(reopen) if reopen else 0,
        ledger.correct(outcomes) if outcomes else 0,
    )


def _closed_before(calendar: SessionTable, session: date, moment: datetime) -> bool:
    return calendar.closes_at(np.datetime64(session, "D")) <= moment


def _is_rounding(
    prices: Prices, settled: SettledStep, before: float, after: float, tick: float
) -> bool:
    days = np.array([settled.origin, settled.session], "datetime64[D]")
    ends = prices.closes[np.searchsorted(prices.sessions, days)]
    restated = float(ends[0]) != settled.origin_close
    return is_rounding(before, after, ends, tick if restated else 0.0)
