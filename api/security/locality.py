"""Origin of a request: a program on this machine, or an address on the network."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address

from starlette.types import Scope

from closecast.infra.addresses import is_loopback

_BY_A_PROXY = frozenset({b"forwarded", b"via", b"x-real-ip", b"true-client-ip"})


def is_local(scope: Scope) -> bool:
    """True for a request sent directly by a program on this machine.

    A request is not local if it came through a proxy, configured or not: one on this machine
    makes every client look local. Nor is a request local that names another host than a loopback
    one: a page of another site can make its own name lead here (DNS rebinding).
    """
    host = b""
    for name, value in scope["headers"]:
        if name in _BY_A_PROXY or name.startswith(b"x-forwarded-"):
            return False
        if name == b"host":
            host = value
    ends = (scope.get("client"), scope.get("server"))
    return is_loopback(_without_port(host.decode("latin-1"))) and all(map(_is_here, ends))


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


def _is_here(end: tuple[str, int | None] | None) -> bool:
    """Of one end of a connection; a Unix socket has none, or a path for an address."""
    return end is None or end[1] is None or is_loopback(end[0])


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
