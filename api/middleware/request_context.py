"""The context of every request: its id, its route, security headers, a count and a log line."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.head import answer_head
from api.middleware.prefix import PREFIX, put_below
from api.middleware.route_templates import RouteTemplates
from api.problems.refusals import Refusal, refuse
from api.telemetry.requests import Telemetry
from closecast.infra.logging import REQUEST_ID

log = logging.getLogger("closecast.access")

Check = Callable[[Scope, Mapping[bytes, bytes]], Refusal | None]

CALLER_LEFT = 499
"""Status that is counted and logged, never sent, if the caller hung up before an answer."""
_LOGGED_OF_A_PATH = 500
"""Characters; a caller without a key may send a path of any length."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

KEY_NAME = "closecast.key"
"""The member of an ASGI scope that holds the name of the key of a request."""

SHARING = "closecast.sharing"
"""The member of a scope that holds the headers by which pages of other origins may read."""

PREFLIGHT = "closecast.preflight"
"""The member of a scope that holds headers of the answer to a page's preflight (OPTIONS)."""

ASSETS = "/static-offline-docs/"
"""Path of the documentation's scripts and styles; open like the documentation."""

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_SHARED_WITH_NONE = ((b"cross-origin-resource-policy", b"same-origin"),)
_POLICY = b"content-security-policy"
_NOTHING = (_POLICY, b"default-src 'none'; frame-ancestors 'none'")
# Swagger UI and ReDoc start by a script inside their page, and ReDoc searches in a worker.
_DOCUMENTATION = (
    _POLICY,
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
    b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
)
_DOCUMENTED_AT = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc"})
# A shared cache keeps no answer to a request with Authorization, but it knows no X-API-Key.
_PRIVATE = (b"cache-control", b"no-store")


def routed_path(scope: Scope) -> str:
    """Path as the router compares it: without the prefix that a proxy put before it.

    >>> routed_path({"path": "/api/train", "root_path": "/api"}), routed_path({"path": "/train"})
    ('/train', '/train')
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def header(scope: Scope, name: bytes, default: bytes = b"") -> bytes:
    """Find a header of a request by its lower-case name, without copying all headers."""
    for other, value in scope["headers"]:
        if other == name:
            found: bytes = value
            return found
    return default


class RequestContext:
    """ASGI middleware around every request: id, access checks, headers, count and log line.

    It is one layer, since each further one costs every prediction a hundredth of its time.

    Parameters
    ----------
    templates : RouteTemplates
        Labels that requests are counted by; paths would be a label per symbol and job.
    checks : sequence of callables
        From a request's scope and headers, before its body is read, to a refusal or ``None``; the
        first refusal is sent. Of a header that came twice, the last value counts.
    check_query : callable
        The same, of requests with a query alone.
    prefix : str
        Prefix of the paths behind a proxy; empty for none.
    """

    def __init__(
        self,
        app: ASGIApp,
        templates: RouteTemplates,
        checks: Sequence[Check],
        check_query: Check,
        prefix: str,
    ) -> None:
        self._app = app
        self._prefix = prefix
        self._templates = templates
        self._checks = checks
        self._check_query = check_query
        self._bits = random.Random().getrandbits  # noqa: S311  # nosec B311

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent: dict[bytes, bytes] = dict(scope["headers"])
        given = sent.get(b"x-request-id", b"").decode("latin-1")
        # Unique is enough: uuid4 reads secrets of the kernel, and takes five times as long.
        request_id = given if _REQUEST_ID.fullmatch(given) else f"{self._bits(128):032x}"
        scope["request_id"] = request_id
        REQUEST_ID.set(request_id)
        came, started = time.time(), time.perf_counter()
        if self._prefix:
            put_below(scope, self._prefix, removed=False)
        if root := scope.get("root_path"):
            PREFIX.set(root)
        method = scope["method"]
        path = routed_path(scope)  # now: a mounted application moves the scope's root
        route = self._templates.of(path)
        # From the lifespan's state, which is missing if the application was never started.
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
                if status == 405:  # the router names the methods of one route among several
                    headers = [item for item in headers if item[0] != b"allow"]
                    headers.append((b"allow", self._templates.allow_at(path)))
                add_security_headers(headers, path, scope)
                message["headers"] = headers
            await send(message)

        try:
            refusal = None
            for check in self._checks:
                if (refusal := check(scope, sent)) is not None:
                    break
            if refusal is None and scope.get("query_string"):
                refusal = self._check_query(scope, sent)
            if refusal is not None:
                await refuse(scope, send_enveloped, refusal)
                return
            if method == "HEAD":
                await answer_head(self._app, scope, receive, send_enveloped)
            elif method == "OPTIONS" and (answer := self._options(path, scope)):
                await send_enveloped(answer)
                await send_enveloped({"type": "http.response.body", "body": b""})
            else:
                await self._app(scope, receive, send_enveloped)
        except Exception:
            status = 500  # also of an answer that broke off after its head
            raise
        finally:
            status = status or CALLER_LEFT
            took_s = time.perf_counter() - started
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

    def _options(self, path: str, scope: Scope) -> Message | None:
        """Head of the answer to OPTIONS: the methods of a path; ``None`` where nothing is."""
        allowed = self._templates.allow_at(path)
        preflight = scope.get(PREFLIGHT)
        if not allowed and preflight is None:
            return None
        headers = [(b"allow", allowed)]
        if preflight is not None:
            headers += (*preflight, (b"access-control-allow-methods", allowed or b"GET"))
        return {"type": "http.response.start", "status": 204, "headers": headers}


def headers_of_a_problem(scope: Scope) -> dict[str, str]:
    """Security headers of an answer that is sent outside of :class:`RequestContext`."""
    headers = (*_ALWAYS, _NOTHING, *scope.get(SHARING, _SHARED_WITH_NONE))
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def add_security_headers(headers: list[tuple[bytes, bytes]], path: str, scope: Scope) -> None:
    """Add security headers to those of an answer; a page's own policy stays.

    Parameters
    ----------
    path : str
        As the router compared it.
    """
    given = {name for name, _ in headers}
    headers += _ALWAYS
    headers += scope.get(SHARING, _SHARED_WITH_NONE)
    if _POLICY not in given:
        headers.append(_policy_at(path))
    if KEY_NAME in scope and b"cache-control" not in given:
        headers.append(_PRIVATE)


def _policy_at(path: str) -> tuple[bytes, bytes]:
    return _DOCUMENTATION if path in _DOCUMENTED_AT or path.startswith(ASSETS) else _NOTHING
