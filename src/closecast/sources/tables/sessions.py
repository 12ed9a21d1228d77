"""Moments as days of an exchange: a bar that opened on Sunday in UTC is Tokyo's Monday."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closecast.core.calendars import calendar_span, sessions_between, time_zone
from closecast.core.exchanges import EVERY_DAY, WEEKDAYS

Days = NDArray[np.datetime64]
Remarks = tuple[str, ...]

_MORNING, _EVENING = 6, 20  # o'clock at the exchange
# A day of currencies begins at 17:00 in New York, 21:00 or 22:00 in UTC; midnight in London is
# 23:00 in UTC for half of the year.
_BEFORE_MIDNIGHT = np.timedelta64(3, "h")
_FILLERS = 0.1  # share of rows on holidays that a source may fill in


@dataclass(frozen=True, slots=True)
class Moments:
    """Dates with times as they are written.

    Attributes
    ----------
    local : array of datetime64[s], shape (n,)
        As written; midnight where no time is written.
    offset : array of float64, shape (n,)
        Minutes that the written time is ahead of UTC; NaN where it is not written.
    """

    local: NDArray[np.datetime64]
    offset: NDArray[np.float64]


def in_exchange_days(moments: Moments, exchange: str | None) -> tuple[Days, Remarks]:
    """Dates in the exchange's time zone, and a remark where they differ from those written.

    A date is taken as it is written, unless its time is known in UTC and the exchange's own date
    is another one that is more often a session: midnight in UTC usually stands for the date alone.

    Parameters
    ----------
    exchange : str, optional
        Calendar code; without it dates stay as they are written.
    """
    as_written = moments.local.astype("datetime64[D]")
    zoned = ~np.isnan(moments.offset)
    clock = (moments.local - as_written).astype("int64")
    if exchange is None or not (zoned.any() or clock.any()):
        return as_written, ()
    ahead = np.where(zoned, moments.offset, 0.0) * 60
    utc = moments.local - ahead.astype("int64").astype("timedelta64[s]")
    known = ~np.isnat(utc)
    if exchange == EVERY_DAY:  # coins' days are those of UTC
        days = np.where(zoned, utc.astype("datetime64[D]"), as_written)
        return days, (() if (days == as_written)[known].all() else ("in days of UTC",))
    if exchange == WEEKDAYS:
        return _in_days_of_currencies(as_written, utc)
    zone = time_zone(exchange)
    there = pd.DatetimeIndex(utc).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    days = there.to_numpy().astype("datetime64[D]")
    if (days == as_written)[known].all() or not (zoned[known].all() or not zoned.any()):
        return as_written, ()
    off_written, off_there = off_sessions(as_written, exchange), off_sessions(days, exchange)
    in_utc = bool((moments.offset[known] == 0).all())
    timed = bool(clock[known].any())  # midnight alone stands for a date
    if zoned.any():
        bell = _is_of_a_bar((there.to_numpy() - days)[known].astype("timedelta64[s]"))
        better = off_there < off_written or (
            off_there == off_written and timed and (in_utc or bell)
        )
    else:  # times without a zone are the exchange's own, unless they cannot be
        better = off_there == 0 and off_written > max(2, _FILLERS * known.sum())
    if not better:
        return as_written, ()
    return days, (f"times in UTC as days of {zone}",)


def _in_days_of_currencies(as_written: Days, utc: NDArray[np.datetime64]) -> tuple[Days, Remarks]:
    """Days that begin in the evening before, where the dates as written fall on Sundays."""
    days = (utc + _BEFORE_MIDNIGHT).astype("datetime64[D]")
    fits = off_sessions(days, WEEKDAYS) < off_sessions(as_written, WEEKDAYS)
    if fits and len(np.unique(days)) == len(np.unique(as_written)):
        return days, ("days from 21:00 UTC on",)
    return as_written, ()


def _is_of_a_bar(clock: NDArray[np.timedelta64]) -> bool:
    """True for times at which daily bars are stamped: midnight, or from morning to evening."""
    hours = clock.astype("int64") / 3600
    return bool((((hours >= _MORNING) & (hours <= _EVENING)) | (hours == 0)).all())


def off_sessions(days: Days, exchange: str | None) -> int:
    """Number of dates that are no sessions; 0 where the exchange is not known."""
    if exchange is None or not len(inside := _inside(days, exchange)):
        return 0
    return int((~np.isin(inside, sessions_between(exchange, inside.min(), inside.max()))).sum())


def session_share(days: Days, exchange: str | None) -> float:
    """Share of the sessions between the first and the last date that are there."""
    if exchange is None or not len(inside := _inside(days, exchange)):
        return 0.0
    sessions = sessions_between(exchange, inside.min(), inside.max())
    return float(np.isin(sessions, inside).mean()) if len(sessions) else 0.0


def _inside(days: Days, exchange: str) -> Days:
    first, last = calendar_span(exchange)
    return np.asarray(days[~np.isnat(days) & (days >= first) & (days <= last)])
