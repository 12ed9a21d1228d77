"""Templates of the routes: labels of requests, and the methods that each path answers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.routing import BaseRoute, Mount, Route

UNMATCHED = "unmatched"
"""One label for all paths without a route."""


class RouteTemplates:
    """Route templates (``/train/{job_id}``) by path: labels as few as there are routes."""

    def __init__(self) -> None:
        self._whole: dict[str, set[str]] = {}
        self._patterns: dict[str, tuple[re.Pattern[str], set[str]]] = {}

    def add(self, routes: Iterable[BaseRoute]) -> None:
        """Add the templates of some routes."""
        for route in routes:
            if isinstance(route, Mount):  # of files
                self._add_pattern(route, {"GET"})
            elif isinstance(route, Route) and "{" in route.path:
                self._add_pattern(route, route.methods or set())
            elif isinstance(route, Route):
                self._whole.setdefault(route.path, set()).update(route.methods or ())

    def _add_pattern(self, route: Mount | Route, methods: set[str]) -> None:
        _, known = self._patterns.setdefault(route.path, (route.path_regex, set()))
        known.update(methods)

    def of(self, path: str) -> str:
        """Template that a path fits, for any method; :data:`UNMATCHED` without one."""
        if path in self._whole:
            return path
        for template, (pattern, _) in self._patterns.items():
            if pattern.match(path):
                return template
        return UNMATCHED

    def allow_at(self, path: str) -> bytes:
        """Value of ``Allow`` (RFC 9110, 10.2.1) for a path; empty without a route."""
        methods = set(self._whole.get(path, ()))
        if path == "*":  # of the service as a whole (RFC 9110, 9.3.7)
            methods.update(*self._whole.values())
        for pattern, more in self._patterns.values():
            if path == "*" or pattern.match(path):
                methods |= more
        if not methods:
            return b""
        if "GET" in methods:
            methods.add("HEAD")
        return ", ".join(sorted(methods | {"OPTIONS"})).encode()

    def has_below(self, prefix: str) -> bool:
        """True if a prefix is a route, or the beginning of one's path."""
        known = (*self._whole, *self._patterns)
        return self.of(prefix) != UNMATCHED or any(p.startswith(f"{prefix}/") for p in known)
