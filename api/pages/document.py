"""``GET /openapi.json``: the document, written and compressed once for each prefix."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_PREFIXES = 4  # one without a proxy, one behind it; others are made again each time


def serve_document(app: FastAPI) -> None:
    """Answer the application's document from bytes.

    FastAPI writes it anew for each request: 20 milliseconds in which no other request is answered,
    for a path that needs no key.
    """
    answer = _answer(app.openapi)
    for index, route in enumerate(app.router.routes):
        if isinstance(route, Route) and route.path == app.openapi_url:
            app.router.routes[index] = Route(route.path, answer, include_in_schema=False)


def _answer(document: Callable[[], Mapping[str, Any]]) -> Callable[[Request], Any]:
    @lru_cache(maxsize=_PREFIXES)
    def written(prefix: str) -> tuple[bytes, bytes]:
        servers = {"servers": [{"url": prefix}]} if prefix else {}
        content = orjson.dumps({**document(), **servers})
        return content, gzip.compress(content, 6, mtime=0)

    async def answer(request: Request) -> Response:
        content, compressed = written(request.scope.get("root_path", "").rstrip("/"))
        headers = {}  # the middleware that compresses adds Vary to what is not compressed yet
        if "gzip" in request.headers.get("accept-encoding", ""):
            content = compressed
            headers = {"content-encoding": "gzip", "vary": "Accept-Encoding"}
        return Response(content, 200, headers, "application/json")

    return answer
