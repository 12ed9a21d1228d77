"""Query parameters that a route does not have, or that come twice or empty: refused, not ignored.

A misspelt parameter that is passed over is answered as if it was not there: ``?horzion=3`` with
ten sessions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute
from starlette.types import Scope

from api.middleware.request_context import routed_path
from api.middleware.route_templates import RouteTemplates
from api.problems.refusals import Refusal
from closecast.nearest import nearest

_MOST = 100
"""Parameters; no route has ten."""
_SHOWN = 60  # characters

_PROBED = frozenset({"/", "/health", "/health/live", "/health/ready", "/metrics"})
# A refused probe takes a sound instance out of service, and its operator cannot always leave the
# parameter out: jQuery's and many monitors' `_`, Uptime Kuma's `uptime_kuma_cachebuster`.
_AGAINST_CACHES = re.compile(r"_\w*|\d+|\w*(?:cache|bust)\w*|ts?|cb|rnd|rand|random|nonce", re.I)


@dataclass(frozen=True, slots=True)
class _Taken:
    """Names of an operation's query parameters, and of the members of its body."""

    names: tuple[str, ...]
    members: frozenset[str]


class QueryParameters:
    """Check of a request's query against the parameters of its route.

    A request without a query costs one look at the scope.
    """

    def __init__(self, templates: RouteTemplates) -> None:
        self._template_of = templates.of
        self._taken: dict[tuple[str, str], _Taken] = {}

    def add(self, routes: Iterable[BaseRoute]) -> None:
        """Add the operations of some routes; a path without one is the router's to refuse."""
        for route in routes:
            if isinstance(route, APIRoute):
                taken = _Taken(_query_names(route), _members(route))
                for method in route.methods or ():
                    self._taken[method, route.path] = taken

    def __call__(self, scope: Scope, _headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Refusal of a request; ``None`` if it may pass."""
        query: bytes = scope.get("query_string", b"")
        if not query:
            return None
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        template = self._template_of(routed_path(scope))
        taken = self._taken.get((method, template))
        if taken is None:
            return None
        try:
            pairs = parse_qsl(query.decode("latin-1"), True, max_num_fields=_MOST)
        except ValueError:
            return _refusal("", "too_long", f"the query has more than {_MOST} parameters")
        seen: set[str] = set()
        for name, value in pairs:
            if name not in taken.names:
                if template in _PROBED and _AGAINST_CACHES.fullmatch(name):
                    continue
                return _unknown(method, template, name, taken)
            if name in seen:
                return _refusal(name, "repeated", f"{name} is there more than once; give it once")
            if not value.strip():
                detail = f"{name} is empty; give it a value or leave it out"
                return _refusal(name, "empty", detail)
            seen.add(name)
        return None


def _query_names(route: APIRoute) -> tuple[str, ...]:
    parameters = get_flat_params(route.dependant)
    return tuple(sorted({p.alias for p in parameters if isinstance(p.field_info, Query)}))


def _members(route: APIRoute) -> frozenset[str]:
    body: Any = route.body_field
    kind = body.field_info.annotation if body is not None else None
    models = [kind, *getattr(kind, "__args__", ())]
    found: set[str] = set()
    for model in models:
        if isinstance(model, type) and issubclass(model, BaseModel):
            found |= set(model.model_fields)
    return frozenset(found)


def _unknown(method: str, template: str, name: str, taken: _Taken) -> Refusal:
    detail = f"{method} {template} has no parameter {name[:_SHOWN]!r}"
    if name in taken.members:
        detail += "; it is a member of the JSON body"
    elif near := nearest(name, taken.names):
        detail += f", did you mean {near!r}?"
    mark = "" if detail.endswith("?") else ";"
    takes = f"it takes {', '.join(taken.names)}" if taken.names else "it takes none in the query"
    return _refusal(name, "unknown_parameter", f"{detail}{mark} {takes}")


def _refusal(name: str, code: str, detail: str) -> Refusal:
    item = {"pointer": f"query:{name[:_SHOWN]}", "detail": detail, "code": code}
    return Refusal(422, "invalid_request", detail, errors=(item,))
