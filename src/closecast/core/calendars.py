"""Trading sessions: which days an exchange closes on, and which close is already final.

Built on ``exchange_calendars`` (which loads pandas, and only when a calendar is needed).
What serves reads a :class:`SessionTable` that the worker wrote. Dates are
``numpy.datetime64[D]`` in the exchange's own time zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import read_only
from closecast.core.symbols import EVERY_DAY
from closecast.errors import CalendarTooShort

Dates = NDArray[np.datetime64]

# Closing auctions and late prints: B3's closing call ends at 17:55, data arrive later.
_SETTLING = timedelta(minutes=20)
_FIRST_DAY = "1990-01-02"  # the default start of the library is 20 years ago
# The library knows the holidays of these from then on.
_LATER_FIRST_DAYS = {
    "AIXK": "2017-01-01",
    "XBOM": "1997-01-01",
    "XSAU": "2021-01-01",
    "XSHG": "1990-12-03",
    "XTKS": "1997-01-01",
}
_AHEAD = timedelta(days=730)  # the default end of the library is in one year
_EVERY_DAY_SPAN = (np.datetime64("1970-01-01"), np.datetime64("2200-01-01"))


@dataclass(frozen=True, eq=False)
class SessionTable:
    """The sessions of one exchange, oldest first, without a gap.

    Attributes
    ----------
    exchange : str
        Calendar code.
    sessions : array of datetime64[D], shape (n,)
        Strictly increasing.
    final_at : array of datetime64[s], shape (n,)
        When each close is final (UTC): the closing bell plus the settling time.
    """

    exchange: str
    sessions: Dates
    final_at: NDArray[np.datetime64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sessions", read_only(self.sessions, "datetime64[D]"))
        object.__setattr__(self, "final_at", read_only(self.final_at, "datetime64[s]"))
        if self.sessions.ndim != 1 or self.sessions.shape != self.final_at.shape:
            raise ValueError(f"{self.sessions.shape} sessions, {self.final_at.shape} closing times")
        for name, times in (("sessions", self.sessions), ("final_at", self.final_at)):
            if np.isnat(times).any() or not (np.diff(times).astype("int64") > 0).all():
                raise ValueError(f"{name} do not increase")

    def after(self, session: np.datetime64, count: int) -> Dates:
        """The ``count`` sessions that follow ``session``, which need not be one itself.

        Raises
        ------
        CalendarTooShort
        """
        first = self._row_after(session)
        if first + count > len(self.sessions):
            raise self._too_short(f"the {count} sessions after {session}")
        return np.asarray(self.sessions[first : first + count])

    def last_completed(self, now: datetime) -> np.datetime64:
        """The newest session whose close is final at ``now`` (aware).

        Raises
        ------
        CalendarTooShort
        """
        row = int(np.searchsorted(self.final_at, _utc(now), side="right"))
        if not 0 < row < len(self.final_at):
            raise self._too_short(f"the session last completed at {now:%Y-%m-%d %H:%M}")
        return np.datetime64(self.sessions[row - 1])

    def next_to_close(self, now: datetime) -> np.datetime64:
        """The session that is open at ``now`` (aware), or else the next to open.

        It is over with the closing bell, before its close counts as final.

        Raises
        ------
        CalendarTooShort
        """
        row = int(np.searchsorted(self.final_at, _utc(now + _SETTLING), side="right"))
        if row == len(self.final_at) or _utc(now) < self.final_at[0]:
            raise self._too_short(f"the session that closes next after {now:%Y-%m-%d %H:%M}")
        return np.datetime64(self.sessions[row])

    def closes_at(self, session: np.datetime64) -> datetime:
        """Time of the closing bell of one of the sessions (UTC, aware).

        Raises
        ------
        CalendarTooShort
            If it is none of them.
        """
        row = int(np.searchsorted(self.sessions, session))
        if row == len(self.sessions) or self.sessions[row] != session:
            raise self._too_short(f"the session of {session}")
        final: datetime = self.final_at[row].item()
        return final.replace(tzinfo=UTC) - _SETTLING

    def steps_between(self, a: np.datetime64, b: np.datetime64) -> int:
        """Number of sessions after ``a`` up to and with ``b``; negative if ``b`` is earlier.

        Raises
        ------
        CalendarTooShort
        """
        for day in (a, b):
            if not len(self.sessions) or not self.sessions[0] <= day <= self.sessions[-1]:
                raise self._too_short(f"{day}")
        return self._row_after(b) - self._row_after(a)

    def _row_after(self, session: np.datetime64) -> int:
        if not len(self.sessions) or session < self.sessions[0]:
            raise self._too_short(f"what follows {session}")
        return int(np.searchsorted(self.sessions, session, side="right"))

    def _too_short(self, wanted: str) -> CalendarTooShort:
        span = f"{self.sessions[0]} to {self.sessions[-1]}" if len(self.sessions) else "no session"
        return CalendarTooShort(
            f"the calendar of {self.exchange} holds {span}, not {wanted}; collecting closes of a "
            "symbol of this exchange (`python -m scripts.01_collect_data`) renews it"
        )


def _calendar(exchange: str) -> Any:
    import exchange_calendars

    first = _LATER_FIRST_DAYS.get(exchange, _FIRST_DAY)
    try:
        return exchange_calendars.get_calendar(
            exchange, start=first, end=datetime.now(UTC).date() + _AHEAD
        )
    except ValueError:  # holidays that a government announces are known for less far ahead
        return exchange_calendars.get_calendar(exchange, start=first)


@lru_cache(maxsize=64)
def time_zone(exchange: str) -> str:
    """Name of an exchange's time zone; coins' days are those of UTC.

    >>> time_zone("XTKS"), time_zone("24/7")
    ('Asia/Tokyo', 'UTC')
    """
    return "UTC" if exchange == EVERY_DAY else str(_calendar(exchange).tz)


@lru_cache(maxsize=16)
def _whole_table(exchange: str) -> SessionTable:
    if exchange == EVERY_DAY:
        sessions = np.arange(*_EVERY_DAY_SPAN)
        bells = (sessions + 1).astype("datetime64[s]")
    else:
        calendar = _calendar(exchange)
        sessions = calendar.sessions.to_numpy().astype("datetime64[D]")
        bells = calendar.closes_nanos.astype("datetime64[ns]").astype("datetime64[s]")
    return SessionTable(
        exchange, sessions, bells + np.timedelta64(_SETTLING).astype("timedelta64[s]")
    )


def session_table(
    exchange: str,
    first: date | np.datetime64[Any] | None = None,
    last: date | np.datetime64[Any] | None = None,
) -> SessionTable:
    """The sessions of an exchange from ``first`` to ``last``, both included.

    All that is known without them: from 1990 to two years ahead (days without end for coins).
    """
    whole = _whole_table(exchange)
    if first is None and last is None:
        return whole
    low = whole.sessions[0] if first is None else np.datetime64(str(first), "D")
    high = whole.sessions[-1] if last is None else np.datetime64(str(last), "D")
    inside = slice(
        int(np.searchsorted(whole.sessions, low)),
        int(np.searchsorted(whole.sessions, high, side="right")),
    )
    return SessionTable(exchange, whole.sessions[inside], whole.final_at[inside])


def as_date(session: np.datetime64) -> date:
    """A session as a plain date."""
    day: date = session.astype("datetime64[D]").item()
    return day


def sessions_between(
    exchange: str, start: date | np.datetime64[Any], end: date | np.datetime64[Any]
) -> Dates:
    """Sessions of an exchange from ``start`` to ``end``, both included.

    >>> sessions_between("XNYS", date(2022, 12, 23), date(2022, 12, 28)).astype(str).tolist()
    ['2022-12-23', '2022-12-27', '2022-12-28']
    """
    return session_table(exchange, start, end).sessions


def calendar_span(exchange: str) -> tuple[np.datetime64, np.datetime64]:
    """First and last day that the exchange's calendar knows."""
    every = _whole_table(exchange).sessions
    return every[0], every[-1]


def is_complete(exchange: str, session: np.datetime64, now: datetime) -> bool:
    """Answer True if the close of ``session`` is final at ``now`` (aware), settling time included.

    A session that the calendar does not know is complete once its day is over.
    """
    known = session_table(exchange, session, session).final_at
    if len(known):
        return bool(_utc(now) >= known[0])
    day = session.astype("datetime64[D]")
    return bool(_utc(now) >= (day + 1).astype("datetime64[us]") + np.timedelta64(_SETTLING))


def on_sunday(days: Dates) -> NDArray[np.bool_]:
    """Days that are Sundays, shape (n,); False for ``NaT``."""
    since_monday = (days.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970: a Thursday
    return np.asarray((since_monday == 6) & ~np.isnat(days))


def _utc(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")
