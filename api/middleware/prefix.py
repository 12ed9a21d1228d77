"""The prefix of paths below which a proxy shows this service to its clients."""

from __future__ import annotations

from contextvars import ContextVar

from starlette.types import Scope

PREFIX: ContextVar[str] = ContextVar("prefix", default="")
"""Prefix of the current request's address: empty, or such as ``/closecast``."""


def public(path: str) -> str:
    """Path as a client has to write it: below the prefix.

    >>> public("/train")
    '/train'
    """
    return PREFIX.get() + path


def put_below(scope: Scope, prefix: str, *, removed: bool) -> None:
    """Make a prefix the root of a request, as ASGI has it: the path then begins with the root.

    Parameters
    ----------
    prefix : str
        Begins with a slash and does not end with one.
    removed : bool
        True if the proxy surely took the prefix away. Otherwise a path that begins with it still
        has it.

    >>> scope = {"path": "/docs", "raw_path": b"/docs"}
    >>> put_below(scope, "/api", removed=False)
    >>> scope["path"], scope["root_path"]
    ('/api/docs', '/api')
    """
    path: str = scope["path"]
    if path == prefix and not removed:
        scope["path"] = f"{prefix}/"
    elif removed or not path.startswith(f"{prefix}/"):
        scope["path"] = prefix + path
        if raw := scope.get("raw_path"):
            scope["raw_path"] = prefix.encode() + raw
    scope["root_path"] = prefix
