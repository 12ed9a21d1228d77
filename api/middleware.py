"""What surrounds every request: an id, a limit on the body, one log line."""

from __future__ import annotations

import json
import logging
import random
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import MEDIA_TYPE, problem_document
from api.route_templates import RouteTemplates
from api.telemetry import Telemetry
from closecast.logs import REQUEST_ID

log = logging.getLogger("closecast.access")

CALLER_LEFT = 499
"""Counted and logged where the caller hung up before there was an answer; nobody is sent it."""
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
        self._bits = random.Random().getrandbits  # noqa: S311

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
        route = self._route_of(scope["path"])
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
    """Refuses large bodies before anything parses them, also when no length was announced."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        announced = _header(scope, b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await self._refuse(scope, send)
            return
        # Read it whole (it is small), so that the application never sees half a body.
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                await self._refuse(scope, send)
                return
            if not message.get("more_body", False):
                break
        delivered = False

        async def replay() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _refuse(self, scope: Scope, send: Send) -> None:
        detail = (
            f"the body is larger than {self._max_bytes} bytes; "
            "a window of closes needs a few thousand"
        )
        await send_problem(scope, send, 413, "body_too_large", detail, close=True)


def _header(scope: Scope, name: bytes, default: bytes) -> bytes:
    """A header by its lower-case name, without copying all of them."""
    for other, value in scope["headers"]:
        if other == name:
            found: bytes = value
            return found
    return default


async def send_problem(
    scope: Scope, send: Send, status: int, code: str, detail: str, *, close: bool = False
) -> None:
    """A problem document from below the application."""
    content = json.dumps(problem_document(status, code, detail, scope.get("request_id"))).encode()
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(content)).encode()),
    ]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
