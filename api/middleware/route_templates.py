"""Which route a path belongs to, known before the application has looked."""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Scope

UNMATCHED = "unmatched"
"""The label of paths that lead nowhere: whatever is tried, it is one."""


def routed_path(scope: Scope) -> str:
    """The path as the router compares it: without the prefix that a proxy put before it.

    >>> routed_path({"path": "/api/train", "root_path": "/api"}), routed_path({"path": "/train"})
    ('/train', '/train')
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


class RouteTemplates:
    """Templates (``/train/{job_id}``) by path: as many labels as there are routes, never more."""

    def __init__(self) -> None:
        self._whole: dict[str, str] = {}
        self._patterns: list[tuple[re.Pattern[str], str]] = []

    def add(self, routes: Iterable[BaseRoute]) -> None:
        """Know these routes, too."""
        for route in routes:
            if isinstance(route, Mount):
                self._patterns.append((route.path_regex, route.path))
            elif isinstance(route, Route):
                if "{" in route.path:
                    self._patterns.append((route.path_regex, route.path))
                else:
                    self._whole[route.path] = route.path

    def of(self, path: str) -> str:
        """The template that a path fits, whatever the method; :data:`UNMATCHED` without one."""
        found = self._whole.get(path)
        if found is not None:
            return found
        for pattern, template in self._patterns:
            if pattern.match(path):
                return template
        return UNMATCHED
