"""Trading sessions: which days an exchange closes on, and which close is already final.

Built on ``exchange_calendars`` (which loads pandas: the API process does not import
this module). Dates are ``numpy.datetime64[D]`` in the exchange's own time zone.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closecast.symbols import EVERY_DAY

Dates = NDArray[np.datetime64]

# Closing auctions and late prints: B3's closing call ends at 17:55, data arrive later.
_SETTLING = timedelta(minutes=20)
_FIRST_DAY = "1990-01-02"  # the default start of the library is 20 years ago
_LATER_FIRST_DAYS = {"XTKS": "1997-01-01"}  # the library knows Tokyo's holidays from then on


@lru_cache(maxsize=16)
def _calendar(exchange: str) -> Any:
    import exchange_calendars

    start = _LATER_FIRST_DAYS.get(exchange, _FIRST_DAY)
    return exchange_calendars.get_calendar(exchange, start=start)


def sessions_between(
    exchange: str, start: date | np.datetime64[Any], end: date | np.datetime64[Any]
) -> Dates:
    """Sessions of an exchange from ``start`` to ``end``, both included.

    >>> sessions_between("XNYS", date(2022, 12, 23), date(2022, 12, 28)).astype(str).tolist()
    ['2022-12-23', '2022-12-27', '2022-12-28']
    """
    first, last = np.datetime64(str(start), "D"), np.datetime64(str(end), "D")
    if exchange == EVERY_DAY:
        return np.arange(first, last + 1)
    every = _calendar(exchange).sessions.to_numpy().astype("datetime64[D]")
    return np.asarray(every[(every >= first) & (every <= last)])


def calendar_span(exchange: str) -> tuple[np.datetime64, np.datetime64]:
    """First and last day that the exchange's calendar knows."""
    if exchange == EVERY_DAY:
        return np.datetime64("1970-01-01"), np.datetime64("2200-01-01")
    every = _calendar(exchange).sessions.to_numpy().astype("datetime64[D]")
    return every[0], every[-1]


def is_complete(exchange: str, session: np.datetime64, now: datetime) -> bool:
    """Whether the close of ``session`` is final at ``now`` (aware), settling time included.

    A session that the calendar does not know is complete once its day is over.
    """
    day: date = session.astype("datetime64[D]").item()
    closing = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
    if exchange != EVERY_DAY:
        calendar = _calendar(exchange)
        first, last = calendar_span(exchange)
        if first <= session <= last and calendar.is_session(day):
            closing = calendar.session_close(day).to_pydatetime()
    return now >= closing + _SETTLING


def last_completed_session(exchange: str, now: datetime) -> np.datetime64:
    """The newest session whose close is final at ``now`` (aware)."""
    today = np.datetime64(now.astimezone(UTC).date(), "D")
    recent = sessions_between(exchange, today - 30, today + 1)
    return max(s for s in recent if is_complete(exchange, s, now))
