"""Limits on request bodies, compressed or not: size, time of arrival and depth of JSON."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.body_coding import codings_of, decoded, refused_codings
from api.middleware.negotiation import NDJSON
from api.middleware.request_context import header, routed_path
from api.problems.refusals import Refusal, refuse
from closecast.infra.json_depth import NestingScanner, nests_deeper

_BATCH = "/predict/batch"
MOST_JSON_OF_A_BATCH = 262_144
"""Bytes of a batch that is one JSON document, parsed without a pause in a few milliseconds."""
_UTF8_MARK = b"\xef\xbb\xbf"
_AT_ONCE = 65_536  # bytes scanned before other requests have their turn: less than a millisecond


class BodyLimit:
    """ASGI middleware that refuses large, slow and deeply nested bodies before they are parsed.

    What the application gets is not compressed, and has no byte order mark before its UTF-8.

    Parameters
    ----------
    max_bytes : int
        Largest body, as it came and after it was inflated, also when no length was announced.
    max_batch_bytes : int
        The same of ``POST /predict/batch`` in lines; a JSON document may have 256 kB of it.
    max_depth : int
        Deepest JSON.
    timeout_s : float
        Seconds for the body to arrive in.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        max_batch_bytes: int,
        max_depth: int,
        timeout_s: float,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_batch_bytes = max_batch_bytes
        self._max_depth = max_depth
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        most, advice = self._max_bytes, _OF_ONE
        if routed_path(scope) == _BATCH:
            most, advice = self._max_batch_bytes, _OF_LINES
            if not header(scope, b"content-type").lower().startswith(NDJSON.encode()):
                most, advice = min(most, MOST_JSON_OF_A_BATCH), _OF_JSON
        codings = codings_of(scope) if header(scope, b"content-encoding") else []
        if codings and (refusal := refused_codings(codings)):
            await refuse(scope, send, refusal)
            return
        announced = header(scope, b"content-length")
        # Python refuses to read a number of thousands of digits.
        if announced.isdigit() and (len(announced) > 18 or int(announced) > most):
            await refuse(scope, send, _too_large(most, advice))
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._read_whole(receive, most, advice, codings)
        except TimeoutError:
            detail = f"the body did not arrive within {self._timeout_s:g} s"
            await refuse(scope, send, Refusal(408, "body_too_slow", detail))
            return
        except ClientDisconnect:
            return
        if isinstance(body, Refusal):
            await refuse(scope, send, body)
            return
        if not body and (announced.strip(b"0") or header(scope, b"transfer-encoding")):
            # Where a body may be left out, none is another request than one that was lost.
            await refuse(scope, send, _LOST)
            return
        if body.startswith(_UTF8_MARK):
            body = body[len(_UTF8_MARK) :]
        if codings:
            scope["headers"] = _without_coding(scope, len(body))
        delivered = False

        async def replay() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read_whole(
        self, receive: Receive, most: int, advice: str, codings: list[str]
    ) -> bytes | Refusal:
        """Receive the whole body, or find the reason to refuse it as soon as there is one."""
        parts: list[bytes] = []
        length = 0
        nesting: NestingScanner | None = None
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            part: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            length += len(part)
            if length > most:
                return _too_large(most, advice)
            if codings:
                parts.append(part)
                if not more:
                    return await self._inflate(b"".join(parts), most, advice, codings)
                continue
            if not more and not parts and length <= _AT_ONCE:  # nearly all are so small
                brackets = part.count(b"[") + part.count(b"{")
                if brackets > self._max_depth and nests_deeper(part, self._max_depth):
                    return _too_deep(self._max_depth)
                return part
            nesting = nesting or NestingScanner(self._max_depth)
            if await _nests_too_deep(part, nesting):
                return _too_deep(self._max_depth)
            parts.append(part)
            if not more:
                body = b"".join(parts)
                await asyncio.sleep(0)
                return body

    async def _inflate(
        self, body: bytes, most: int, advice: str, codings: list[str]
    ) -> bytes | Refusal:
        found = await decoded(body, codings, most)
        if found is None:
            return _too_large(most, advice, " after it is inflated")
        if isinstance(found, bytes) and await _nests_too_deep(
            found, NestingScanner(self._max_depth)
        ):
            return _too_deep(self._max_depth)
        return found


async def _nests_too_deep(part: bytes, nesting: NestingScanner) -> bool:
    for first in range(0, len(part), _AT_ONCE):
        if nesting.feed(part[first : first + _AT_ONCE]):
            return True
        await asyncio.sleep(0)
    return False


def _without_coding(scope: Scope, length: int) -> list[tuple[bytes, bytes]]:
    """Headers of a request that fit its body as it is passed on."""
    coded = (b"content-encoding", b"content-length")
    kept = [item for item in scope["headers"] if item[0] not in coded]
    return [*kept, (b"content-length", b"%d" % length)]


_OF_ONE = "a window of closes needs a few thousand"
_OF_JSON = "send a larger batch as application/x-ndjson, one window per line"
_OF_LINES = "send it as several batches"


_LOST = Refusal(
    400,
    "body_lost",
    "the headers announce a body, and it arrived empty; to send none, leave out "
    "`Transfer-Encoding`",
)


def _too_large(most: int, advice: str, when: str = "") -> Refusal:
    detail = f"the body is larger than {most} bytes{when}; {advice}"
    return Refusal(413, "body_too_large", detail)


def _too_deep(limit: int) -> Refusal:
    detail = (
        f"the body has more than {limit} brackets inside each other; "
        "no request needs more than a few"
    )
    return Refusal(400, "json_too_deep", detail)
