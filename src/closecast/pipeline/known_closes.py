"""The last known closes of each symbol: the newest ones that any process has collected."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from closecast.core.prices import Prices
from closecast.errors import JobConflict, StorageFailed
from closecast.forecasters.base import Watch
from closecast.pipeline.symbol_locks import locked
from closecast.sources.price_cache import PriceCache

_LONGEST_UPDATE_S = 900.0


def remember_closes(cache: PriceCache, prices: Prices, edition: str | None = None) -> None:
    """Store closes as the last known ones of their symbol, unless later ones are known.

    A training collects while updates do: of two processes at once, the one with the later closes
    wins.

    Parameters
    ----------
    edition : str, optional
        As :func:`closecast.sources.source_edition` named it before they were read.

    Raises
    ------
    StorageFailed
    """
    with locked(cache.folder, [prices.symbol], "put.lock", lambda symbol: None):
        try:
            known = cache.get(prices.symbol)
        except StorageFailed:
            known = None  # damaged: replaced by what was just collected
        if known is None or known.span[1] <= prices.span[1]:
            cache.put(prices, edition)


@contextmanager
def one_update_at_a_time(
    cache: PriceCache,
    symbols: Sequence[str],
    watch: Watch,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Wait until no other process updates these symbols; a training of them does not count.

    Parameters
    ----------
    symbols : sequence of str
        In alphabetical order.
    watch : callable
        Called while it waits; may raise to give up.

    Raises
    ------
    JobConflict
        If another update of them takes longer than a quarter of an hour.
    """
    give_up_at = clock() + _LONGEST_UPDATE_S

    def wait(symbol: str) -> None:
        watch({"stage": "wait for another update"})
        if clock() > give_up_at:
            raise JobConflict(f"another update of {symbol} does not end: end its process")

    with locked(cache.folder, symbols, "update.lock", wait):
        yield
