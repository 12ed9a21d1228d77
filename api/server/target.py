"""The head of a request, where it says something twice."""

from __future__ import annotations

import httptools

Headers = list[tuple[bytes, bytes]]


def path_form(url: bytes, headers: Headers, version: str) -> bytes:
    """Reduce a target in absolute form to its path and query; its host becomes the header Host.

    The host of the target is the one that counts, not the header beside it (RFC 9112, 3.2.2).

    Parameters
    ----------
    headers : list of pairs
        Changed in place. None is added to HTTP/1.1, where it may not be missing.

    Raises
    ------
    httptools.HttpParserInvalidURLError
        If the target is neither a path nor an address, or names a user.
    """
    address = httptools.parse_url(url)
    host: bytes | None = address.host
    if host is None:  # of "*"
        return url
    user: bytes | None = address.userinfo
    if user is not None:
        raise httptools.HttpParserInvalidURLError(url)
    if b":" in host:
        host = b"[" + host.strip(b"[]") + b"]"
    if address.port is not None:
        host += b":%d" % address.port
    headers[:] = [(name, host if name == b"host" else value) for name, value in headers]
    if version == "1.0" and not any(name == b"host" for name, _ in headers):
        headers.append((b"host", host))
    path: bytes = address.path or b"/"
    return path if address.query is None else path + b"?" + address.query


def head_without_upgrade(method: str, url: bytes, version: str, headers: Headers) -> bytes:
    """The bytes of a head that offers no other protocol, from one that did."""
    lines = [f"{method} ".encode() + url + f" HTTP/{version}".encode()]
    lines += [name + b": " + value for name, value in headers if name != b"upgrade"]
    return b"\r\n".join([*lines, b"", b""])
