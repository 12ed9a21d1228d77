"""Checks of the spacing of rows that all price sources share: frequencies, gaps, missing rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from closecast.core.calendars import Dates, calendar_span, on_sunday, sessions_between
from closecast.core.exchanges import WEEKDAYS
from closecast.core.prices import Prices
from closecast.core.spacing import (
    LONG_GAP,
    WINDOW,
    SparseSpan,
    bars_called,
    last_sparse_span,
    newest_stretch,
    skipped_sessions,
)
from closecast.core.symbols import EVERY_DAY, exchange_of
from closecast.errors import PriceProblem

_LEAST_BARS = 10
_DAYS_OF_A_HALF_WEEK = 3  # bars of so few sessions are told from rare trading by equal lengths only
_REGULAR = 0.8  # of the bars last about equally long
_OFF_CALENDAR = 0.1
_A_DAY = 0.5  # of the days have several rows: bars of less than a day
_LEAST_DAYS = 5


def other_bars(symbol: str, dates: Dates, closes: NDArray[np.float64]) -> PriceProblem | None:
    """Name rows that are not one close per session, so that a step would mean something else.

    Bars of less than a day, of several days, without some weekdays, and many sessions without a
    row: in the newest rows, or so shortly before them that no window of daily closes follows.

    Parameters
    ----------
    dates : array of datetime64[D], shape (n,)
        In any order; ``NaT`` where a row has none.
    closes : array, shape (n,)
        NaN where a row has none.
    """
    there = ~np.isnat(dates) & ~np.isnan(closes)
    days, rows = np.unique(dates[there], return_counts=True)
    several = rows > 1
    if len(days) >= _LEAST_DAYS and several.mean() > _A_DAY:
        usual = int(np.median(rows))
        message = (
            f"{_intraday(exchange_of(symbol), usual)}: {several.sum():,} of {len(days):,} days "
            f"have several rows, most of them {usual}"
        )
        return PriceProblem("intraday_bars", message, str(days[0]))
    if repeated := _repeated_bars(symbol, dates, closes):
        return repeated
    if exchange_of(symbol) == WEEKDAYS:  # bars of Sunday evenings stand for no session
        days = days[~on_sunday(days)]
    span = last_sparse_span(exchange_of(symbol), days)
    if span is None or len(days) - span.last >= WINDOW:
        return None
    if span.rule != "other_frequency" and _off_calendar(exchange_of(symbol), days) > _OFF_CALENDAR:
        return None  # the calendar is another one, or the dates are those of another time zone
    daily = len(days) - span.last
    dense = span.rule == "other_frequency" and daily > 1
    tail = f"; {daily} closes since then, a window has {WINDOW}" if dense else ""
    return PriceProblem(span.rule, _sentence(symbol, days, span) + tail, str(days[span.first]))


def _repeated_bars(symbol: str, dates: Dates, closes: NDArray[np.float64]) -> PriceProblem | None:
    """Name bars of another frequency that were put on a daily grid, each repeated until the next.

    Closes of a share that is traded rarely stand still as well, but for irregular times.
    """
    rows = np.flatnonzero(~np.isnat(dates) & np.isfinite(closes))
    rows = rows[np.argsort(dates[rows], kind="stable")]
    days, values = dates[rows], closes[rows]
    changes = np.flatnonzero(np.diff(values)) + 1
    if len(changes) <= _LEAST_BARS:
        return None
    rows_apart = np.diff(changes)
    usual = float(np.median(rows_apart))
    regular = np.abs(rows_apart - usual) <= (0.25 * usual if usual > _DAYS_OF_A_HALF_WEEK else 0)
    if usual == 1 or regular.mean() < _REGULAR:
        return None
    name = bars_called(days[changes], int(usual) - 1)
    message = (
        f"{name} that are repeated on the days between: {len(days) - len(changes):,} of "
        f"{len(days):,} closes are those of the row before"
    )
    return PriceProblem("other_frequency", message, str(days[0]))


def _off_calendar(exchange: str, days: Dates) -> float:
    """Share of the days that are no sessions of the exchange."""
    first, last = calendar_span(exchange)
    inside = days[(days >= first) & (days <= last)]
    if not len(inside):
        return 0.0
    return float(1 - np.isin(inside, sessions_between(exchange, inside[0], inside[-1])).mean())


def spacing_notes(prices: Prices) -> list[PriceProblem]:
    """Note sessions without a row, and what of the closes is not learned from for them."""
    exchange = exchange_of(prices.symbol)
    first, last = calendar_span(exchange)
    low, high = max(prices.sessions[0], first), min(prices.sessions[-1], last)
    due = sessions_between(exchange, low, high) if low < high else prices.sessions[:0]
    missing = np.setdiff1d(due, prices.sessions)
    if not len(missing):
        return []
    notes = [
        PriceProblem(
            "missing_sessions",
            f"{len(missing):,} {_unit(exchange)} have no row "
            f"(first {missing[0]}, last {missing[-1]})",
            str(missing[0]),
        )
    ]
    stretch, before = newest_stretch(prices)
    if before is not None:
        gaps = int((skipped_sessions(exchange, prices.sessions) >= LONG_GAP).sum())
        more = f" ({gaps} gaps of {LONG_GAP} sessions or more)" if gaps > 1 else ""
        message = (
            f"{before.message}{more}: models learn from the {len(stretch):,} closes since "
            f"{before.date}"
        )
        notes.append(PriceProblem(f"{before.rule}_before", message, before.date))
    return notes


def _sentence(symbol: str, days: Dates, span: SparseSpan) -> str:
    return (
        f"{span.name}: {span.missing:,} of {span.sessions:,} {_unit(exchange_of(symbol))} up to "
        f"{days[span.last]} have no row"
    )


def _intraday(exchange: str, rows: int) -> str:
    hours = 24 / rows if exchange == EVERY_DAY else 7 / rows
    if 0.9 <= hours <= 1.2:
        return "hourly bars"
    return "intraday bars, or closes of several symbols"


def _unit(exchange: str) -> str:
    return "days" if exchange == EVERY_DAY else f"sessions of {exchange}"
