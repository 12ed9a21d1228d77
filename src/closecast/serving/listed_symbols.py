"""Symbols that have a model, listed at most once a second: callers may name any."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from closecast.errors import StorageFailed

LISTED_S = 1.0
"""Seconds for which a listing is believed: a new model may be unknown for so long."""


class ListedSymbols:
    """Canonical symbols that have a pointer, kept in memory.

    Thousands of requests with invented names cost one listing of the store per second.

    Parameters
    ----------
    list_symbols : callable
        Lists them; a look into the store.
    clock : callable
        Seconds on a clock that only goes forward; injected by tests.
    """

    def __init__(
        self,
        list_symbols: Callable[[], Collection[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._list = list_symbols
        self._clock = clock
        self._listing = threading.Lock()
        self._known: frozenset[str] | None = None
        self._until = 0.0

    def surely_lack(self, symbol: str) -> bool:
        """Return whether a listing that is believed lacks a symbol; never looks into the store."""
        known = self._known
        return known is not None and symbol not in known and self._clock() < self._until

    def newest(self) -> frozenset[str]:
        """Return the symbols, listed again if the listing is old: call it in a thread.

        While the store cannot be reached, the last listing stands.

        Raises
        ------
        StorageFailed
            If they were never listed.
        """
        with self._listing:
            if self._known is None or self._clock() >= self._until:
                try:
                    self._known = frozenset(self._list())
                except StorageFailed:
                    if self._known is None:
                        raise
                self._until = self._clock() + LISTED_S
            return self._known
