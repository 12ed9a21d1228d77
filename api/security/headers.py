"""What every answer tells a browser about itself."""

from __future__ import annotations

from starlette.types import Scope

from api.security.scopes import ASSETS, KEY_NAME

Headers = list[tuple[bytes, bytes]]

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_POLICY = b"content-security-policy"
_NOTHING = (_POLICY, b"default-src 'none'; frame-ancestors 'none'")
# Swagger UI and ReDoc start by a script inside their page, and ReDoc searches in a worker.
_DOCUMENTATION = (
    _POLICY,
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
    b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
)
_DOCUMENTED_AT = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc"})
# A shared cache knows not to keep what was asked for with Authorization, yet nothing of X-API-Key.
_PRIVATE = (b"cache-control", b"no-store")

OF_A_PROBLEM = {
    name.decode("latin-1"): value.decode("latin-1") for name, value in (*_ALWAYS, _NOTHING)
}
"""For answers that are sent outside of the envelope."""


def add_security_headers(headers: Headers, path: str, scope: Scope) -> None:
    """To those of an answer; a page that brings a policy of its own keeps it.

    Parameters
    ----------
    path : str
        As the router compared it.
    """
    given = {name for name, _ in headers}
    headers += _ALWAYS
    if _POLICY not in given:
        headers.append(_policy_at(path))
    if KEY_NAME in scope and b"cache-control" not in given:
        headers.append(_PRIVATE)


def _policy_at(path: str) -> tuple[bytes, bytes]:
    return _DOCUMENTATION if path in _DOCUMENTED_AT or path.startswith(ASSETS) else _NOTHING
