"""The models of one process: a snapshot per symbol, each following its pointer."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal
from weakref import WeakValueDictionary

from closecast.core.symbols import canonical
from closecast.errors import (
    ClosecastError,
    DamagedBundle,
    NoModel,
    OtherFormat,
    StorageFailed,
    UnknownSymbol,
    UnverifiedBundle,
    UnverifiedModel,
)
from closecast.registry.documents import require_symbol
from closecast.registry.registry import Registry
from closecast.serving.bundle import AnswerSpeed, LoadedBundle
from closecast.serving.listed_symbols import ListedSymbols
from closecast.serving.loading import load_snapshot
from closecast.serving.market_context import MarketContext
from closecast.serving.snapshot import Snapshot

log = logging.getLogger(__name__)

_MOST_FAILURES = 1000
_KEPT = 4  # of the bundles last loaded: to go back and forth takes half of the time
_SMALL_BYTES = 4_000_000
_FEW = 64  # symbols whose closes are read in a tenth of a second: at once, not in the background


@dataclass(frozen=True, slots=True)
class Reload:
    """Result of comparing a symbol's model with its pointer."""

    symbol: str
    outcome: Literal["unchanged", "swapped", "failed"]
    serving_version: str | None
    published_version: str | None
    reason: str | None = None


Missing = NoModel | UnknownSymbol
"""Errors of a symbol that has no model: the default one's, and any other's."""


