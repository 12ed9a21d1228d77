"""Answers that their caller does not read."""

from __future__ import annotations

import asyncio


class UnreadAnswer:
    """Watches the bytes that wait to be sent, and ends a connection that takes none of them.

    Parameters
    ----------
    stalled_s : float
        Seconds without any progress.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, stalled_s: float) -> None:
        self._loop = loop
        self._stalled_s = stalled_s
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0

    def watch(self, transport: asyncio.Transport) -> None:
        """Watch from now on, if something waits."""
        self._unsent = transport.get_write_buffer_size()
        if self._timer is None and self._unsent:
            self._timer = self._loop.call_later(self._stalled_s, self._look, transport)

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, transport: asyncio.Transport) -> None:
        self._timer = None
        if transport.get_write_buffer_size() >= self._unsent:
            transport.abort()
        else:
            self.watch(transport)
