"""Codings of request bodies (RFC 9110, 8.4): gzip and deflate, inflated in pieces to a limit."""

from __future__ import annotations

import asyncio
import zlib

from starlette.types import Scope

from api.problems.refusals import Refusal

ACCEPTED = "gzip, deflate"
"""Codings that are read, as the header ``Accept-Encoding`` lists them."""

_GZIP = frozenset({"gzip", "x-gzip"})
_MOST_CODINGS = 2
_CHARSETS = ("utf", "iso-8859", "latin", "windows-", "ascii", "us-ascii", "cp125")
# What follows the end of a stream is copied: of large slices, a body of many short streams would
# take a time that grows with the square of its length.
_SLICE = 4_096
_AT_ONCE = 65_536  # bytes, read or made, before other requests have their turn
_WINDOW_OF_GZIP, _WINDOW_OF_ZLIB, _WINDOW_OF_RAW = 31, 15, -15


def codings_of(scope: Scope) -> list[str]:
    """Codings of a request's body in the order in which they were applied; mostly none.

    >>> codings_of({"headers": [(b"content-encoding", b"identity, X-GZIP"), (b"te", b"br")]})
    ['x-gzip']
    """
    named = [value for name, value in scope["headers"] if name == b"content-encoding"]
    if not named:
        return named
    found = b",".join(named).decode("latin-1").lower().split(",")
    return [coding.strip() for coding in found if coding.strip() not in ("", "identity")]


def refused_codings(codings: list[str]) -> Refusal | None:
    """Refusal with status 415 of codings that are not read here."""
    unread = [coding for coding in codings if coding not in _GZIP and coding != "deflate"]
    if not unread and len(codings) <= _MOST_CODINGS:
        return None
    shown = ", ".join(codings)[:60]
    fault = "which is not read here" if unread else f"and at most {_MOST_CODINGS} are undone here"
    advice = "send it as it is, without that header, or compressed by gzip or deflate"
    if unread and unread[0].startswith(_CHARSETS):
        advice = "a charset belongs into content-type, and JSON needs none: leave that header out"
    detail = f"the body was sent with content-encoding: {shown}, {fault}; {advice}"
    return Refusal(415, "unsupported_encoding", detail, ((b"accept-encoding", ACCEPTED.encode()),))


async def decoded(body: bytes, codings: list[str], most: int) -> bytes | Refusal | None:
    """Undo the codings of a body, the last one first; ``None`` as soon as it is too large.

    Parameters
    ----------
    most : int
        Bytes that the body, and each of its stages, may have.
    """
    for coding in reversed(codings):
        if not body:
            return body
        found = await _inflated(body, coding, most)
        if not isinstance(found, bytes):
            return found
        body = found
    return body


async def _inflated(body: bytes, coding: str, most: int) -> bytes | Refusal | None:
    window = _window(body, coding)
    stream = zlib.decompressobj(window)
    parts: list[bytes] = []
    length = since_turn = 0
    for first in range(0, len(body), _SLICE):
        rest = body[first : first + _SLICE]
        since_turn += len(rest)
        full = False
        while rest or full:
            if stream.eof:
                if coding not in _GZIP or rest[0] != 0x1F:
                    return _invalid(coding, "bytes follow after its end")
                stream = zlib.decompressobj(window)  # the next of several members
            try:
                part = stream.decompress(rest, _AT_ONCE)
            except zlib.error:
                gzipped = coding in _GZIP and body.startswith(b"\x1f\x8b")
                return _invalid(
                    coding, "it is damaged" if gzipped else f"it is not in the format of {coding}"
                )
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
            full = len(part) == _AT_ONCE and not stream.eof
            parts.append(part)
            length += len(part)
            since_turn += len(part)
            if length > most:
                return None
            if since_turn >= _AT_ONCE:
                since_turn = 0
                await asyncio.sleep(0)
    if not stream.eof:
        return _invalid(coding, "it ends too early, a part of it is missing")
    return b"".join(parts)


def _window(body: bytes, coding: str) -> int:
    """The parameter of zlib: "deflate" means zlib's format, and some clients send it bare."""
    if coding in _GZIP:
        return _WINDOW_OF_GZIP
    has_head = body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
    return _WINDOW_OF_ZLIB if has_head else _WINDOW_OF_RAW


def _invalid(coding: str, fault: str) -> Refusal:
    detail = (
        f"the body was sent with content-encoding: {coding}, and {fault}; compress the whole body "
        "once, or send it as it is without that header"
    )
    return Refusal(400, "invalid_encoding", detail)
