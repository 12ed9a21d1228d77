"""One connection: a uvicorn protocol that limits what a caller sends and how long it takes.

uvicorn limits no head, waits for ever, and loses the body of a request that offers an upgrade.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.problems.refusals import Refusal
from api.server import refused
from api.server.capacity import Use, make_room
from api.server.limits import MOST_HEADERS, MOST_OF_A_HEAD, Limits, process_limits
from api.server.memory import process_memory
from api.server.target import head_without_upgrade, path_form
from api.server.unread_answer import UnreadAnswer

_PIECE = 16_384
"""Bytes parsed before pipelined requests are answered; the next ones wait unparsed."""
_LINGERS_S = 2.0
"""Seconds that a caller who is still sending has to read the answer. Closing at once would reset
the connection, and the answer with it."""
_LINGERS_BYTES = 4_000_000


class Connection(HttpToolsProtocol):
    """A connection with limits on heads, unread bodies, unread answers and idle time."""

    limits: Limits | None = None
    """Those of this process, unless a subclass has others."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = self.limits or process_limits()
        self._opened = self.loop.time()
        self.head_until = self._opened + self._limits.head_s  # of the first head
        self._in_head = False  # a part of a head has arrived, the rest has not
        self._in_body = False  # the head has arrived, a part of the body has not
        self._head_bytes = 0
        self._overhead = 0  # bytes since the last one of a body: chunk extensions, trailers
        self._offers_upgrade = False
        self._held = bytearray()  # arrived while pipelined requests wait: not parsed yet
        self._running: RequestResponseCycle | None = None  # answered now; `cycle` is parsed last
        self._refusal: Refusal | None = None
        self._left = False  # all is written; what still comes is dropped
        self._ending = False  # with the process
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread = UnreadAnswer(self.loop, self._limits.stalled_s)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        process_memory.opened(len(self.connections))
        if make_room(self, self._limits.connections):
            self._head_timer = self.loop.call_at(self.head_until, self._head_is_late)
        else:
            self._write_refusal(refused.TOO_MANY_CONNECTIONS)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._unread.stop()
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        super().connection_lost(exc)
        self._forget_request()
        process_memory.closed(len(self.connections), self.loop)

    def _forget_request(self) -> None:
        """Let go of an answered request: it is heavier than its connection, and refers to it."""
        self.cycle = self.scope = self.headers = self._running = None  # type: ignore[assignment]

    @property
    def use(self) -> tuple[Use, float]:
        """Present use, and the time of the event loop since when."""
        if self._is_busy:
            return (Use.BODY_ARRIVES if self._in_body else Use.ANSWERING), self._opened
        if self.transport.get_write_buffer_size():
            return Use.ANSWER_UNREAD, self._opened
        if self.timeout_keep_alive_task is None:
            return Use.HEAD_ARRIVES, self._opened
        return Use.IDLE, self.timeout_keep_alive_task.when()

    @property
    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # -- bytes ----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None or self._left:
            self._overhead += len(data)
            if self._overhead > _LINGERS_BYTES:
                self.transport.abort()
            return  # read only so that the answer arrives
        if self._in_head or self._in_body or self._held or self.pipeline or len(data) > _PIECE:
            self._held += data
            self._parse_held()
            return
        last = self.cycle
        self._parse(data)
        self._check_sizes(len(data), begins_behind=self.cycle is not last)
        self._watch_head()

    def _parse_held(self) -> None:
        """Parse bytes piece by piece, until a limit or a pipelined request stops it."""
        while self._held and self._refusal is None and not self.transport.is_closing():
            if self.pipeline:
                self.flow.pause_reading()  # again: the application may have asked for a body
                break
            was_in_body, last = self._in_body, self.cycle
            length = min(_PIECE, MOST_OF_A_HEAD - self._head_bytes) if self._in_head else _PIECE
            piece = bytes(self._held[:length])
            del self._held[:length]
            self._overhead += len(piece)
            self._parse(piece)
            self._check_sizes(len(piece), begins_behind=was_in_body or self.cycle is not last)
        self._watch_head()

    def _check_sizes(self, length: int, begins_behind: bool) -> None:
        """Refuse a head, or what surrounds the parts of a body, as soon as it is too large.

        Parameters
        ----------
        length : int
            Bytes that were parsed last.
        begins_behind : bool
            Whether a head in them begins behind another request; they are not counted then.
        """
        if not self._in_head:
            self._head_bytes = 0
            if self._overhead > MOST_OF_A_HEAD + _PIECE:
                self._refuse(refused.MALFORMED)
            return
        self._overhead = 0
        self._head_bytes = 0 if begins_behind else self._head_bytes + length
        if self._head_bytes >= MOST_OF_A_HEAD:
            long_line = 2 * len(self.url) > MOST_OF_A_HEAD
            self._refuse(refused.LINE_TOO_LONG if long_line else refused.HEAD_TOO_LARGE)
        elif len(self.headers) > MOST_HEADERS:
            self._refuse(refused.TOO_MANY_HEADERS)

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        while data and self._refusal is None:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                data = data[offer.args[0] :]
                self._parse_without_upgrade()
            except httptools.HttpParserError:
                # Of a callback that has a reason, or of bytes that mean nothing.
                self._refuse(self._refusal or refused.MALFORMED)

    def _parse_without_upgrade(self) -> None:
        """Parse a head again as if it offered no other protocol (RFC 9110, 7.8).

        The parser takes what follows an offer for the other protocol, and the body with it.
        """
        method, version = self.scope["method"], self.scope["http_version"]
        head = head_without_upgrade(method, self.url, version, self.headers)
        self._offers_upgrade = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        try:
            self.parser.feed_data(head)
        except httptools.HttpParserError:
            self._refuse(self._refusal or refused.MALFORMED)

    # -- callbacks of the parser ----------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are none of the request's headers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        self._overhead = 0
        if len(self.headers) > MOST_HEADERS:
            self._stop_parsing(refused.TOO_MANY_HEADERS)
        if self.parser.should_upgrade():
            self.scope["method"] = self.parser.get_method().decode("ascii")
            self.scope["http_version"] = self.parser.get_http_version()
            if self.scope["method"] == "CONNECT":
                self._stop_parsing(refused.NO_TUNNEL)
            self._offers_upgrade = True
            return
        if not self.url.startswith(b"/"):
            self.url = path_form(self.url, self.headers, self.parser.get_http_version())
        super().on_headers_complete()
        self.cycle.transport = cast("Any", self)
        if self._ending:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        if self._offers_upgrade:
            return
        if self.cycle.response_complete and self._head_timer is not None:
            # A body that was not wanted has passed by: the connection is idle from now on.
            self._stop_head_timer()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        super().on_message_complete()

    def _stop_parsing(self, refusal: Refusal) -> None:
        self._in_body = False
        self._refusal = refusal
        raise ValueError(refusal.code)  # of which the parser only tells that it was one

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        if self._left or (self._refusal is not None and not self.pipeline):
            self.server_state.total_requests += 1
            self._send_refusal()
            return
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._in_body and not self._is_busy:
            self._unset_keepalive_if_required()
            self._watch_head()
        if self._held:
            self._parse_held()
        elif not (self._in_head or self._in_body or self.pipeline or self._is_busy):
            self._forget_request()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer after the requests before it, then close."""
        self._refusal = refusal
        self._stop_head_timer()
        self._unset_keepalive_if_required()
        self._held.clear()
        running = self._running
        if self._in_body and self._is_busy:  # it will never have its whole body
            if self.pipeline:
                self.pipeline.popleft()
            elif running is not None and running.response_started:
                self.transport.abort()
                return
            else:
                running = None
        if running is None or running.response_complete:
            self._send_refusal()

    def _send_refusal(self) -> None:
        if self._refusal is None or self._left or self.transport.is_closing():
            return
        self._write_refusal(self._refusal)
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._leave()

    def _write_refusal(self, refusal: Refusal) -> None:
        self._refusal = refusal
        headers = self.server_state.default_headers
        self.transport.write(refused.as_bytes(refusal, self.client, headers))

    def _leave(self) -> None:
        """Send all, and let what is still coming run out, so that the caller can read it."""
        self._left = True
        self._held.clear()
        self.flow.resume_reading()
        self.transport.write_eof()
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(_LINGERS_S, self.transport.abort)

    # -- the transport of an answer -------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send a part of an answer."""
        if not self._left:
            self.transport.write(data)

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._left or self.transport.is_closing()

    def close(self) -> None:
        """Close when all is sent, or when the caller does not read it."""
        if self._left:
            return
        if self._in_body and not self.transport.is_closing():
            self._leave()
            return
        self.transport.close()
        self._unread.watch(self.transport)

    def _watch_head(self) -> None:
        """Set a deadline for a head, or for a body that the application did not want."""
        if self._refusal is not None or self._left or self.transport.is_closing():
            return
        if self._is_busy and not self._in_head:
            self._stop_head_timer()
        elif self._head_timer is None and self.timeout_keep_alive_task is None:
            self._head_timer = self.loop.call_later(self._limits.head_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._in_head and not self.transport.is_closing():
            self._refuse(refused.head_too_slow(self._limits.head_s))
        elif not self._is_busy:
            self.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        self.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.watch(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread.stop()

    def shutdown(self) -> None:
        """Answer what has begun or is on its way, and say that the connection ends with it."""
        self._ending = True
        if self._is_busy:
            self.cycle.keep_alive = False
        elif not self._left:
            self.loop.call_later(self._limits.grace_s, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if not (self._is_busy or self._in_head):
            self.close()
