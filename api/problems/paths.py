"""The nearest path that there is, and the methods of a path: for answers 404 and 405."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from closecast.nearest import nearest

_LONGEST = 200
"""Characters of a path that is compared; no path of ours has half of it."""

_PAIR = re.compile(r"/([A-Z0-9]{2,10})/([A-Z]|USDT?|USDC|BTC|ETH|BRL|EUR|GBP|JPY)\Z", re.I)
"""The end of a path whose symbol is written with a slash: BTC/USDT, BRK/B."""


def methods_at(routes: Iterable[BaseRoute], path: str) -> list[str]:
    """Methods of all operations at a path, in alphabetical order."""
    found = [
        route.methods or set() for route in _operations(routes) if route.path_regex.match(path)
    ]
    return sorted(set().union(*found))


def nearest_path(routes: Iterable[BaseRoute], path: str) -> str | None:
    """A path that there is and that an unknown one resembles, ``None`` if none does.

    The same but for slashes, capitals or a prefix comes first; else a template by its letters.
    """
    if len(path) > _LONGEST:
        return None
    known = list(_operations(routes))
    plain = re.sub("/+", "/", path).rstrip("/") or "/"
    if not plain.startswith("/"):  # the target `*` is no path
        return None
    start, *rest = (f"/{part}" for part in plain.split("/")[1:])
    for written in (plain, "".join(rest)):  # without the prefix of a version, say
        for route in known:
            if written and (found := _in_its_case(route, written)):
                return found
    pair = _PAIR.sub(r"/\1-\2", plain)
    if pair != plain and methods_at(known, pair):
        return pair
    templates = [route.path for route in known if route.path != "/"]
    if further := [template for template in templates if template.startswith(f"{plain}/{{")]:
        return min(further, key=len)
    return nearest(plain, templates) or nearest(start, [t for t in templates if t.count("/") == 1])


def _in_its_case(route: APIRoute, path: str) -> str | None:
    found = re.fullmatch(route.path_regex.pattern, path, re.IGNORECASE)
    if found is None:
        return None
    filled = route.path
    for name, value in found.groupdict().items():
        filled = filled.replace(f"{{{name}}}", value)
    return filled


def _operations(routes: Iterable[BaseRoute]) -> Iterator[APIRoute]:
    return (route for route in routes if isinstance(route, APIRoute) and route.include_in_schema)
