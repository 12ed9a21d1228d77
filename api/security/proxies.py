"""Proxies: signs that a request came through one, and the headers of those that are trusted."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.middleware.prefix import PREFIX, put_below
from closecast.settings.addresses import path_prefix, split_host

SIGNS = frozenset(
    {
        *(b"forwarded", b"via"),  # RFC 7239; RFC 9110, 7.6.3
        b"cdn-loop",  # RFC 8586: every CDN adds it
        *(b"x-real-ip", b"client-ip", b"x-client-ip", b"forwarded-for", b"x-forwarded"),  # nginx, …
        *(b"true-client-ip", b"cf-connecting-ip", b"cf-connecting-ipv6"),  # Akamai, Cloudflare
        b"fastly-client-ip",  # Fastly, Firebase
        *(b"x-cluster-client-ip", b"x-proxyuser-ip"),  # Rackspace, Riverbed
        *(b"proxy-client-ip", b"wl-proxy-client-ip"),  # WebLogic
        *(b"fly-client-ip", b"do-connecting-ip", b"x-nf-client-connection-ip"),  # Fly, …, Netlify
        b"x-rewrite-url",  # IIS
    }
)
"""Headers that only a proxy, a balancer or a CDN adds. A browser's page and a program do not."""

SIGNS_BEGIN = (
    b"x-forwarded-",
    b"x-original-",  # ingress-nginx, Azure: -forwarded-for, -host, -url
    b"x-envoy-",
    b"x-azure-",
    b"x-appengine-",
    b"x-arr-",  # IIS
    b"fly-forwarded-",
    b"tailscale-",
)
"""Beginnings of such headers."""

FORWARDED_HOST = "closecast.forwarded_host"
"""Member of a scope: the host by which a client called a trusted proxy (bytes)."""


def came_through_a_proxy(names: Iterable[bytes]) -> bool:
    """True if one of the headers of a request (lower case) is one that proxies add."""
    return any(name in SIGNS or name.startswith(SIGNS_BEGIN) for name in names)


class TrustedProxies:
    """ASGI middleware that takes client, scheme, host and prefix from the headers of known proxies.

    Parameters
    ----------
    trusted : str
        Addresses and networks of proxies, with commas between them.
    takes_prefix : bool
        False where the prefix is a setting.
    """

    def __init__(self, app: ASGIApp, trusted: str, takes_prefix: bool) -> None:
        self._inner = ProxyHeadersMiddleware(app, trusted_hosts=trusted)  # type: ignore[arg-type]
        self._takes_prefix = takes_prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            PREFIX.set("")  # one request of a connection may have one, the next none
            client = scope.get("client")
            if client and client[0] in self._inner.trusted_hosts:
                self._read(scope)
        await self._inner(scope, receive, send)  # type: ignore[arg-type]

    def _read(self, scope: Scope) -> None:
        removed: list[str | None] = []  # each of several proxies took its own part away
        for name, value in scope["headers"]:
            if name == b"x-forwarded-host":  # of several, the one that the nearest proxy added
                host = value.rpartition(b",")[2].strip()
                if split_host(host.decode("latin-1")) is not None:
                    scope[FORWARDED_HOST] = host
            elif name == b"x-forwarded-prefix" and self._takes_prefix:
                removed += (
                    path_prefix(part.strip()) for part in value.decode("latin-1").split(",")
                )
        prefix = "".join(part or "" for part in removed)
        if prefix and None not in removed:
            put_below(scope, prefix, removed=True)
