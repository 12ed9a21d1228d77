"""Spacing of closes: sessions without a row, long gaps, bars of another frequency. Pure.

A model counts steps in sessions. Closes whose steps mean something else are cut off here, so
that no window of what is left spans a long gap or mixes frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closecast.core.calendars import calendar_span, sessions_between
from closecast.core.prices import Prices
from closecast.core.symbols import exchange_of
from closecast.errors import InvalidSymbol, PriceProblem

LONG_GAP = 10
"""Sessions in a row without a row that split a series. The move over ten of them counts as one
day's: on a random walk the volatility of the window that ends there is 1.24 times too large (1.13
after five, 1.42 after twenty), and one of its steps means two weeks."""

WINDOW = 60
"""Closes after the last irregular stretch that a source needs: the default window of a model."""

_OTHER_FREQUENCY = 0.25  # of the sessions of 60 steps in a row have no row: other bars
_SPARSE = 0.1  # of all sessions have no row: a step means 1.1 sessions, intervals are 5 % too wide
_LEAST_STEPS = 10  # fewer say nothing about a frequency
_NAMES = (
    (6.5, 7.8, "weekly"),
    (13, 15, "fortnightly"),
    (27, 33, "monthly"),
    (55, 65, "two-monthly"),
    (80, 100, "quarterly"),
    (170, 195, "half-yearly"),
    (350, 380, "yearly"),
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LEAST_OF_WEEKDAY = 6
_MISSING_OF_WEEKDAY = 0.9

Dates = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class SparseSpan:
    """A span of rows in which too many sessions have none.

    Attributes
    ----------
    first, last : int
        Rows; the steps between them are not of one session.
    rule, name : str
        ``other_frequency``, ``missing_weekdays`` or ``sparse_sessions``, and its name in words.
    missing, sessions : int
        Sessions without a row between the two, of how many.
    """

    first: int
    last: int
    rule: str
    name: str
    missing: int
    sessions: int


def skipped_sessions(exchange: str, days: Dates) -> NDArray[np.int64]:
    """Sessions of an exchange strictly between neighbouring days, shape (n - 1,).

    Parameters
    ----------
    days : array of datetime64[D], shape (n,)
        Increasing. Before the calendar begins, weekdays count as sessions.
    """
    if len(days) < 2:
        return np.empty(0, dtype=np.int64)
    first, last = calendar_span(exchange)
    known = sessions_between(exchange, days[0], days[-1])
    inside = np.searchsorted(known, days[1:], "left") - np.searchsorted(known, days[:-1], "right")
    early = np.minimum(days, first)
    late = np.maximum(days, last)
    outside = sum(np.busday_count(d[:-1], d[1:]) - (d[:-1] < d[1:]) for d in (early, late))
    return np.asarray(np.maximum(inside, 0) + np.maximum(outside, 0), dtype=np.int64)


def long_gaps(prices: Prices) -> NDArray[np.bool_]:
    """Steps between closes that are over a long gap, shape (n - 1,).

    None where the symbol's market, and so its calendar, is not known.
    """
    try:
        exchange = exchange_of(prices.symbol)
    except InvalidSymbol:
        return np.zeros(max(len(prices) - 1, 0), dtype=bool)
    return np.asarray(skipped_sessions(exchange, prices.sessions) >= LONG_GAP)


def last_sparse_span(exchange: str, days: Dates) -> SparseSpan | None:
    """The newest span in which steps are not of one session, ``None`` where there is none.

    Either a fourth of the sessions of 60 steps in a row have no row (bars of another frequency),
    or a tenth of all sessions after such bars. A long gap counts as one irregular step.
    """
    skipped = skipped_sessions(exchange, days)
    if len(skipped) < _LEAST_STEPS:
        return None
    counted = np.minimum(skipped, LONG_GAP - 1)
    span = _last_of_another_frequency(counted)
    begins = span[1] if span else 0
    if len(counted) - begins >= _LEAST_STEPS and _too_sparse(counted[begins:]):
        span = 0 if _too_sparse(counted) else begins, len(counted)
    return None if span is None else _described(exchange, days, skipped, *span)


def _too_sparse(counted: NDArray[np.int64]) -> bool:
    return bool(counted.sum() > _SPARSE * (counted.sum() + len(counted)))


def _last_of_another_frequency(counted: NDArray[np.int64]) -> tuple[int, int] | None:
    """First and last row of the newest span of windows with too many sessions without a row."""
    steps = min(WINDOW, len(counted))
    sums = np.concatenate([[0], np.cumsum(counted)])
    missing = sums[steps:] - sums[:-steps]
    sparse = np.zeros(len(counted), dtype=bool)
    for start in np.flatnonzero(missing > _OTHER_FREQUENCY * (missing + steps)):
        sparse[start : start + steps] = True
    irregular = np.flatnonzero(sparse & (counted > 0))  # the edges are irregular steps themselves
    if not len(irregular):
        return None
    breaks = np.flatnonzero(np.diff(irregular) > WINDOW)
    first = int(irregular[breaks[-1] + 1]) if len(breaks) else int(irregular[0])
    return first, int(irregular[-1]) + 1


def _described(
    exchange: str, days: Dates, skipped: NDArray[np.int64], first: int, last: int
) -> SparseSpan:
    inside = days[first : last + 1]
    due = sessions_between(exchange, inside[0], inside[-1])
    missing = np.setdiff1d(due, inside)
    without = int(skipped[first:last].sum())
    on_calendar = np.isin(inside, due) | (inside < calendar_span(exchange)[0])
    counts = without, without + int(on_calendar.sum())
    usual = int(np.median(skipped[first:last]))
    if usual:
        name = bars_called(inside, usual)
        return SparseSpan(first, last, "other_frequency", name, *counts)
    weekday_due, weekday_missing = (
        np.bincount((d.astype(np.int64) + 3) % 7, minlength=7) for d in (due, missing)
    )
    gone = (weekday_due >= _LEAST_OF_WEEKDAY) & (
        weekday_missing >= _MISSING_OF_WEEKDAY * weekday_due
    )
    if gone.any():
        absent = [f"{name}s" for name, is_gone in zip(_WEEKDAYS, gone, strict=True) if is_gone]
        name = "business days only" if absent == ["Saturdays", "Sundays"] else "some weekdays only"
        name = f"{name}, no {' and '.join(absent)}"
        return SparseSpan(first, last, "missing_weekdays", name, *counts)
    return SparseSpan(first, last, "sparse_sessions", "many sessions without a close", *counts)


def bars_called(days: Dates, skipped: int) -> str:
    """Name bars by the days between them, or by the sessions that each step skips.

    >>> bars_called(np.arange("2021-01-31", "2022-01-31", 30, dtype="datetime64[D]"), 20)
    'monthly bars'
    """
    days_apart = np.diff(days).astype(np.int64)
    apart = float(np.minimum(days_apart, 2 * np.median(days_apart)).mean())
    name = next((f"{name} bars" for low, high, name in _NAMES if low <= apart <= high), "")
    return name or f"one close every {skipped + 1} sessions"


def newest_stretch(prices: Prices) -> tuple[Prices, PriceProblem | None]:
    """The newest closes whose steps are of one session each, and what is before them.

    Returns
    -------
    stretch, before
        The rows after the last gap of :data:`LONG_GAP` sessions and after the last span of another
        frequency; the reason that earlier rows are left out, ``None`` where none are. Its date is
        the stretch's first session.
    """
    exchange = exchange_of(prices.symbol)
    span = last_sparse_span(exchange, prices.sessions)
    skipped = skipped_sessions(exchange, prices.sessions)
    gaps = np.flatnonzero(skipped >= LONG_GAP) + 1
    begins = max(0 if span is None else span.last, int(gaps[-1]) if len(gaps) else 0)
    if not begins:
        return prices, None
    stretch = prices.rows(begins, None)
    if span is not None and begins == span.last:
        why = f"{span.name} until then, {span.missing:,} of {span.sessions:,} sessions have no row"
        return stretch, PriceProblem(span.rule, why, str(stretch.sessions[0]))
    why = (
        f"no close in the {skipped[begins - 1]:,} sessions of {exchange} after "
        f"{prices.sessions[begins - 1]}"
    )
    return stretch, PriceProblem("long_gap", why, str(stretch.sessions[0]))


def windows_over_gaps(prices: Prices, length: int) -> NDArray[np.bool_]:
    """Rows at which a window of ``length`` closes would end that spans a long gap, shape (n,)."""
    over = np.zeros(len(prices), dtype=bool)
    for row in np.flatnonzero(long_gaps(prices)):
        over[row + 1 : row + length] = True
    return over
