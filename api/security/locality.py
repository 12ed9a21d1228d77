"""Origin of a request: a program on this machine, or an address on the network."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address

from starlette.types import Scope

from api.security.proxies import came_through_a_proxy
from closecast.infra.addresses import is_loopback
from closecast.settings.addresses import split_host


def is_local(scope: Scope) -> bool:
    """True for a request sent directly by a program on this machine.

    A request is not local if it came through a proxy, configured or not: one on this machine
    makes every client look local. Nor is a request local that names another host than a loopback
    one: a page of another site can make its own name lead here (DNS rebinding).
    """
    host = b""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value
    named = split_host(host.decode("latin-1"))
    ends = (scope.get("client"), scope.get("server"))
    return (
        named is not None
        and is_loopback_name(named[0])
        and all(map(is_here, ends))
        and not came_through_a_proxy(name for name, _ in scope["headers"])
    )


def is_loopback_name(name: str) -> bool:
    """True for the name of a ``Host``, in lower case, that always leads to the client's machine.

    Names below ``localhost`` belong to no domain (RFC 6761, 6.3).

    >>> is_loopback_name("app.localhost"), is_loopback_name("[::1]"), is_loopback_name("x.example")
    (True, True, False)
    """
    return name.endswith(".localhost") or is_loopback(name.strip("[]"))


def address_of(scope: Scope) -> str:
    """Of the client, as one that limits count for: of IPv6 the network, which is one customer's.

    >>> address_of({"client": ("2001:db8::1:2:3", 5)}), address_of({"client": None})
    ('2001:db8::/64', 'unix')
    >>> address_of({"client": ("::ffff:192.0.2.7", 5)})
    '192.0.2.7'
    """
    client = scope.get("client")
    if not client:
        return "unix"
    host = str(client[0])
    return _network_of(host) if ":" in host else host


@lru_cache(maxsize=1024)
def _network_of(host: str) -> str:
    try:
        address = IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped is not None:  # to a socket of both kinds every IPv4 client is one
        return str(address.ipv4_mapped)
    return f"{IPv6Address(address.packed[:8] + bytes(8))}/64"


def is_here(end: tuple[str, int | None] | None) -> bool:
    """True for a loopback end of a connection. A Unix socket has none, or a path for an address."""
    return end is None or end[1] is None or is_loopback(end[0])
