"""Texts of addresses: hosts, origins of web pages, prefixes of paths; each in one spelling."""

from __future__ import annotations

import re
from ipaddress import ip_address

_HOST = re.compile(
    r"(?P<name>\[[0-9a-f:.]{2,45}\]|[a-z0-9_][a-z0-9_.-]{0,252})(?::(?P<port>[0-9]{0,5}))?",
    re.IGNORECASE | re.ASCII,
)
_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]{0,30})://(?P<host>[^/?#@]+)/?", re.IGNORECASE)
_SEGMENTS = re.compile(r"(?:/[A-Za-z0-9._~-]+)+", re.ASCII)
_LONGEST_PREFIX = 200
_USUAL_PORTS = {"http": "80", "https": "443"}


def split_host(text: str) -> tuple[str, str] | None:
    """Split a ``Host`` into name (lower case, without a last dot) and port, which may be empty.

    >>> split_host("LocalHost.:8000"), split_host("[::1]"), split_host("evil/..")
    (('localhost', '8000'), ('[::1]', ''), None)
    """
    found = _HOST.fullmatch(text)
    if found is None:
        return None
    name = found["name"].lower().removesuffix(".")
    if name.startswith("["):
        try:
            name = f"[{ip_address(name[1:-1])}]"
        except ValueError:
            return None
    return name, found["port"] or ""


def canonical_origin(text: str) -> str | None:
    """Spell an origin (RFC 6454) as browsers do, without the usual port; ``None`` if it is none.

    >>> canonical_origin("HTTPS://App.example:443/"), canonical_origin("null")
    ('https://app.example', None)
    """
    found = _ORIGIN.fullmatch(text)
    host = split_host(found["host"]) if found else None
    if found is None or host is None:
        return None
    scheme, (name, port) = found["scheme"].lower(), host
    return f"{scheme}://{name}" + (f":{port}" if port not in ("", _USUAL_PORTS.get(scheme)) else "")


def path_prefix(text: str) -> str | None:
    """Spell a prefix of paths without a last slash; ``None`` if it is none, empty for the root.

    Only letters, digits and ``._~-``: a prefix is written into pages and headers.

    >>> path_prefix("/closecast/"), path_prefix("/"), path_prefix("//evil.example")
    ('/closecast', '', None)
    """
    prefix = text.removesuffix("/")
    if not prefix:
        return ""
    if len(prefix) > _LONGEST_PREFIX or not _SEGMENTS.fullmatch(prefix):
        return None
    return None if {".", ".."} & set(prefix.split("/")) else prefix


def host_patterns(text: str) -> str:
    """Check a list of known hosts, and write each in one spelling.

    Raises
    ------
    ValueError
        If one is no name, address or pattern ``*.example.org``.
    """
    return ",".join(_host_pattern(part.strip()) for part in text.split(",") if part.strip())


def _host_pattern(part: str) -> str:
    if part == "*":
        return part
    wild = "*." if part.startswith("*.") else ""
    name = part[len(wild) :]
    if not wild and name.count(":") > 1 and not name.startswith("["):
        name = f"[{name}]"  # an IPv6 address, as people write it elsewhere
    found = split_host(name)
    if found is None:
        raise ValueError(
            f"{part[:100]!r} is no host; expected names or addresses with commas between them, "
            "such as 'closecast, 192.0.2.7, *.example.org', or '*' for any"
        )
    return wild + found[0] + (f":{found[1]}" if found[1] else "")


def origin_list(text: str) -> str:
    """Check a list of origins, and write each in one spelling.

    Raises
    ------
    ValueError
        If one is no origin.
    """
    return ",".join(_origin(part.strip()) for part in text.split(",") if part.strip())


def _origin(part: str) -> str:
    found = part if part == "*" else canonical_origin(part)
    if found is None:
        raise ValueError(
            f"{part[:100]!r} is no origin; expected scheme, host and perhaps a port, with commas "
            "between them, such as 'https://app.example, http://localhost:3000', or '*' for any"
        )
    return found
