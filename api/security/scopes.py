"""Which scope a request needs: one table, and *admin* for whatever is not in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from closecast.infra.api_keys import Scope

KEY_NAME = "closecast.key"
"""Under this name an ASGI scope holds the name of the key that a request came with."""

Needed = Scope | Literal["nothing"]

CHANGING: Mapping[tuple[str, str], Scope] = {
    ("POST", "/predict"): "read",
    ("POST", "/predict/batch"): "read",
    ("POST", "/drift"): "read",
    ("POST", "/train"): "admin",
    ("DELETE", "/train/{job_id}"): "admin",
    ("POST", "/config"): "admin",
    ("POST", "/model/reload"): "admin",
    ("POST", "/model/promote"): "admin",
    ("POST", "/model/rollback"): "admin",
}
"""Every route with a method that may change something."""

OPEN = frozenset(
    {
        *("/health/live", "/health/ready"),
        *("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"),
    }
)
"""What everybody may read: whether it is alive, and how to talk to it."""

ASSETS = "/static-offline-docs/"
"""Where the documentation's scripts and styles lie; open like it."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_READ_BY_POST = frozenset(
    path for (method, path), scope in CHANGING.items() if method == "POST" and scope == "read"
)


def needed_scope(method: str, path: str) -> Needed:
    """What a request needs.

    Only spellings that the router takes for a route of the table can need less than ``admin``:
    a path that is written otherwise (``//predict``, ``/PREDICT``, ``/predict/``) is in no list.

    >>> needed_scope("POST", "/predict"), needed_scope("POST", "//predict")
    ('read', 'admin')
    """
    if method in _READING:
        return "nothing" if path in OPEN or path.startswith(ASSETS) else "read"
    return "read" if method == "POST" and path in _READ_BY_POST else "admin"
