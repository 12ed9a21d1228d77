"""The models of one process: a snapshot per symbol, each following its pointer."""

from __future__ import annotations

import logging
import operator
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal
from weakref import WeakValueDictionary

import numpy as np

from closecast.bundle import require_symbol
from closecast.calendar_cache import CalendarCache
from closecast.drift import Context, OtherCloses
from closecast.errors import (
    ClosecastError,
    DamagedBundle,
    NoModel,
    StorageFailed,
    UnknownSymbol,
    UnverifiedBundle,
    UnverifiedModel,
)
from closecast.price_cache import PriceCache
from closecast.prices import Prices
from closecast.registry import Registry
from closecast.serving.parts import Parts, Speed
from closecast.serving.snapshot import Snapshot
from closecast.sessions import SessionTable
from closecast.symbols import canonical, exchange_of

log = logging.getLogger(__name__)

_SAME_RETURN = 1e-6
_MOST_FAILURES = 1000
_LOOKED_AT_S = 0.05
_FEW = 64  # symbols whose closes are read in a tenth of a second: at once, not in the background
# Adjusted history is rewritten after every dividend: a level from further back than this differs
# between two downloads by more than the market moves in a day.
_REWRITTEN_AFTER_DAYS = 180


@dataclass(frozen=True, slots=True)
class Reload:
    """What a look at one symbol's pointer led to."""

    symbol: str
    outcome: Literal["unchanged", "swapped", "failed"]
    serving_version: str | None
    published_version: str | None
    reason: str | None = None


