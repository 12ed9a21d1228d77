"""The port every price source implements, and the checks that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from closecast.core.calendars import calendar_span, is_complete, sessions_between
from closecast.core.prices import UNIT_RATIO, Basis, Prices
from closecast.core.symbols import canonical, exchange_of
from closecast.errors import InvalidPrices, NoPrices, PriceProblem, TooFewCloses
from closecast.settings import Settings

_REMARKABLE_MOVE = 0.5  # noted, never refused: real events reach it
_WRONG_CALENDAR_SHARE = 0.1  # more off-calendar rows than this: the calendar is wrong, not the rows


@dataclass(frozen=True, slots=True)
class RawRows:
    """Unchecked bars of a source: one row per bar, in the order of the feed.

    Attributes
    ----------
    dates : array of datetime64[D], shape (n,)
        Dates in the exchange's own time zone; ``NaT`` where a row has none.
    closes : array of float64, shape (n,)
        NaN where a row has none.
    basis : {"raw", "adjusted", "unknown"}
        Price basis.
    notes : tuple of PriceProblem
        Remarks of the source on the whole, such as the layout in which a file was read.
    """

    dates: NDArray[np.datetime64]
    closes: NDArray[np.float64]
    basis: Basis
    notes: tuple[PriceProblem, ...] = ()


class PriceSource(ABC):
    """Fetches closes. Subclasses only read; :meth:`fetch` cleans and validates for all."""

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Settings, argument: str) -> Self:
        """Build the source; ``argument`` is what followed the colon in its name."""

    @abstractmethod
    def read(self, symbol: str, start: date | None, end: date | None) -> RawRows:
        """All bars of a canonical symbol from ``start`` to ``end`` (both included).

        Raises
        ------
        UnknownSymbol, NoPrices, SourceUnavailable
            The source does not know the symbol, has nothing in the span, does not answer.
        """

    def symbols(self) -> tuple[str, ...] | None:
        """Every symbol the source can list, or ``None`` where it cannot."""
        return None

    def fetch(
        self,
        symbol: str,
        start: date | None = None,
        end: date | None = None,
        *,
        now: datetime | None = None,
    ) -> Prices:
        """Closes of completed sessions, oldest first, checked.

        Left out, and named in ``notes``: rows without a close, rows off the exchange's
        calendar, today's unfinished bar. Anything else that is wrong is an error.

        Parameters
        ----------
        symbol : str
            Any spelling of it.
        start, end : date, optional
            Both included; open where ``None``.
        now : datetime, optional
            The moment (aware) that decides which bar is finished; the clock by default.

        Raises
        ------
        InvalidPrices
            With every problem found (date, value, rule).
        """
        symbol = canonical(symbol)
        if start is not None and end is not None and start > end:
            raise TooFewCloses(f"{symbol}: start {start} is after end {end}")
        rows = self.read(symbol, start, end)
        if not len(rows.closes):
            raise NoPrices(f"{self.name} has no close of {symbol} between {start} and {end}")
        kept, left_out = _leave_out(symbol, rows, now or datetime.now(UTC))
        if not kept.any():
            raise NoPrices(f"{self.name}: no usable close of {symbol}; {left_out[0]}")
        notes = [*rows.notes, *left_out]
        dates, closes = rows.dates[kept], rows.closes[kept]
        prices = Prices(symbol, dates, closes, self.name, rows.basis, tuple(notes))
        if wrong := _wrong_units(dates, closes):
            raise InvalidPrices(
                f"{symbol} from {self.name}",
                wrong,
                "Correct these rows in a file, or choose a span without them (start, end).",
            )
        remarks = [*notes, *_remarkable_moves(dates, closes), *_missing_sessions(symbol, dates)]
        return Prices(symbol, prices.sessions, prices.closes, self.name, rows.basis, tuple(remarks))


def _leave_out(
    symbol: str, rows: RawRows, now: datetime
) -> tuple[NDArray[np.bool_], list[PriceProblem]]:
    exchange = exchange_of(symbol)
    kept = np.ones(len(rows.dates), dtype=bool)
    notes: list[PriceProblem] = []

    def drop(i: int, rule: str, message: str) -> None:
        kept[i] = False
        value = float(rows.closes[i])
        shown = value if np.isfinite(value) else None
        notes.append(PriceProblem(rule, f"{message}; left out", str(rows.dates[i]), shown))

    for i in np.flatnonzero(np.isnan(rows.closes) & ~np.isnat(rows.dates)):
        drop(int(i), "missing_close", "no close")
    first, last = calendar_span(exchange)
    dated = ~np.isnat(rows.dates) & (rows.dates >= first) & (rows.dates <= last)
    if dated.any():
        days = rows.dates[dated]
        known = sessions_between(exchange, days.min(), days.max())
        off = dated & ~np.isin(rows.dates, known)
        if off.sum() > max(2, _WRONG_CALENDAR_SHARE * len(off)):
            raise InvalidPrices(
                symbol,
                [
                    PriceProblem("wrong_calendar", f"not a session of {exchange}", str(d))
                    for d in rows.dates[off]
                ],
                f"Too many rows are off the calendar of {exchange}: is the symbol's suffix right?",
            )
        for i in np.flatnonzero(off & kept):
            drop(int(i), "not_a_session", f"not a session of {exchange} (filler row)")
    # Only the last days can be unfinished; looking at every row would cost seconds.
    recent = ~np.isnat(rows.dates) & (rows.dates >= np.datetime64(now.date(), "D") - 3)
    for i in np.flatnonzero(recent & kept):
        if not is_complete(exchange, rows.dates[i], now):
            drop(int(i), "unfinished_bar", "the session is not over")
    return kept, notes


def _wrong_units(dates: NDArray[np.datetime64], closes: NDArray[np.float64]) -> list[PriceProblem]:
    """Closes that are far off *both* neighbours, in the same direction (or off, at the end)."""
    log = np.log(closes)
    jump = np.diff(log)
    limit = np.log(UNIT_RATIO)
    there_and_back = (np.abs(jump[:-1]) > limit) & (np.abs(jump[:-1] + jump[1:]) < limit / 2)
    suspects = [int(i) + 1 for i in np.flatnonzero(there_and_back)]
    if len(jump) and abs(jump[-1]) > limit and not there_and_back[-1:].any():
        suspects.append(len(closes) - 1)
    if len(jump) > 1 and abs(jump[0]) > limit and not there_and_back[0]:
        suspects.insert(0, 0)
    return [
        PriceProblem(
            "unit_error",
            f"close {closes[i]:g} is {np.exp(log[i] - log[i - 1 if i else 1]):.3g} times "
            f"its neighbour {closes[i - 1 if i else 1]:g}",
            str(dates[i]),
            float(closes[i]),
        )
        for i in suspects
    ]


def _remarkable_moves(
    dates: NDArray[np.datetime64], closes: NDArray[np.float64]
) -> list[PriceProblem]:
    change = closes[1:] / closes[:-1] - 1
    return [
        PriceProblem(
            "remarkable_move",
            f"{change[i]:+.0%} in one session: news, or a split that is not adjusted for?",
            str(dates[i + 1]),
            float(closes[i + 1]),
        )
        for i in np.flatnonzero((change > _REMARKABLE_MOVE) | (change < -_REMARKABLE_MOVE / 1.25))
    ]


def _missing_sessions(symbol: str, dates: NDArray[np.datetime64]) -> list[PriceProblem]:
    exchange = exchange_of(symbol)
    first, last = calendar_span(exchange)
    low, high = max(dates[0], first), min(dates[-1], last)
    missing = (
        np.setdiff1d(sessions_between(exchange, low, high), dates) if low < high else dates[:0]
    )
    if not len(missing):
        return []
    return [
        PriceProblem(
            "missing_sessions",
            f"{len(missing)} sessions of {exchange} have no row "
            f"(first {missing[0]}, last {missing[-1]})",
            str(missing[0]),
        )
    ]
