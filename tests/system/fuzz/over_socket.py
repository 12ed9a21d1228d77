"""Requests as bytes to a real server: well written, and written as no client would."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from tests.system.fuzz.fuzz_case import FuzzCase
from tests.system.fuzz.promises import Answered

HANGS_S = 20.0
_PATIENCE_S = 0.2
_REFUSED = b"urn:closecast:error:malformed_request"
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?")


@dataclass(frozen=True)
class Wire:
    """What is sent.

    Attributes
    ----------
    pieces : sequence of bytes
        Sent one after the other, each as soon as the one before is on its way.
    whole : bool
        Whether it is one whole request, so that there has to be an answer to it.
    """

    case: FuzzCase
    pieces: Sequence[bytes]
    whole: bool

    def as_command(self, port: int = 8000) -> str:
        """A command line of bash that sends the same bytes."""
        octal = "".join(f"\\{byte:03o}" for byte in b"".join(self.pieces))
        return f"printf '{octal}' | nc -q 2 127.0.0.1 {port}"


def written(random: Random, case: FuzzCase) -> Wire:
    """A request on the wire, half of the time as it should be."""
    if random.random() < 0.5:
        return Wire(case, [_request(case)], whole=True)
    if case.method == "HEAD":  # whether there is a body has to be known to find the next answer
        case = replace(case, method="GET")
    return random.choice(_WAYS)(random, case)


def _request(
    case: FuzzCase, *, version: bytes = b"HTTP/1.1", extra: bytes = b"", length: bytes | None = None
) -> bytes:
    if length is None and (case.body or case.method in ("POST", "PUT", "PATCH")):
        length = str(len(case.body)).encode()
    announced = b"" if length is None else b"content-length: " + length + b"\r\n"
    headers = b"".join(name + b": " + value + b"\r\n" for name, value in case.headers)
    line = case.method.encode() + b" " + case.target + b" " + version + b"\r\n"
    return line + headers + announced + extra + b"\r\n" + case.body


def _chunked(random: Random, body: bytes) -> bytes:
    parts, size = [], max(1, len(body) // random.choice((1, 2, 7)))
    for start in range(0, len(body), size):
        part = body[start : start + size]
        parts.append(f"{len(part):x}".encode() + random.choice((b"", b";a=b")) + b"\r\n" + part)
    return b"\r\n".join([*parts, b"0\r\n\r\n"])


def _in_chunks(random: Random, case: FuzzCase) -> Wire:
    head = _request(case.with_body(b""), extra=b"transfer-encoding: chunked\r\n", length=b"")
    head = head.replace(b"content-length: \r\n", b"")
    return Wire(case, [head, _chunked(random, case.body)], whole=True)


def _in_pieces(random: Random, case: FuzzCase) -> Wire:
    whole = _request(case)
    size = max(1, len(whole) // random.choice((2, 5, 20)))
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
    return Wire(case, pieces, whole=True)


def _twice_at_once(random: Random, case: FuzzCase) -> Wire:
    return Wire(case, [_request(case) * 2], whole=True)


def _with_wrong_length(random: Random, case: FuzzCase) -> Wire:
    n = len(case.body)
    lengths = (
        n + 1,
        n + 10**6,
        max(0, n - 1),
        -1,
        f"+{n}",
        f"{n}, {n}",
        "",
        "x",
        "9" * 40,
        f" {n}\t",
    )
    return Wire(case, [_request(case, length=str(random.choice(lengths)).encode())], whole=False)


def _with_two_lengths(random: Random, case: FuzzCase) -> Wire:
    extra = random.choice(
        (
            *(
                b"content-length: 0\r\n",
                b"transfer-encoding: chunked\r\n",
                b"content-length : 3\r\n",
            ),
            *(b"transfer-encoding: identity\r\n", b"transfer-encoding: gzip, chunked\r\n"),
            *(b"transfer-encoding: chunked, identity\r\n", b"transfer-encoding:\x0bchunked\r\n"),
        )
    )
    return Wire(case, [_request(case, extra=extra)], whole=False)


def _with_broken_chunks(random: Random, case: FuzzCase) -> Wire:
    wire = _in_chunks(random, case)
    head, body = wire.pieces
    bad = random.choice(
        (
            *(body[:-5], b"zz\r\n", b"-1\r\n", b"fffffffffffffffff\r\n", b"3\r\nabcd\r\n0\r\n\r\n"),
            *(b"0\r\nX-Trailer: " + b"y" * 9_000 + b"\r\n\r\n", b"5;" + b"e" * 70_000 + b"\r\n"),
            *(b"1\n{\n0\n\n", b"0x1\r\n{\r\n0\r\n\r\n"),
        )
    )
    return Wire(case, [head, bad], whole=False)


def _with_odd_line(random: Random, case: FuzzCase) -> Wire:
    method, target = case.method.encode(), case.target
    line = random.choice(
        (
            *(method + b"  " + target + b"  HTTP/1.1", method + b" " + target + b" HTTP/1.0"),
            *(method + b" " + target + b" HTTP/2.0", method + b" " + target, method + b" HTTP/1.1"),
            *(method + b" http://evil.example" + target + b" HTTP/1.1", b"CONNECT x:1 HTTP/1.1"),
            *(
                method + b" http://127.0.0.1:8000" + target + b" HTTP/1.1",
                b"\0" * 30,
                b"\x16\x03\x01\x02",
            ),
            *(method + b" /\xc3\xa9\xff HTTP/1.1", method + b" /\0 HTTP/1.1", b"PRI * HTTP/2.0"),
            *(
                method + b" /" + b"a" * 70_000 + b" HTTP/1.1",
                b"",
                b"\r\n\r\n",
                b"GET /x#y HTTP/1.1",
            ),
            *(method + b" /?" + b"q" * 70_000 + b" HTTP/1.1", b"X" * 300 + b" / HTTP/1.1"),
            *(b"OPTIONS * HTTP/1.1", method + b" //[ HTTP/1.1", method + b" http://[/ HTTP/1.1"),
        )
    )
    rest = _request(case).partition(b"\r\n")[2]
    return Wire(case, [line + b"\r\n" + rest], whole=False)


def _with_odd_headers(random: Random, case: FuzzCase) -> Wire:
    extra = random.choice(
        (
            *(
                b"no colon\r\n",
                b": no name\r\n",
                b"a b: c\r\n",
                b"x: \0\r\n",
                b"x: a\r\n folded\r\n",
            ),
            *(b"x: a\nsmuggled: b\r\n", b"big: " + b"z" * 70_000 + b"\r\n", b"h: 1\r\n" * 2_000),
            *(b"upgrade: websocket\r\nconnection: upgrade\r\n", b"expect: 100-continue\r\n"),
            *(
                b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
                b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                b"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAM\r\n",
            ),
            *(
                b"host: a\r\nhost: b\r\n",
                b"connection: keep-alive\r\n",
                b"x:\rx\r\n",
                b"\x80: y\r\n",
            ),
        )
    )
    return Wire(case, [_request(case, extra=extra)], whole=False)


def _cut_off(random: Random, case: FuzzCase) -> Wire:
    whole = _request(case)
    return Wire(case, [whole[: random.randrange(len(whole) + 1)]], whole=False)


_WAYS: Sequence[Callable[[Random, FuzzCase], Wire]] = (
    *(_in_chunks, _in_pieces, _twice_at_once, _with_wrong_length, _with_two_lengths),
    *(_with_broken_chunks, _with_odd_line, _with_odd_headers, _cut_off),
)


class Refused(Exception):
    """The server itself took it for no HTTP; the application never saw it."""


async def ask(port: int, wire: Wire) -> list[Answered]:
    """The answers.

    Raises
    ------
    Refused
        If it is no HTTP to the server.
    TimeoutError
        If a whole request has no answer for a long time, or a connection stays open for ever.
    ValueError
        If what comes back is no HTTP.
    """
    async with asyncio.timeout(HANGS_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        try:
            for piece in wire.pieces:
                writer.write(piece)
                with contextlib.suppress(ConnectionError):  # it may be refused before its end
                    await writer.drain()
                await asyncio.sleep(0)
            return await _answers(reader, writer, wire)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def _answers(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: Wire
) -> list[Answered]:
    found: list[Answered] = []
    try:
        if wire.whole:
            first = await _answer(reader, wire.case.method)
            return [first] if first else []
        async with asyncio.timeout(_PATIENCE_S):
            while answer := await _answer(reader, wire.case.method):
                found.append(answer)
    except TimeoutError:
        if wire.whole:
            raise
    except ConnectionError:
        return found
    # Whatever the server waits for will not come: it has to end the connection.
    with contextlib.suppress(OSError):
        writer.write_eof()
    with contextlib.suppress(ConnectionError):
        await reader.read()
    return found


async def _answer(reader: asyncio.StreamReader, method: str) -> Answered | None:
    """The next final answer; ``None`` if the connection ended before one began."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ValueError(f"half a head: {error.partial[:80]!r}") from None
        return None
    line, *lines = head[:-4].split(b"\r\n")
    matched = _STATUS.fullmatch(line)
    if matched is None:
        raise ValueError(f"no status line: {line[:80]!r}")
    status = int(matched[1])
    headers = [
        (name.lower(), value.strip()) for name, _, value in (x.partition(b":") for x in lines)
    ]
    answer = Answered(status, headers, b"")
    if status < 200 and status != 101:
        return await _answer(reader, method)
    if method == "HEAD" or status in (101, 204, 304):
        # Of an answer to HEAD the server keeps the body, or sends it all the same.
        closes = status == 400 and answer.header(b"connection") == "close"
        if closes and _REFUSED in await reader.read():
            raise Refused
        return answer
    if answer.header(b"transfer-encoding") == "chunked":
        body = await _chunks(reader)
    elif length := answer.header(b"content-length"):
        body = await reader.readexactly(int(length))
    else:
        body = await reader.read()
    if status == 400 and _REFUSED in body:
        raise Refused
    return Answered(status, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    await reader.readexactly(2)
    return b"".join(parts)