class ModelManager:
    """The snapshots that this process serves; each follows its symbol's pointer."""

    def __init__(
        self,
        registry: Registry,
        closes: MarketContext,
        default_symbol: str,
        describe_missing: Callable[[Missing, str], Missing] = lambda error, _: error,
    ) -> None:
        """Serve nothing yet; :meth:`get` and :meth:`look` load.

        Parameters
        ----------
        default_symbol : str
            In any spelling.
        describe_missing : callable
            Makes the error raised while a symbol has no model from the usual error and the
            symbol, for example with the progress of its first training.
        """
        self.registry = registry
        self.closes = closes
        self.default_symbol = canonical(default_symbol)
        self._describe_missing = describe_missing
        self._snapshots: dict[str, Snapshot] = {}
        self._listed = ListedSymbols(lambda: registry.symbols())
        self._pooled: tuple[Snapshot, Snapshot] | None = None
        self._failures: dict[str, Exception] = {}
        self._refused: dict[str, int] = {}
        self._loading = threading.Lock()
        self._speeds: dict[str, AnswerSpeed] = {}
        self._parts: WeakValueDictionary[str, LoadedBundle] = WeakValueDictionary()
        self._lately: deque[LoadedBundle] = deque(maxlen=_KEPT)

    def canonical(self, symbol: str | None) -> str:
        """Return the canonical spelling of a symbol, or the default symbol for ``None``."""
        return canonical(symbol) if symbol is not None else self.default_symbol

    def serving(self, symbol: str) -> Snapshot | None:
        """Return the snapshot in memory for a canonical symbol; never loads one."""
        return self._snapshots.get(symbol)

    def answering(self, symbol: str) -> Snapshot | None:
        """Return the snapshot in memory that answers windows of a canonical symbol.

        For a symbol that has no model that is the default one's, pooled. ``None`` where the store
        must be looked into: see :meth:`find_answering`.
        """
        snapshot = self._snapshots.get(symbol)
        if snapshot is None and self._pooled is not None and self._listed.surely_lack(symbol):
            default, pooled = self._pooled
            return pooled if default is self._snapshots.get(self.default_symbol) else None
        return snapshot

    def find_answering(self, symbol: str) -> Snapshot:
        """Return the snapshot that answers windows of a canonical symbol, loading what it takes.

        Raises
        ------
        UnknownSymbol
            If neither the symbol nor the default one has a model.

        And as :meth:`get`.
        """
        if symbol == self.default_symbol or symbol in self._snapshots:
            return self.get(symbol)
        known = self._listed.newest()
        if symbol in known:
            return self.get(symbol)
        default = self._snapshots.get(self.default_symbol)
        if default is None:
            if self.default_symbol not in known:
                raise self._describe_missing(unknown(symbol, known), symbol)
            default = self.get()
        if self._pooled is None or self._pooled[0] is not default:
            self._pooled = default, default.pooled()
        return self._pooled[1]

    def loaded(self) -> list[Snapshot]:
        """Return every snapshot in memory."""
        return list(self._snapshots.values())

    def failures(self) -> dict[str, str]:
        """Return the symbols whose pointer names a model that could not be loaded, with reasons."""
        return {symbol: _reason_of(error) for symbol, error in list(self._failures.items())}

    def errors(self) -> dict[str, Exception]:
        """Return the same symbols with the errors themselves."""
        return dict(self._failures)

    def refused_generation(self, symbol: str) -> int | None:
        """Return the pointer's generation of a symbol's failure, if it could be read."""
        return self._refused.get(symbol)

    def get(self, symbol: str | None = None) -> Snapshot:
        """Return the snapshot of a symbol, loading it if needed; of the default one without a name.

        Raises
        ------
        NoModel
            If the default symbol has none yet, or the first one of another symbol is made.
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
            if isinstance(failure, OtherFormat):
                raise OtherFormat(f"the model of {wanted} cannot be served: {outcome.reason}")
            if isinstance(failure, UnverifiedBundle):
                raise UnverifiedModel(f"the model of {wanted} is not served: {outcome.reason}")
            raise DamagedBundle(f"the model of {wanted} cannot be served: {outcome.reason}")
        if wanted == self.default_symbol:
            error = NoModel(
                f"no model for {wanted} yet: train one with `make serve` or POST /train, then retry"
            )
            raise self._describe_missing(error, wanted)
        raise self._describe_missing(unknown(wanted, self.registry.symbols()), wanted)

    def look(self, symbol: str) -> Reload:
        """Load the model that the pointer names, if it changed. A failure changes nothing."""
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
                snapshot = load_snapshot(symbol, pointer.generation, parts)
                self._speeds[pointer.version] = snapshot.speed  # kept for a version that returns
                self._keep(parts)
            except Exception as error:  # also a bug, or memory: the symbols after it must follow
                reason = _reason_of(error)
                if self.failures().get(symbol) != reason:
                    log.error(
                        "model could not be loaded; the one before keeps serving",
                        extra={"symbol": symbol, "serving": old, "reason": reason},
                        exc_info=not isinstance(error, (ClosecastError, OSError)),
                    )
                if pointer is not None:
                    self._refused[symbol] = pointer.generation
                # While the store cannot be reached, any symbol fails: their number is limited.
                if serving or symbol == self.default_symbol or len(self._failures) < _MOST_FAILURES:
                    self._failures[symbol] = error
                return Reload(symbol, "failed", old, None, reason)
            if not self.closes.were_read and len(self.closes.cache.symbols()) <= _FEW:
                self.closes.read()
            self._snapshots[symbol] = snapshot
            self._failures.pop(symbol, None)
            log.info(
                "model loaded",
                extra={"symbol": symbol, "version": snapshot.version, "before": old},
            )
            return Reload(symbol, "swapped", snapshot.version, pointer.version)

    def _parts_of(self, version: str, symbol: str) -> LoadedBundle:
        """Return the parts shared by snapshots of a version, loading them if none are in use."""
        parts = self._parts.get(version)
        if parts is None or all(one.version != version for one in self._snapshots.values()):
            bundle = self.registry.load_to_serve(version, symbol)  # whole, also where it comes back
            if parts is None or parts.manifest != bundle.manifest:
                parts = LoadedBundle(bundle)
                parts.speed = self._speeds.get(version)
                self._parts[version] = parts
        require_symbol(parts.manifest, symbol)
        return parts

    def _keep(self, parts: LoadedBundle) -> None:
        """Keep small bundles for a while after their last use, for a return to them."""
        if parts.size <= _SMALL_BYTES:
            if parts in self._lately:
                self._lately.remove(parts)
            self._lately.append(parts)

    def look_at_all(self) -> list[Reload]:
        """:meth:`look` at every loaded symbol and at the default one."""
        self.closes.read()
        return [self.look(symbol) for symbol in sorted({self.default_symbol, *self._snapshots})]

    def data_end(self, symbol: str) -> tuple[str, str] | None:
        """Return the current version of a canonical symbol, and the last session of its data.

        Raises
        ------
        StorageFailed, DamagedBundle, UnknownVersion
        """
        pointer = self.registry.pointer(symbol)
        if pointer is None:
            return None
        spans = self.registry.manifest(pointer.version).info.data
        return pointer.version, next(s.last_session for s in spans if s.symbol == symbol)


def unknown(symbol: str, known: Collection[str]) -> UnknownSymbol:
    """Make the error for a canonical symbol without a model; ``known`` have one."""
    return UnknownSymbol(
        f"no model for {symbol}; there are models for: {', '.join(sorted(known)[:20]) or 'none'}. "
        f'Train one with POST /train {{"symbol": "{symbol}"}}'
    )


def _reason_of(error: Exception) -> str:
    if isinstance(error, (ClosecastError, OSError)):
        return str(error)
    return f"{type(error).__name__}: {error}"  # the text alone may be empty, as of MemoryError
