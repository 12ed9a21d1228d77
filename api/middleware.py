"""What surrounds every request: an id, limits on the body, one log line."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import time
from collections.abc import Iterable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import MEDIA_TYPE, problem_document
from api.json_depth import nests_deeper
from api.route_templates import RouteTemplates, routed_path
from api.telemetry import Telemetry
from closecast.logs import REQUEST_ID

log = logging.getLogger("closecast.access")

CALLER_LEFT = 499
"""Counted and logged where the caller hung up before there was an answer; nobody is sent it."""
_BATCH = "/predict/batch"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestEnvelope:
    """Gives each request an id, counts it, logs how it ended.

    Parameters
    ----------
    templates : RouteTemplates
        What requests are counted by; a path itself would be a label per symbol and job.
    """

    def __init__(self, app: ASGIApp, templates: RouteTemplates) -> None:
        self._app = app
        self._route_of = templates.of
        self._bits = random.Random().getrandbits  # noqa: S311  # nosec B311

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = _header(scope, b"x-request-id", b"").decode("latin-1")
        # Unique is enough: uuid4 asks the kernel for secrets, and takes five times as long.
        request_id = given if _REQUEST_ID.fullmatch(given) else f"{self._bits(128):032x}"
        scope["request_id"] = request_id
        REQUEST_ID.set(request_id)
        came, started = time.time(), time.perf_counter()
        route = self._route_of(routed_path(scope))
        # Of the lifespan's state: there is none where the application was never started.
        telemetry: Telemetry | None = scope.get("state", {}).get("telemetry")
        if telemetry is not None:
            telemetry.begin(route)
        status, version = 0, ""

        async def send_with_id(message: Message) -> None:
            nonlocal status, version
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [(b"x-request-id", request_id.encode())]
                for header in message.get("headers", ()):
                    if header[0] == b"x-model-version":
                        version = header[1].decode("latin-1")
                    if header[0] != b"x-request-id":
                        headers.append(header)
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            status = status or 500
            raise
        finally:
            status = status or CALLER_LEFT
            took_s = time.perf_counter() - started
            method = scope["method"]
            if telemetry is not None:
                telemetry.end(came, request_id, method, route, status, took_s, version)
            if log.isEnabledFor(logging.INFO):
                log.info(
                    "request",
                    extra={
                        "request_id": request_id,
                        "method": method,
                        "path": scope["path"],
                        "status": status,
                        "ms": round(1000 * took_s, 2),
                    },
                )


class SameOrigin:
    """Refuses what a page of another site makes a browser send here.

    A service on loopback has no password; without this any open web page could retrain it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            from_site = _header(scope, b"sec-fetch-site", b"none")
            if from_site in (b"cross-site", b"same-site"):
                await send_problem(
                    scope, send, 403, "cross_site_request", "pages of other sites may not call this"
                )
                return
        await self._app(scope, receive, send)


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
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        # Python refuses to read a number of thousands of digits.
        if announced.isdigit() and (len(announced) > 18 or int(announced) > most):
            await _refuse_large(scope, send, most)
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await _read_whole(receive, most)
        except TimeoutError:
            detail = f"the body did not arrive within {self._timeout_s:g} s"
            await send_problem(scope, send, 408, "body_too_slow", detail, close=True)
            return
        except ClientDisconnect:
            return
        if body is None:
            await _refuse_large(scope, send, most)
            return
        if nests_deeper(body, self._max_depth):
            detail = (
                f"the body has more than {self._max_depth} brackets inside each other; "
                "no request needs more than a few"
            )
            await send_problem(scope, send, 400, "json_too_deep", detail)
            return
        delivered = False

        async def replay() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)


async def _read_whole(receive: Receive, most: int) -> bytes | None:
    """The body, so that the application never sees half of one; ``None`` if it is too large."""
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        length += len(part)
        if length > most:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _refuse_large(scope: Scope, send: Send, most: int) -> None:
    detail = f"the body is larger than {most} bytes; a window of closes needs a few thousand"
    await send_problem(scope, send, 413, "body_too_large", detail, close=True)


def _header(scope: Scope, name: bytes, default: bytes) -> bytes:
    """A header by its lower-case name, without copying all of them."""
    for other, value in scope["headers"]:
        if other == name:
            found: bytes = value
            return found
    return default


async def send_problem(
    scope: Scope,
    send: Send,
    status: int,
    code: str,
    detail: str,
    *,
    close: bool = False,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """A problem document from below the application."""
    content = json.dumps(problem_document(status, code, detail, scope.get("request_id"))).encode()
    sent = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(content)).encode()),
        *headers,
    ]
    if close:
        sent.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": content})
