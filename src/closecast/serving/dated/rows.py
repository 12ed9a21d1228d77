"""Rows of a dated forecast, made from the state of a calibration, and its drift verdict."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from closecast.calibration import AdaptiveState
from closecast.core.calendars import SessionTable, as_date
from closecast.core.forecast import Forecast, growth
from closecast.core.prices import Prices
from closecast.core.verdict import Verdict
from closecast.database import Job
from closecast.drift import Context
from closecast.errors import InvalidLevels
from closecast.serving import Snapshot
from closecast.serving.dated.accepted import with_accepted
from closecast.serving.dated.answers import DatedRow, Interval, UpdateAttempt

LOWEST_LEVEL, HIGHEST_LEVEL, MOST_LEVELS = 0.5, 0.99, 10
PATH_LEVEL = 0.9


@dataclass(frozen=True, slots=True)
class ForecastOrigin:
    """Start of a forecast: a model, its calibration, the calendar, and the age in sessions.

    ``update`` is the job that was to bring newer closes, if there is one.
    """

    snapshot: Snapshot
    state: AdaptiveState
    table: SessionTable
    prices: Prices | None
    age: int
    now: datetime
    update: Job | None = None


def checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Sort interval levels and remove duplicates.

    Raises
    ------
    InvalidLevels
        If one is outside 0.5 to 0.99, or there are more than 10, or none.
    """
    chosen = tuple(sorted(set(levels)))
    wrong = [f"{level:g}" for level in chosen if not LOWEST_LEVEL <= level <= HIGHEST_LEVEL]
    if wrong or not 1 <= len(chosen) <= MOST_LEVELS:
        problem = f"got {', '.join(wrong[:3])}" if wrong else f"got {len(chosen)}"
        raise InvalidLevels(
            f"{problem}; expected 1 to {MOST_LEVELS} levels from {LOWEST_LEVEL:g} to "
            f"{HIGHEST_LEVEL:g}, such as 0.8,0.95"
        )
    return chosen


def rows_of(
    start: ForecastOrigin, sessions: np.ndarray, forecast: Forecast, levels: Sequence[float]
) -> tuple[DatedRow, ...]:
    """Make one row per session, with intervals at the given levels and the path band."""
    state = start.state
    ends = [((1 - level) / 2, (1 + level) / 2) for level in levels]
    at_levels = state.forecast(np.unique(ends))
    intervals = [(level, *(end.tolist() for end in at_levels.interval(level))) for level in levels]
    band = [(state.last_close * growth(end)).tolist() for end in state.path_band(PATH_LEVEL)]
    prices, rows = forecast.price.tolist(), []
    for i, session in enumerate(sessions):
        closes_at = start.table.closes_at(session)
        rows.append(
            DatedRow(
                step=i + 1,
                session=as_date(session),
                closes_at=closes_at,
                elapsed=closes_at <= start.now,
                price=prices[i],
                naive_price=state.last_close,
                intervals=tuple(
                    Interval(level, lower[i], upper[i]) for level, lower, upper in intervals
                ),
                path_band=Interval(PATH_LEVEL, band[0][i], band[1][i]),
            )
        )
    return tuple(rows)


def verdict_of(start: ForecastOrigin, accepted: Collection[date] = ()) -> Verdict | None:
    """Check the window that ends at the origin for drift; ``None`` if closes are missing.

    Moves of sessions that a person ``accepted`` are news.
    """
    if start.prices is None:
        return None
    length = start.snapshot.manifest.info.seq_length
    stop = int(np.searchsorted(start.prices.sessions, start.state.session, side="right"))
    if stop < length:
        return None
    window = start.prices.rows(stop - length, stop)
    known = Context(known=start.prices, calendar=start.table)
    verdict = start.snapshot.detector.check(window.closes, known)
    return with_accepted(verdict, window.sessions, accepted)


def last_update(start: ForecastOrigin) -> UpdateAttempt | None:
    """Describe the job that was to bring newer closes, with the reason why it brought none."""
    job = start.update
    if job is None or not start.age:
        return None
    reason = job.reason
    if job.state == "succeeded":
        failed = (job.result or {}).get("failed", {})
        reason = failed.get(start.snapshot.symbol)
        reason = reason or f"the source had no close after {start.state.session}"
    return UpdateAttempt(job.id, job.state, job.finished_at or job.created_at, reason)


def unfinished_session(prices: Prices | None, origin: date) -> date | None:
    """Find the newest session whose bar was left out because it was not over."""
    if prices is None:
        return None
    left_out = [
        date.fromisoformat(note.date)
        for note in prices.notes
        if note.rule == "unfinished_bar" and note.date is not None
    ]
    return max((day for day in left_out if day > origin), default=None)
