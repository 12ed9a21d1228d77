"""What surrounds every request: an id, whether it may pass, what browsers are told, a log line."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.route_templates import RouteTemplates, routed_path
from api.problems.refusals import Refusal, header, refuse
from api.security.headers import add_security_headers
from api.telemetry.requests import Telemetry
from closecast.infra.logging import REQUEST_ID

log = logging.getLogger("closecast.access")

Check = Callable[[Scope], Refusal | None]

CALLER_LEFT = 499
"""Counted and logged where the caller hung up before there was an answer; nobody is sent it."""
_LOGGED_OF_A_PATH = 500
"""Characters; a path may be as long as whoever calls likes, without a key, too."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestContext:
    """Gives each request an id, asks whether it may pass, counts it, logs how it ended.

    One layer for all of that: each more would cost every prediction a hundredth of its time.

    Parameters
    ----------
    templates : RouteTemplates
        What requests are counted by; a path itself would be a label per symbol and job.
    checks : sequence of callables
        Say of a request's scope why it is refused, in turn; its body was not read yet.
    """

    def __init__(self, app: ASGIApp, templates: RouteTemplates, checks: Sequence[Check]) -> None:
        self._app = app
        self._route_of = templates.of
        self._checks = checks
        self._bits = random.Random().getrandbits  # noqa: S311  # nosec B311

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = header(scope, b"x-request-id").decode("latin-1")
        # Unique is enough: uuid4 asks the kernel for secrets, and takes five times as long.
        request_id = given if _REQUEST_ID.fullmatch(given) else f"{self._bits(128):032x}"
        scope["request_id"] = request_id
        REQUEST_ID.set(request_id)
        came, started = time.time(), time.perf_counter()
        path = routed_path(scope)  # now: a mounted application moves the scope's root
        route = self._route_of(path)
        # Of the lifespan's state: there is none where the application was never started.
        telemetry: Telemetry | None = scope.get("state", {}).get("telemetry")
        if telemetry is not None:
            telemetry.begin(route)
        status, version = 0, ""

        async def send_enveloped(message: Message) -> None:
            nonlocal status, version
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [(b"x-request-id", request_id.encode())]
                for item in message.get("headers", ()):
                    if item[0] == b"x-model-version":
                        version = item[1].decode("latin-1")
                    if item[0] != b"x-request-id":
                        headers.append(item)
                add_security_headers(headers, path, scope)
                message["headers"] = headers
            await send(message)

        try:
            for check in self._checks:
                if (refusal := check(scope)) is not None:
                    await refuse(scope, send_enveloped, refusal)
                    return
            await self._app(scope, receive, send_enveloped)
        except Exception:
            status = 500  # also of an answer that broke off after its head
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
                        "path": scope["path"][:_LOGGED_OF_A_PATH],
                        "status": status,
                        "ms": round(1000 * took_s, 2),
                    },
                )
