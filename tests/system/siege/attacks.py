"""Attacks on one port: each opens connections that no client of good will would open.

Each returns a word for the end that the connection had; the words that are no fault stand in
:data:`ALLOWED`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping

Attack = Callable[[int, random.Random], Awaitable[str]]
"""From a port and a source of chance to the end of one connection."""

_PATIENCE_S = 40.0
"""Longest time for which a server may keep a connection that says nothing useful."""

_MOST_BYTES = 4_000_000
"""Of a head that does not end; a server that has not answered then has no limit."""

_CHUNK = 16_384
_FIRST = asyncio.FIRST_COMPLETED
WINDOW = json.dumps({"prices": [200 + 0.25 * (step % 7) for step in range(60)]}).encode()
_BOMB = gzip.compress(bytes(30_000_000))
_HEAD = b"host: 127.0.0.1\r\ncontent-type: application/json\r\n"


async def _opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def _end(reader: asyncio.StreamReader, within_s: float = _PATIENCE_S) -> str:
    """Status of the answer, or the way in which the server ended the connection."""
    try:
        async with asyncio.timeout(within_s):
            line = await reader.readline()
    except TimeoutError:
        return "kept open"
    except (ConnectionError, OSError):
        return "closed"
    return line.split(b" ")[1].decode("latin-1") if line.startswith(b"HTTP/1.1 ") else "closed"


async def _ask(port: int, request: bytes) -> str:
    reader, writer = await _opened(port)
    try:
        writer.write(request)
        return await _end(reader)
    finally:
        writer.transport.abort()


async def _endless(port: int, start: bytes, again: bytes) -> str:
    """Send without an end until the server answers or closes."""
    reader, writer = await _opened(port)
    sent = len(start)
    ended = asyncio.ensure_future(_end(reader))
    try:
        writer.write(start)
        while sent < _MOST_BYTES and not ended.done():
            writer.write(again)
            sent += len(again)
            sending = asyncio.ensure_future(writer.drain())
            await asyncio.wait({sending, ended}, timeout=_PATIENCE_S, return_when=_FIRST)
            sending.cancel()
        return await ended
    except (ConnectionError, OSError):
        return await ended
    finally:
        ended.cancel()
        writer.transport.abort()


async def endless_header(port: int, _chance: random.Random) -> str:
    """One header that does not end."""
    return await _endless(port, b"GET /health/live HTTP/1.1\r\nx-a: ", b"a" * _CHUNK)


async def endless_headers(port: int, _chance: random.Random) -> str:
    """Headers that do not end."""
    return await _endless(port, b"GET /health/live HTTP/1.1\r\n", b"x-a: b\r\n" * (_CHUNK // 8))


async def endless_line(port: int, _chance: random.Random) -> str:
    """A request line that does not end."""
    return await _endless(port, b"GET /", b"a" * _CHUNK)


async def _drop_by_drop(port: int, text: bytes) -> str:
    reader, writer = await _opened(port)
    ended = asyncio.ensure_future(_end(reader))
    try:
        for byte in text:
            writer.write(bytes([byte]))
            done, _ = await asyncio.wait({ended}, timeout=1.0)
            if done:
                break
        return await ended
    finally:
        ended.cancel()
        writer.transport.abort()


async def slow_head(port: int, _chance: random.Random) -> str:
    """One byte of a head each second."""
    return await _drop_by_drop(port, b"GET /health/live HTTP/1.1\r\nx-slow: " + b"a" * 60)


async def slow_body(port: int, _chance: random.Random) -> str:
    """A head at once, then one byte of its body each second."""
    reader, writer = await _opened(port)
    ended = asyncio.ensure_future(_end(reader))
    try:
        writer.write(b"POST /predict HTTP/1.1\r\n" + _HEAD + b"content-length: 900\r\n\r\n")
        while not ended.done():
            writer.write(b" ")
            await asyncio.wait({ended}, timeout=1.0)
        return await ended
    finally:
        ended.cancel()
        writer.transport.abort()


async def slow_reader(port: int, _chance: random.Random) -> str:
    """Many requests for a large answer, of which nothing is read for some seconds."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(connection, ("127.0.0.1", port))
        asking = b"GET /openapi.json HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" * 50
        await loop.sock_sendall(connection, asking)
        await asyncio.sleep(8)
        return "gave up"
    finally:
        connection.close()


