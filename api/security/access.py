"""Access: the scope that each route needs, API keys and rates, before a body is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from starlette.types import Scope

from api.middleware.request_context import ASSETS, KEY_NAME, PREFLIGHT, routed_path
from api.problems.refusals import Refusal
from api.security.locality import address_of, is_local
from api.security.rate_limit import RateLimit
from api.security.sites import ANY_PAGE, HEALTH, READING
from closecast.infra.addresses import is_loopback
from closecast.infra.api_keys import ApiKey, KeyStore
from closecast.infra.api_keys import Scope as KeyScope
from closecast.settings import Settings

Needed = KeyScope | Literal["nothing"]

CHANGING: Mapping[tuple[str, str], KeyScope] = {
    ("POST", "/predict"): "read",
    ("POST", "/predict/batch"): "read",
    ("POST", "/drift"): "read",
    ("POST", "/train"): "admin",
    ("DELETE", "/train/{job_id}"): "admin",
    ("POST", "/config"): "admin",
    ("POST", "/prices/{symbol}/accept"): "admin",
    ("POST", "/model/reload"): "admin",
    ("POST", "/model/promote"): "admin",
    ("POST", "/model/rollback"): "admin",
}
"""Scope that each route needs whose method may change something."""

OPEN = HEALTH | {"/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"}
"""Paths that need no key: liveness, and the documentation."""

_READ_BY_POST = frozenset(
    path for (method, path), scope in CHANGING.items() if method == "POST" and scope == "read"
)

_CREATE = "`closecast keys create NAME --scope admin`"


def needed_scope(method: str, path: str) -> Needed:
    """Scope that a request needs.

    Only spellings that the router takes for a route of the table can need less than ``admin``:
    a path that is written otherwise (``//predict``, ``/PREDICT``, ``/predict/``) is in no list.

    >>> needed_scope("POST", "/predict"), needed_scope("POST", "//predict")
    ('read', 'admin')
    """
    if method in READING:
        return "nothing" if path in OPEN or path.startswith(ASSETS) else "read"
    return "read" if method == "POST" and path in _READ_BY_POST else "admin"


def caller_name(scope: Scope, by: str | None) -> str:
    """Name of a caller for a history: as given, its API key, or its address."""
    if key := scope.get(KEY_NAME):
        return f"{by} (key {key})" if by else f"key:{key}"
    client = scope.get("client")
    return by or f"api:{client[0] if client else 'unknown'}"


class Guard:
    """Check API key, scope and rate of a request; without any keys, its origin.

    Once keys exist, every request needs one. Before, only programs on this machine may change
    something. Every prediction passes here: no request objects, nothing parsed without need.
    """

    def __init__(self, settings: Settings, keys: KeyStore) -> None:
        self._keys = keys
        self._on_loopback = is_loopback(settings.host)
        self._rate = RateLimit(settings.rate_limit) if settings.rate_limit else None
        self._training = RateLimit(settings.rate_limit_train) if settings.rate_limit_train else None

    def __call__(self, scope: Scope, _headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Refusal of a request; ``None`` if it may pass."""
        method, path = scope["method"], routed_path(scope)
        if method == "OPTIONS" and PREFLIGHT in scope:  # a browser sends none of the page's keys
            return None
        needed = needed_scope(method, path)
        if needed == "nothing":
            return self._too_often(self._rate, scope, None) if path not in HEALTH else None
        key, refused = None, None
        if self._keys.are_there:
            token = _token(scope)
            key = self._keys.find(token) if token else None
            if key is None:
                refused = _NO_KEY if not token else _UNKNOWN_KEY
            elif needed == "admin" and key.scope != "admin":
                refused = Refusal(
                    403,
                    "scope_too_small",
                    f"the key {key.name} may read; {method} {path[:100]} needs one with the scope "
                    f"admin: {_CREATE} makes one",
                )
            else:
                scope[KEY_NAME] = key.name
        elif needed == "admin" and (
            not (self._on_loopback and is_local(scope)) or scope.get(ANY_PAGE)
        ):
            refused = _NEEDS_KEY
        # Before a refusal is sent: guessing counts, too.
        if (limited := self._too_often(self._rate, scope, key)) or refused:
            return limited or refused
        if method == "POST" and path == "/train":
            return self._too_often(self._training, scope, key)
        return None

    def _too_often(
        self, rate: RateLimit | None, scope: Scope, key: ApiKey | None
    ) -> Refusal | None:
        if rate is None:
            return None
        wait_s = rate.wait_s(f"key:{key.name}" if key else address_of(scope))
        if not wait_s:
            return None
        seconds = max(1, math.ceil(wait_s))
        whose = f"the key {key.name}" if key else "your address"
        return Refusal(
            429,
            "rate_limited",
            f"{whose} may send {rate.text} here; try again in {seconds} s",
            ((b"retry-after", str(seconds).encode()),),
        )


_CHALLENGE = ((b"www-authenticate", b'Bearer realm="closecast"'),)
_NO_KEY = Refusal(
    401,
    "key_needed",
    "send an API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`",
    _CHALLENGE,
)
_UNKNOWN_KEY = Refusal(
    401,
    "unknown_key",
    "this API key is not known here, or was revoked: compare it with the one that was shown "
    "once, or have another one made",
    ((b"www-authenticate", b'Bearer realm="closecast", error="invalid_token"'),),
)
_NEEDS_KEY = Refusal(
    403,
    "admin_needs_key",
    "without API keys, only programs on the machine itself may change something, and only while "
    f"the service listens on a loopback address: {_CREATE} on that machine makes a key",
)


def _token(scope: Scope) -> bytes:
    """Token that came with a request; empty without one."""
    token = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, rest = value.partition(b" ")
            if kind.lower() == b"bearer":  # another kind is a proxy's, and no key of ours
                return bytes(rest.strip())
        elif name == b"x-api-key":
            token = value
    return token
