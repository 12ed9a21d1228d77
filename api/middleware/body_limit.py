"""Limits on bodies: none that is large, slow or deep reaches the application."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.route_templates import routed_path
from api.problems.refusals import Refusal, header, refuse
from closecast.infra.json_depth import NestingScanner, nests_deeper

_BATCH = "/predict/batch"
_AT_ONCE = 65_536  # bytes that are looked at before others have their turn: less than a millisecond


class BodyLimit:
    """Refuses bodies that are large, slow or deep before anything parses them.

    Parameters
    ----------
    max_bytes, max_batch_bytes : int
        Largest body, also when no length was announced; of ``POST /predict/batch``.
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
        most = self._max_batch_bytes if routed_path(scope) == _BATCH else self._max_bytes
        announced = header(scope, b"content-length", b"0")
        # Python refuses to read a number of thousands of digits.
        if announced.isdigit() and (len(announced) > 18 or int(announced) > most):
            await refuse(scope, send, _too_large(most))
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._read_whole(receive, most)
        except TimeoutError:
            detail = f"the body did not arrive within {self._timeout_s:g} s"
            await refuse(scope, send, Refusal(408, "body_too_slow", detail))
            return
        except ClientDisconnect:
            return
        if isinstance(body, Refusal):
            await refuse(scope, send, body)
            return
        delivered = False

        async def replay() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read_whole(self, receive: Receive, most: int) -> bytes | Refusal:
        """The body, so that the application never sees half of one, or why not; at once then."""
        parts: list[bytes] = []
        length = 0
        nesting = NestingScanner(self._max_depth)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            part = message.get("body", b"")
            more = message.get("more_body", False)
            length += len(part)
            if length > most:
                return _too_large(most)
            if not more and not parts and length <= _AT_ONCE:  # nearly all are so small
                return _too_deep(self._max_depth) if nests_deeper(part, self._max_depth) else part
            for first in range(0, len(part), _AT_ONCE):
                if nesting.feed(part[first : first + _AT_ONCE]):
                    return _too_deep(self._max_depth)
                await asyncio.sleep(0)
            parts.append(part)
            if not more:
                body = b"".join(parts)
                await asyncio.sleep(0)
                return body


def _too_large(most: int) -> Refusal:
    detail = f"the body is larger than {most} bytes; a window of closes needs a few thousand"
    return Refusal(413, "body_too_large", detail)


def _too_deep(limit: int) -> Refusal:
    detail = (
        f"the body has more than {limit} brackets inside each other; "
        "no request needs more than a few"
    )
    return Refusal(400, "json_too_deep", detail)