async def upgrade(port: int, _chance: random.Random) -> str:
    """An upgrade to HTTP/2 that the server need not do: the request itself is a good one."""
    head = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    length = f"content-length: {len(WINDOW)}\r\n\r\n".encode()
    return await _ask(port, b"POST /predict HTTP/1.1\r\n" + _HEAD + head + length + WINDOW)


async def prior_knowledge(port: int, _chance: random.Random) -> str:
    """HTTP/2 without having been offered."""
    return await _ask(port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64))


async def tls(port: int, chance: random.Random) -> str:
    """The first bytes of TLS."""
    return await _ask(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(64))


async def odd_method(port: int, chance: random.Random) -> str:
    """A method that no route has, or that is none."""
    methods = (b"TRACE", b"CONNECT", b"PROPFIND", b"get", b"PATCH", b"A" * 500, b"GE T", b"\x00")
    method = chance.choice(methods)
    return await _ask(port, method + b" /predict HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")


async def odd_encoding(port: int, chance: random.Random) -> str:
    """A body in an encoding that is broken, unknown, or a bomb."""
    bodies = (
        (b"gzip", _BOMB),
        (b"gzip, gzip", gzip.compress(_BOMB)),
        (b"gzip", gzip.compress(WINDOW)[:-9]),
        (b"gzip", b"no gzip"),
        (b"deflate", chance.randbytes(200)),
        (b"br", chance.randbytes(200)),
        (b"x" * 300, WINDOW),
    )
    name, body = chance.choice(bodies)
    head = _HEAD + b"content-encoding: " + name + b"\r\n"
    length = f"content-length: {len(body)}\r\n\r\n".encode()
    return await _ask(port, b"POST /predict HTTP/1.1\r\n" + head + length + body)


async def odd_framing(port: int, chance: random.Random) -> str:
    """A body whose length is said in two ways, or in none that is right."""
    lengths = (
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"content-length: 5\r\ncontent-length: 6\r\n\r\n123456",
        b"content-length: -1\r\n\r\n",
        b"content-length: 99999999999999999999\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\nZZ\r\n",
        b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"transfer-encoding: gzip\r\n\r\n",
    )
    return await _ask(port, b"POST /predict HTTP/1.1\r\n" + _HEAD + chance.choice(lengths))


async def reset(port: int, _chance: random.Random) -> str:
    """A good request whose sender resets the connection before the answer."""
    _, writer = await _opened(port)
    length = f"content-length: {len(WINDOW)}\r\n\r\n".encode()
    writer.write(b"POST /predict HTTP/1.1\r\n" + _HEAD + length + WINDOW)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
    return "gave up"


async def idle(port: int, chance: random.Random) -> str:
    """A connection that says nothing, or nothing more after one good request."""
    reader, writer = await _opened(port)
    try:
        if chance.random() < 0.5:
            writer.write(b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            if await _end(reader) not in ("200", "503"):
                return "closed"
        async with asyncio.timeout(_PATIENCE_S):
            while await reader.read(_CHUNK):
                pass
    except TimeoutError:
        return "gave up"  # a connection that was used may be kept for the next request
    except OSError:
        pass
    finally:
        writer.transport.abort()
    return "closed"


_REFUSED = frozenset({"400", "closed", "503"})
ALLOWED: Mapping[Attack, frozenset[str]] = {
    endless_header: frozenset({"431", "closed", "503"}),
    endless_headers: frozenset({"431", "closed", "503"}),
    endless_line: frozenset({"414", "431", "closed", "503"}),
    slow_head: frozenset({"408", "closed", "503"}),
    slow_body: frozenset({"408", "closed", "503"}),
    slow_reader: frozenset({"gave up", "closed"}),
    upgrade: frozenset({"200", "503"}),
    prior_knowledge: _REFUSED | {"505"},
    tls: _REFUSED,
    odd_method: _REFUSED | {"405", "501", "403", "404"},
    odd_encoding: _REFUSED | {"413", "415"},
    odd_framing: _REFUSED | {"411", "413", "501"},
    reset: frozenset({"gave up"}),
}
"""Ends that are no fault of the server, by attack; ``503`` where it has all connections it may."""
