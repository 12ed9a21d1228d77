"""The port every price source implements, and the checks that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from closecast.core.market_names import record_market
from closecast.core.prices import Basis, Prices
from closecast.core.symbols import canonical
from closecast.errors import InvalidPrices, NoPrices, PriceProblem, TooFewCloses
from closecast.settings import Settings
from closecast.sources.calendar_fit import require_calendar
from closecast.sources.checks import leave_out, remarkable_moves, wrong_units
from closecast.sources.spacing import other_bars, spacing_notes


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
    market : str, optional
        The exchange that the source names for the symbol, as it is written there.
    """

    dates: NDArray[np.datetime64]
    closes: NDArray[np.float64]
    basis: Basis
    notes: tuple[PriceProblem, ...] = ()
    market: str | None = None


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
        if rows.market is not None:
            record_market(symbol, rows.market)
        if not len(rows.closes):
            raise NoPrices(f"{self.name} has no close of {symbol} between {start} and {end}")
        if problem := other_bars(symbol, rows.dates, rows.closes):
            raise InvalidPrices(
                f"{symbol} from {self.name}",
                [problem],
                "A step is one session: export one close per session, or choose a span that has "
                "them (start, end).",
            )
        require_calendar(symbol, rows.dates, rows.closes)
        kept, left_out = leave_out(symbol, rows.dates, rows.closes, now or datetime.now(UTC))
        if not kept.any():
            raise NoPrices(f"{self.name}: no usable close of {symbol}; {left_out[0]}")
        notes = [*rows.notes, *left_out]
        dates, closes = rows.dates[kept], rows.closes[kept]
        prices = Prices(symbol, dates, closes, self.name, rows.basis, tuple(notes))
        if wrong := wrong_units(prices):
            raise InvalidPrices(
                f"{symbol} from {self.name}",
                wrong,
                "Correct these rows in a file, or choose a span without them (start, end).",
            )
        return replace(prices, notes=(*notes, *remarkable_moves(prices), *spacing_notes(prices)))
