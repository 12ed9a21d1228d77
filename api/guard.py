"""Who may pass: keys, scopes and rates, before anything reads the body."""

from __future__ import annotations

import math
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import KEY_NAME, needed_scope
from api.locality import address_of, is_local, is_loopback
from api.middleware import send_problem
from api.rates import Rate
from api.route_templates import routed_path
from closecast.keys import ApiKey, KeyStore
from closecast.settings import Settings

_CREATE = "`closecast keys create NAME --scope admin`"


class _Refusal(NamedTuple):
    status: int
    code: str
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Guard:
    """Asks for a key where there are keys; without any, lets only this machine change something.

    It is on the way of every prediction: no request objects, nothing parsed that is not needed.
    """

    def __init__(self, app: ASGIApp, settings: Settings, keys: KeyStore) -> None:
        self._app = app
        self._keys = keys
        self._on_loopback = is_loopback(settings.host)
        self._rate = Rate(settings.rate_limit) if settings.rate_limit else None
        self._training = Rate(settings.rate_limit_train) if settings.rate_limit_train else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            status, code, detail, headers = refusal
            # The body was not read: whatever is left of it must not be taken for a request.
            await send_problem(scope, send, status, code, detail, close=True, headers=headers)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> _Refusal | None:
        method, path = scope["method"], routed_path(scope)
        needed = needed_scope(method, path)
        if needed == "nothing":
            return self._too_often(self._rate, scope, None) if path not in _HEALTH else None
        key, refused = None, None
        if self._keys.any:
            token = _token(scope)
            key = self._keys.find(token) if token else None
            if key is None:
                refused = _NO_KEY if not token else _UNKNOWN_KEY
            elif needed == "admin" and key.scope != "admin":
                refused = _Refusal(
                    403,
                    "scope_too_small",
                    f"the key {key.name} may read; {method} {path[:100]} needs one with the scope "
                    f"admin: {_CREATE} makes one",
                )
            else:
                scope[KEY_NAME] = key.name
        elif needed == "admin" and not (self._on_loopback and is_local(scope)):
            refused = _NEEDS_KEY
        # Before a refusal is sent: guessing counts, too.
        if (limited := self._too_often(self._rate, scope, key)) or refused:
            return limited or refused
        if method == "POST" and path == "/train":
            return self._too_often(self._training, scope, key)
        return None

    def _too_often(self, rate: Rate | None, scope: Scope, key: ApiKey | None) -> _Refusal | None:
        if rate is None:
            return None
        wait_s = rate.wait_s(f"key:{key.name}" if key else address_of(scope))
        if not wait_s:
            return None
        seconds = max(1, math.ceil(wait_s))
        whose = f"the key {key.name}" if key else "your address"
        return _Refusal(
            429,
            "rate_limited",
            f"{whose} may send {rate.text} here; try again in {seconds} s",
            ((b"retry-after", str(seconds).encode()),),
        )


_HEALTH = frozenset({"/health/live", "/health/ready"})
_CHALLENGE = ((b"www-authenticate", b'Bearer realm="closecast"'),)
_NO_KEY = _Refusal(
    401,
    "key_needed",
    "send an API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`",
    _CHALLENGE,
)
_UNKNOWN_KEY = _Refusal(
    401,
    "unknown_key",
    "this API key is not known here, or was revoked",
    ((b"www-authenticate", b'Bearer realm="closecast", error="invalid_token"'),),
)
_NEEDS_KEY = _Refusal(
    403,
    "admin_needs_key",
    "without API keys, only programs on the machine itself may change something, and only while "
    f"the service listens on a loopback address: {_CREATE} on that machine makes a key",
)


def _token(scope: Scope) -> bytes:
    """The token that came with a request, or nothing."""
    token = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, rest = value.partition(b" ")
            return rest.strip() if kind.lower() == b"bearer" else b""
        if name == b"x-api-key":
            token = value
    return token
