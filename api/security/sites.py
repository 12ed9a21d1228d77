"""Sites: by which host a request came, and the origin of the page that sent it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.types import Scope

from api.middleware.request_context import PREFLIGHT, SHARING, routed_path
from api.problems.refusals import Headers, Refusal
from api.security.hosts import KnownHosts, came_to_loopback
from api.security.proxies import FORWARDED_HOST
from closecast.infra.addresses import is_loopback
from closecast.infra.api_keys import KeyStore
from closecast.settings import Settings
from closecast.settings.addresses import canonical_origin

ANY_PAGE = "closecast.any_page"
"""Member of a scope: the page that sent the request is allowed by ``*`` alone."""

HEALTH = frozenset({"/health/live", "/health/ready"})
"""Paths that probes ask for by any address."""

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

EXPOSED = (
    *("X-Request-ID", "X-Model-Version", "X-Model-Generation", "X-Calibration-Revision"),
    *("Location", "ETag", "Retry-After", "Allow", "WWW-Authenticate", "Content-Disposition"),
    "Link",
)
"""Headers of answers that pages of other origins may read beside those that all may."""

_EXPOSE = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())
_VARY = (b"vary", b"Origin")
_ANYWHERE = (b"cross-origin-resource-policy", b"cross-origin")
_HERE_ONLY = (b"cross-origin-resource-policy", b"same-origin")
_PREFLIGHT_S = b"600"
_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2000}")


class SiteCheck:
    """Refuse what a page of another site makes a browser send, unless a setting allows it.

    Without keys a service on loopback is open: by a name that leads here (DNS rebinding)
    any open page could read it, and by a form retrain it. Every prediction passes here.
    """

    def __init__(self, settings: Settings, keys: KeyStore) -> None:
        self._keys = keys
        self._hosts = KnownHosts(settings.allowed_hosts)
        self._on_loopback = is_loopback(settings.host)
        self._any_host = not (self._hosts.named or self._on_loopback)
        origins = [origin for origin in settings.cors_origins.split(",") if origin]
        self._any_origin = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins) - {b"*"}
        self._shares = bool(origins)

    def __call__(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Refusal of a request; ``None`` if it may pass."""
        refusal = self._by_origin(scope, headers)
        host = headers.get(b"host")
        known = host is not None and (self._any_host or host in self._hosts)
        if known and len(headers) == len(scope["headers"]):  # none of them twice
            return refusal
        return self._by_host(scope, host) or refusal

    # -- host --------------------------------------------------------------------------------

    def _by_host(self, scope: Scope, host: bytes | None) -> Refusal | None:
        if host is None:  # HTTP/1.0 needs none, and no browser speaks it
            return _NO_HOST if scope.get("http_version") == "1.1" else None
        if sum(name == b"host" for name, _ in scope["headers"]) > 1:
            return _SEVERAL_HOSTS
        if host in self._hosts or not host or not self._names_count(scope):
            return None
        also = f", and by CLOSECAST_ALLOWED_HOSTS {self._hosts.named}" * bool(self._hosts.named)
        return Refusal(
            421,
            "unknown_host",
            f"this service is not known as {host.decode('latin-1')[:100]!r}: it is as localhost "
            f"and other loopback addresses{also}. Other names (of a container, a tunnel, a proxy) "
            "belong into the setting CLOSECAST_ALLOWED_HOSTS",
        )

    def _names_count(self, scope: Scope) -> bool:
        """True if the host has to be a known one: see decision 31."""
        if routed_path(scope) in HEALTH:
            return False
        if self._hosts.named:
            return True
        return self._on_loopback and came_to_loopback(scope) and not self._keys.are_there

    # -- origin ------------------------------------------------------------------------------

    def _by_origin(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Refusal | None:
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if origin is None:
            if self._shares:
                scope[SHARING] = (_ANYWHERE, _VARY)
            foreign = site in (b"cross-site", b"same-site") and scope["method"] not in READING
            return _CROSS_SITE if foreign else None
        asks = scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
        if self._any_origin or origin in self._origins:
            self._share(scope, headers, origin, asks)
            return None
        if self._shares:
            scope[SHARING] = (_HERE_ONLY, _VARY)
        if site == b"same-origin" or _is_own(scope, headers, origin):
            return None
        if asks or scope["method"] not in READING or not self._keys.are_there:
            return _foreign(origin)
        return None  # without a key the guard refuses it, with one no browser shows it to the page

    def _share(
        self, scope: Scope, headers: Mapping[bytes, bytes], origin: bytes, asks: bool
    ) -> None:
        named = origin in self._origins
        scope[ANY_PAGE] = not named
        allowed = (b"access-control-allow-origin", origin if named else b"*")
        scope[SHARING] = (_ANYWHERE, _VARY, allowed, _EXPOSE)
        if asks:
            scope[PREFLIGHT] = _preflight(headers)


def _is_own(scope: Scope, headers: Mapping[bytes, bytes], origin: bytes) -> bool:
    """True for the origin of the service's own pages, as the client reached them."""
    host = scope.get(FORWARDED_HOST) or headers.get(b"host", b"")
    own = canonical_origin(f"{scope.get('scheme', 'http')}://{host.decode('latin-1')}")
    return own is not None and own == canonical_origin(origin.decode("latin-1"))


def _preflight(headers: Mapping[bytes, bytes]) -> Headers:
    """Headers of the answer to a preflight. Any header may come: none of them is a permission."""
    found = [
        (b"access-control-max-age", _PREFLIGHT_S),
        (b"vary", b"Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    asked = headers.get(b"access-control-request-headers", b"")
    if _NAMES.fullmatch(asked):
        found.append((b"access-control-allow-headers", asked))
    if headers.get(b"access-control-request-private-network") == b"true":
        found.append((b"access-control-allow-private-network", b"true"))
    return tuple(found)


def _foreign(origin: bytes) -> Refusal:
    return Refusal(
        403,
        "cross_site_request",
        f"pages of {origin.decode('latin-1')[:100]!r} may not call this: name that origin in "
        "CLOSECAST_CORS_ORIGINS to allow it. (Behind a proxy, pages of the service itself are "
        "known as such if it passes Host on, and its address is in CLOSECAST_TRUSTED_PROXIES)",
    )


_CROSS_SITE = Refusal(
    403,
    "cross_site_request",
    "pages of other sites may not call this; CLOSECAST_CORS_ORIGINS names those that may",
)
_NO_HOST = Refusal(400, "invalid_host", "an HTTP/1.1 request needs a header Host")
_SEVERAL_HOSTS = Refusal(400, "invalid_host", "a request has one header Host, not several")
