"""Known hosts: the names by which this service may be called."""

from __future__ import annotations

from starlette.types import Scope

from api.security.locality import is_here, is_loopback_name
from closecast.settings.addresses import split_host

_MOST_REMEMBERED = 1_000


class KnownHosts:
    """Names by which this service may be called: loopback ones, and those of a setting.

    A page of another site can make its own name lead to this machine (DNS rebinding); the browser
    then takes the service for a part of that site. The ``Host`` of such a request is that name.

    Parameters
    ----------
    patterns : str
        Setting ALLOWED_HOSTS: names, addresses, ``*.example.org``, with commas between them.
    """

    def __init__(self, patterns: str) -> None:
        named = [part for part in patterns.split(",") if part]
        self.named = ", ".join(named)
        self._any = "*" in named
        self._exact = frozenset(part for part in named if not part.startswith("*"))
        self._below = tuple(part[1:] for part in named if part.startswith("*."))
        self._seen: dict[bytes, bool] = {}

    def __contains__(self, host: bytes) -> bool:
        """True for a known ``Host``, with any port unless the setting names one."""
        known = self._seen.get(host)
        if known is None:
            known = self._knows(host.decode("latin-1"))
            if len(self._seen) < _MOST_REMEMBERED:  # there are names without end
                self._seen[host] = known
        return known

    def _knows(self, host: str) -> bool:
        found = split_host(host)
        if found is None:
            return False
        name, port = found
        return (
            self._any
            or is_loopback_name(name)
            or not self._exact.isdisjoint((name, f"{name}:{port}"))
            or (name.endswith(self._below) and not name.startswith("."))
            or f"{name}:{port}".endswith(self._below)
        )


def came_to_loopback(scope: Scope) -> bool:
    """True if a request arrived at a loopback address; a Unix socket is none."""
    server = scope.get("server")
    return server is not None and server[1] is not None and is_here(server)
