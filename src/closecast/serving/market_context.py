"""Market context: collected closes and calendars, to compare windows with."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np

from closecast.core.calendars import SessionTable
from closecast.core.market_moves import LEAST_OTHERS, MarketMoves, MarketPanel
from closecast.core.prices import Prices
from closecast.core.symbols import exchange_of
from closecast.drift import Context, OtherSymbols
from closecast.errors import ClosecastError, InvalidSymbol
from closecast.infra.files import TICK_NS
from closecast.serving.snapshot import Snapshot
from closecast.sources.calendar_cache import CalendarCache
from closecast.sources.price_cache import PriceCache

log = logging.getLogger(__name__)

_SAME_RETURN = 1e-6
_LOOKED_AT_S = 0.05
# Adjusted history is rewritten after every dividend: a level from further back than this differs
# between two downloads by more than the market moves in a day.
_REWRITTEN_AFTER_DAYS = 180


class MarketContext:
    """Collected closes of all symbols, read again when they change.

    If a file can no longer be read, its last closes are kept; otherwise windows of the symbol would
    be taken for those of another one.
    """

    def __init__(self, cache: PriceCache, calendars: CalendarCache) -> None:
        self.cache = cache
        self._calendars = calendars
        self._looked_at: dict[str, tuple[float, Prices]] = {}
        self._others = OtherSymbols([])
        self._markets: dict[str, MarketPanel] = {}
        self._undated: dict[tuple[str, bool], Context] = {}
        self._pooled: dict[str | None, Context] = {}
        self._stamp: int | None = None
        self._last_error = ""

    @property
    def were_read(self) -> bool:
        """True once :meth:`read` has found closes of any symbol."""
        return bool(self._others.series)

    def read(self) -> None:
        """Read the collected closes of all symbols again, if any changed.

        Windows of another symbol are searched for among them, so that requests read no files. Costs
        one look at the folder if nothing changed.
        """
        stamp = self.cache.stamp()
        if stamp == self._stamp:
            return
        found = [p for symbol in self.cache.symbols() if (p := self._newest(symbol)) is not None]
        if tuple(found) != self._others.series:
            self._others = OtherSymbols(found)
            self._markets = _by_calendar(self._others.series)
            self._undated = {}  # or each would keep all closes as they were
            self._pooled = {}
        self._looked_at = {}
        settled = stamp is None or time.time_ns() - stamp > TICK_NS
        self._stamp = stamp if settled else None

    def of(self, symbol: str) -> Prices | None:
        """Return the closes of a canonical symbol, checking its file at most 20 times a second."""
        now = time.monotonic()
        seen = self._looked_at.get(symbol)
        if seen is not None and now - seen[0] < _LOOKED_AT_S:
            return seen[1]
        prices = self._newest(symbol)
        if prices is not None:  # nothing is kept for symbols without closes: callers may name any
            self._looked_at[symbol] = now, prices
        return prices

    def that_end_with(self, symbol: str, closes: Sequence[float]) -> Prices | None:
        """Return the closes of a canonical symbol, if they end with the given ones.

        Compared by returns, so that another price basis or a restated history does not matter.
        """
        prices = self.of(symbol)
        if prices is None or len(prices) < len(closes) or len(closes) < 2:
            return None
        known = prices.log_closes[-len(closes) :]
        with np.errstate(divide="ignore", invalid="ignore"):
            sent = np.log(np.asarray(closes, dtype=np.float64))
            apart = np.abs((sent[1:] - sent[:-1]) - (known[1:] - known[:-1]))
        return prices if apart.max() <= _SAME_RETURN else None  # NaN is not

    def context(
        self,
        snapshot: Snapshot,
        named: bool = True,
        as_of: date | None = None,
        sessions: Sequence[date] | None = None,
        volume: Sequence[float] | None = None,
    ) -> Context:
        """Build the context of a window for :class:`closecast.drift.DriftDetector`.

        It holds the collected closes of the symbol and of all others, the calendar of the exchange,
        and the dates and volume given by the caller.

        Parameters
        ----------
        named : bool
            Whether the caller named the symbol.
        sessions, volume : sequences of the window's length, optional
            Date of each close, and the volume traded on it.
        """
        context = self._without_dates(snapshot, named)
        if as_of is None and sessions is None and volume is None:
            return context
        day = None if as_of is None else np.datetime64(as_of, "D")
        dates = None if sessions is None else np.array(sessions, dtype="datetime64[D]")
        newest = day if dates is None else dates.max()
        return replace(
            context,
            level_known=context.level_known and not _rewritten(context.known, newest),
            as_of=day,
            sessions=dates,
            volume=None if volume is None else np.asarray(volume, dtype=np.float64),
            calendar=None if newest is None else self._calendar(snapshot.symbol),
        )

    def context_without_model(
        self,
        symbol: str,
        as_of: date | None = None,
        sessions: Sequence[date] | None = None,
        volume: Sequence[float] | None = None,
    ) -> Context:
        """Build the context of a window of a canonical symbol that has no model.

        Its volatility is compared with that of no other symbol, its level with nothing, its dates
        with no calendar. Reads no file: callers may name any symbol.
        """
        known = self._others.of(symbol)
        key = None if known is None else symbol
        context = self._pooled.get(key)
        if context is None:
            context = self._pooled[key] = Context(
                known=known,
                others=self._others,
                symbol_named=False,
                level_known=False,
                by_own_levels=True,
            )
        if as_of is None and sessions is None and volume is None:
            return context
        return replace(
            context,
            as_of=None if as_of is None else np.datetime64(as_of, "D"),
            sessions=None if sessions is None else np.array(sessions, dtype="datetime64[D]"),
            volume=None if volume is None else np.asarray(volume, dtype=np.float64),
        )

    def _without_dates(self, snapshot: Snapshot, named: bool) -> Context:
        """Return one object until its parts change: windows that share it are judged together."""
        kept, others = self._undated, self._others
        symbol, basis = snapshot.symbol, snapshot.detector.baseline.basis
        known = self.of(symbol)
        level_known = known is not None and known.basis == basis != "unknown"
        found = kept.get((symbol, named))
        if (
            found is None
            or found.known is not known
            or found.others is not others
            or found.level_known is not level_known
        ):
            found = kept[symbol, named] = Context(
                known=known,
                others=others,
                symbol_named=named,
                level_known=level_known,
                market=self._market(symbol),
            )
        return found

    def _market(self, symbol: str) -> MarketMoves | None:
        """Moves of the other collected symbols of the symbol's market, if there are enough."""
        calendar = _calendar_of(symbol)
        panel = None if calendar is None else self._markets.get(calendar)
        moves = None if panel is None else panel.without(symbol)
        return moves if moves is not None and len(moves.sessions) else None

    def _newest(self, symbol: str) -> Prices | None:
        try:
            prices = self.cache.get(symbol)
        except ClosecastError as error:
            prices = None
            if str(error) != self._last_error:
                self._last_error = str(error)
                log.warning("price cache unreadable", extra={"symbol": symbol, "reason": error})
        return self._others.of(symbol) if prices is None else prices

    def _calendar(self, symbol: str) -> SessionTable | None:
        try:
            return self._calendars.get(exchange_of(symbol))
        except ClosecastError as error:
            log.warning("calendar unreadable", extra={"symbol": symbol, "reason": str(error)})
            return None


def _by_calendar(series: Sequence[Prices]) -> dict[str, MarketPanel]:
    """Group closes by calendar: what trades on one moves together."""
    groups: dict[str, list[Prices]] = {}
    for prices in series:
        if (calendar := _calendar_of(prices.symbol)) is not None:
            groups.setdefault(calendar, []).append(prices)
    return {
        calendar: MarketPanel(group)
        for calendar, group in groups.items()
        if len(group) > LEAST_OTHERS
    }


def _calendar_of(symbol: str) -> str | None:
    try:
        return exchange_of(symbol)
    except InvalidSymbol:
        return None


def _rewritten(known: Prices | None, day: np.datetime64 | None) -> bool:
    """Return whether adjusted levels of a day may have been rewritten since."""
    if known is None or day is None or known.basis != "adjusted":
        return False
    return int((known.sessions[-1] - day).astype(int)) > _REWRITTEN_AFTER_DAYS