class Models:
    """The snapshots that this process serves; each follows its symbol's pointer."""

    def __init__(
        self,
        registry: Registry,
        cache: PriceCache,
        calendars: CalendarCache,
        default_symbol: str,
    ) -> None:
        self.registry = registry
        self.cache = cache
        self.calendars = calendars
        self.default_symbol = canonical(default_symbol)
        self._snapshots: dict[str, Snapshot] = {}
        self._failures: dict[str, Exception] = {}
        self._refused: dict[str, int] = {}
        self._loading = threading.Lock()
        self._speeds: dict[str, Speed] = {}
        self._parts: WeakValueDictionary[str, Parts] = WeakValueDictionary()
        self._closes: dict[str, tuple[float, Prices | None]] = {}
        self._others = OtherCloses([])
        self._contexts: dict[tuple[str, bool], tuple[tuple[object, ...], Context]] = {}
        self._closes_stamp: int | None = None

    def canonical(self, symbol: str | None) -> str:
        """The canonical spelling; of the default symbol where none is named."""
        return canonical(symbol) if symbol is not None else self.default_symbol

    def serving(self, symbol: str) -> Snapshot | None:
        """What is in memory for a canonical symbol; never loads."""
        return self._snapshots.get(symbol)

    def loaded(self) -> list[Snapshot]:
        """Every snapshot in memory."""
        return list(self._snapshots.values())

    def failures(self) -> dict[str, str]:
        """Symbols whose pointer leads to something that could not be loaded, and why."""
        return {symbol: _said(error) for symbol, error in list(self._failures.items())}

    def refused_generation(self, symbol: str) -> int | None:
        """Generation of the pointer that a symbol's failure is about, where it could be read."""
        return self._refused.get(symbol)

    def get(self, symbol: str | None = None) -> Snapshot:
        """The snapshot of a symbol (of the default one), loaded if need be.

        Raises
        ------
        NoModel
            If the default symbol has none yet.
        UnknownSymbol
            If another symbol has none.
        DamagedBundle, UnverifiedModel
            If its bundle cannot be served and none was before.
        StorageFailed
            If the models cannot be read.
        """
        wanted = self.canonical(symbol)
        snapshot = self._snapshots.get(wanted)
        if snapshot is not None:
            return snapshot
        outcome = self.look(wanted)
        snapshot = self._snapshots.get(wanted)
        if snapshot is not None:
            return snapshot
        if outcome.outcome == "failed":
            failure = self._failures.get(wanted)
            if isinstance(failure, StorageFailed):
                raise StorageFailed(f"the models cannot be read: {outcome.reason}")
            if isinstance(failure, UnverifiedBundle):
                raise UnverifiedModel(f"the model of {wanted} is not served: {outcome.reason}")
            raise DamagedBundle(f"the model of {wanted} cannot be served: {outcome.reason}")
        if wanted == self.default_symbol:
            raise NoModel(
                f"no model for {wanted} yet: train one with `make serve` or POST /train, then retry"
            )
        known = ", ".join(self.registry.symbols()[:20]) or "none"
        raise UnknownSymbol(
            f"no model for {wanted}; there are models for: {known}. "
            f'Train one with POST /train {{"symbol": "{wanted}"}}'
        )

    def look(self, symbol: str) -> Reload:
        """Compare with the pointer, and load and swap if it moved. A failure changes nothing."""
        with self._loading:
            serving = self._snapshots.get(symbol)
            old = serving.version if serving else None
            pointer = None
            try:
                pointer = self.registry.pointer(symbol)
                if pointer is None:
                    self._failures.pop(symbol, None)
                    return Reload(symbol, "unchanged", old, None)
                if serving and (serving.version, serving.generation) == (
                    pointer.version,
                    pointer.generation,
                ):
                    self._failures.pop(symbol, None)
                    return Reload(symbol, "unchanged", old, pointer.version)
                parts = self._parts_of(pointer.version, symbol)
                snapshot = Snapshot.from_parts(symbol, pointer.generation, parts)
                self._speeds[pointer.version] = snapshot.speed  # of one that comes back, known
            except Exception as error:  # also a bug, or memory: the symbols after it must follow
                reason = _said(error)
                if self.failures().get(symbol) != reason:
                    log.error(
                        "model could not be loaded; the one before keeps serving",
                        extra={"symbol": symbol, "serving": old, "reason": reason},
                        exc_info=not isinstance(error, (ClosecastError, OSError)),
                    )
                if pointer is not None:
                    self._refused[symbol] = pointer.generation
                # While the store is away, whatever callers name fails: that is not all kept.
                if serving or symbol == self.default_symbol or len(self._failures) < _MOST_FAILURES:
                    self._failures[symbol] = error
                return Reload(symbol, "failed", old, None, reason)
            if self._closes_stamp is None and len(self.cache.symbols()) <= _FEW:
                self.read_closes()
            self._snapshots[symbol] = snapshot
            self._failures.pop(symbol, None)
            log.info(
                "model loaded",
                extra={"symbol": symbol, "version": snapshot.version, "before": old},
            )
            return Reload(symbol, "swapped", snapshot.version, pointer.version)

    def _parts_of(self, version: str, symbol: str) -> Parts:
        """What the snapshots of a version share, as long as there is one of them."""
        parts = self._parts.get(version)
        if parts is None:
            parts = Parts(self.registry.load_to_serve(version, symbol))
            parts.speed = self._speeds.get(version)
            self._parts[version] = parts
        require_symbol(parts.manifest, symbol)
        return parts

    def look_at_all(self) -> list[Reload]:
        """:meth:`look` at every loaded symbol and at the default one."""
        self.read_closes()
        return [self.look(symbol) for symbol in sorted({self.default_symbol, *self._snapshots})]

    def read_closes(self) -> None:
        """Read again what was collected of all symbols, if anything changed.

        Among these a foreign window is looked for; a request reads no files for that. Costs one
        look at the folder where nothing changed.
        """
        stamp = self.cache.stamp()
        if stamp == self._closes_stamp:
            return
        self._closes = {}
        found = [p for symbol in self.cache.symbols() if (p := self._known(symbol)) is not None]
        if tuple(found) != self._others.series:
            self._others = OtherCloses(found)
        self._closes_stamp = stamp

    def data_end(self, symbol: str) -> tuple[str, str] | None:
        """The current version of a canonical symbol, and the last session it was made from.

        Raises
        ------
        StorageFailed, DamagedBundle, UnknownVersion
        """
        pointer = self.registry.pointer(symbol)
        if pointer is None:
            return None
        spans = self.registry.manifest(pointer.version).info.data
        return pointer.version, next(s.last_session for s in spans if s.symbol == symbol)

    def ends_with(self, symbol: str, closes: Sequence[float]) -> bool:
        """Whether the known closes of a canonical symbol end with these.

        Compared as returns: another basis, or a restated history, is the same window.
        """
        prices = self._known(symbol)
        if prices is None or len(prices) < len(closes) or len(closes) < 2:
            return False
        known = prices.log_closes[-len(closes) :]
        with np.errstate(divide="ignore", invalid="ignore"):
            sent = np.log(np.asarray(closes, dtype=np.float64))
            apart = np.abs((sent[1:] - sent[:-1]) - (known[1:] - known[:-1]))
        return bool(apart.max() <= _SAME_RETURN)  # NaN is not

    def context(
        self,
        symbol: str | None,
        as_of: date | None = None,
        sessions: Sequence[date] | None = None,
        volume: Sequence[float] | None = None,
    ) -> Context:
        """What is known beside a window of closes, for :class:`closecast.drift.DriftDetector`.

        The closes that the service has collected itself, of the symbol and of those it is served
        with, the calendar of its exchange, and what the caller says.

        Parameters
        ----------
        sessions, volume : sequences of the window's length, optional
            Date of each close, and what was traded on it.
        """
        wanted = self.canonical(symbol)
        known = self._known(wanted)
        if as_of is None and sessions is None and volume is None:
            return self._undated(wanted, symbol is not None, known)
        day = None if as_of is None else np.datetime64(as_of, "D")
        dates = None if sessions is None else np.array(sessions, dtype="datetime64[D]")
        undated = self._undated(wanted, symbol is not None, known)
        newest = day if dates is None else dates.max()
        return replace(
            undated,
            level_known=undated.level_known and known is not None and not _rewritten(known, newest),
            as_of=day,
            sessions=dates,
            volume=None if volume is None else np.asarray(volume, dtype=np.float64),
            calendar=None if newest is None else self._calendar(wanted),
        )

    def _undated(self, symbol: str, named: bool, known: Prices | None) -> Context:
        """What is known beside closes alone: the same object until something of it changes."""
        snapshot, others = self._snapshots.get(symbol), self._others
        parts = (snapshot, others, known)
        kept = self._contexts.get((symbol, named))
        if kept is not None and all(map(operator.is_, kept[0], parts)):
            return kept[1]
        made = Context(
            known=known,
            others=others,
            symbol_named=named,
            level_known=(
                known is not None
                and snapshot is not None
                and known.basis == snapshot.detector.baseline.basis != "unknown"
            ),
        )
        if snapshot is not None:  # whatever else a caller names is not kept
            self._contexts[symbol, named] = parts, made
        return made

    def _known(self, symbol: str) -> Prices | None:
        """The newest collected closes; the file is looked at some twenty times a second."""
        now = time.monotonic()
        seen = self._closes.get(symbol)
        if seen is not None and now - seen[0] < _LOOKED_AT_S:
            return seen[1]
        try:
            prices = self.cache.get(symbol)
        except ClosecastError as error:
            log.warning("price cache unreadable", extra={"symbol": symbol, "reason": str(error)})
            prices = None
        if symbol in self._snapshots:  # whatever else a caller names is not kept
            self._closes[symbol] = now, prices
        return prices

    def _calendar(self, symbol: str) -> SessionTable | None:
        try:
            return self.calendars.get(exchange_of(symbol))
        except ClosecastError as error:
            log.warning("calendar unreadable", extra={"symbol": symbol, "reason": str(error)})
            return None


def _said(error: Exception) -> str:
    if isinstance(error, (ClosecastError, OSError)):
        return str(error)
    return f"{type(error).__name__}: {error}"  # which says little by itself: MemoryError is empty


def _rewritten(known: Prices, day: np.datetime64 | None) -> bool:
    """Whether known levels of a day may have been rewritten since."""
    if day is None or known.basis != "adjusted":
        return False
    return int((known.sessions[-1] - day).astype(int)) > _REWRITTEN_AFTER_DAYS
