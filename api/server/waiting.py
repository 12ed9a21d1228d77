"""Connections on which nothing arrives.

They need a fifth of the memory of one with a parser: thousands of them are cheap.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from api.server.capacity import Use
from api.server.connection import Connection
from api.server.limits import process_limits
from api.server.memory import process_memory

_MANY = 256
"""Open connections from which on an idle one gives up its parser; the next request makes another,
for some 20 µs."""


class Resting(Connection):
    """A connection that waits without a parser between requests, where there are many."""

    waiting: type[Waiting] | None = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if len(self.connections) > _MANY:
            self.loop.call_soon(self._rest)  # when the answer has been sent

    def _rest(self) -> None:
        timer, transport = self.timeout_keep_alive_task, self.transport
        if self._ending or self.waiting is None or timer is None or self._running is not None:
            return
        if transport.is_closing() or transport.get_write_buffer_size():
            return
        self.connections.discard(self)
        self._unset_keepalive_if_required()
        self._unread.stop()
        self.parser = None  # type: ignore[assignment]  # it refers to this object
        waiting = self.waiting(self.config, self.server_state, self.app_state, self.loop)
        transport.set_protocol(waiting)
        waiting.rest(transport, timer.when())


class Waiting(asyncio.Protocol):
    """A new or an idle connection, until a byte makes a connection with a parser of it."""

    __slots__ = ("_app_state", "_config", "_is_new", "_loop", "_timer", "server_state", "transport")

    protocol: type[Resting] = Resting

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self.server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._is_new = True
        self.transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        limits = self.protocol.limits or process_limits()
        self.transport = transport
        self._timer = self._loop.call_later(limits.head_s, transport.close)
        self.server_state.connections.add(self)  # type: ignore[arg-type]
        process_memory.opened(len(self.server_state.connections))
        if len(self.server_state.connections) > limits.connections:
            self._begin()  # it makes room, or is refused

    def rest(self, transport: asyncio.Transport, until: float) -> None:
        """Wait for another request until a time of the event loop."""
        self._is_new = False
        self.transport = transport
        self._timer = self._loop.call_at(until, transport.close)
        self.server_state.connections.add(self)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.transport = None
        process_memory.closed(len(self.server_state.connections), self._loop)

    def data_received(self, data: bytes) -> None:
        self._begin().data_received(data)

    def shutdown(self) -> None:
        """Listen for a request that is on its way: the process ends."""
        if self.transport is not None:
            self._begin().shutdown()

    @property
    def use(self) -> tuple[Use, float]:
        """Present use, and when it ends: the order in which these connections make room."""
        ends = self._timer.when() if self._timer else 0.0
        return Use.HEAD_ARRIVES if self._is_new else Use.IDLE, ends

    def _begin(self) -> Connection:
        """Hand the transport, and what is left of the time for a head, to a connection."""
        assert self.transport is not None
        assert self._timer is not None
        transport, timer = self.transport, self._timer
        self.server_state.connections.discard(self)
        self.transport = self._timer = None
        timer.cancel()
        connection = self.protocol(self._config, self.server_state, self._app_state, self._loop)
        connection.waiting = type(self)
        if self._is_new:
            connection.head_until = timer.when()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        return connection
