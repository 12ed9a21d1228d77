"""JSON bodies that become text which can be written again."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json


class StrictRoute(APIRoute):
    r"""A route whose body is read by the parser that reads the body of ``POST /predict``.

    Python's own takes half of a surrogate pair (``"\ud800"``), which is no character: what is made
    of it fails where it is written, long after it was checked.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        try:
            return from_json(await self.body())
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error  # which FastAPI understands
