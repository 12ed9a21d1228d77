"""Memory that a flood of connections took, and that the process gives back behind it.

The C library keeps freed memory for later; after ten thousand connections that is for good.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable
from functools import lru_cache

_FLOOD = 1_000
"""Connections at once from which on it is worth looking behind them."""
_EBB = 10
"""A flood is over when fewer than this part of its connections are left."""
_REST_S = 1.0
"""Seconds until the last of them are closed, too."""
_EVERY_S = 20.0


class ConnectionMemory:
    """Gives memory back once behind each flood of connections, at most three times a minute.

    Parameters
    ----------
    give_back : callable
        Frees memory; called in the event loop, where objects of connections may be freed.
    """

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._peak = 0
        self._not_before = 0.0
        self._is_due = False

    def opened(self, connections: int) -> None:
        """Note how many connections are open behind a new one."""
        if connections > self._peak:
            self._peak = connections

    def closed(self, connections: int, loop: asyncio.AbstractEventLoop) -> None:
        """Note how many connections a closed one leaves; plan the freeing if a flood is over."""
        if self._peak <= _FLOOD or connections * _EBB >= self._peak or self._is_due:
            return
        self._is_due = True
        loop.call_at(max(loop.time() + _REST_S, self._not_before), self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_due = False
        self._peak = 0
        self._not_before = loop.time() + _EVERY_S
        self._give_back()


def give_memory_back() -> None:
    """Collect garbage here, and have the C library return what is free, in a thread."""
    gc.collect()
    trim = _malloc_trim()
    if trim is not None:
        # The call waits for no lock of Python's: the event loop goes on.
        asyncio.get_running_loop().run_in_executor(None, trim, 0)


@lru_cache(maxsize=1)
def _malloc_trim() -> Callable[[int], int] | None:
    """The function of glibc; none with other C libraries."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # musl, macOS; Windows has no "this program"
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    found: Callable[[int], int] = trim
    return found


process_memory = ConnectionMemory(give_memory_back)
"""That of this process."""
