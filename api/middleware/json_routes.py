"""Routes with JSON bodies: a strict one, and a fast one that bypasses FastAPI's own layers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from inspect import signature
from typing import Any, TypeVar

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.middleware.request_context import routed_path
from api.problems.not_json import why_not_json

Model = TypeVar("Model", bound=BaseModel)
Handler = Callable[[Request, Exception], Awaitable[Response]]
Handlers = Mapping[type[Exception], Handler]


class FastDispatch:
    """ASGI middleware that calls fast routes directly, without the router and FastAPI's layers.

    Its place is inside of the middleware that limits and counts. Errors are answered by the
    application's own handlers; the scope holds the route, as behind the router.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute], handlers: Handlers) -> None:
        self._app = app
        self._handlers = handlers
        self._routes = {
            route.path: (route, route.get_route_handler())
            for route in routes
            if isinstance(route, FastRoute)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._routes.get(routed_path(scope)) if scope["type"] == "http" else None
        if found is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"], answer = found
        request = Request(scope, receive)
        try:
            response = await answer(request)
        except Exception as error:
            handler = lookup(self._handlers, error)
            if handler is None:
                raise
            response = await handler(request, error)
        await response(scope, receive, send)


def lookup(handlers: Handlers, error: Exception) -> Handler | None:
    """The handler of an error's class, or of its nearest base class below ``Exception``."""
    return next((handlers[kind] for kind in type(error).__mro__[:-2] if kind in handlers), None)


class FastRoute(APIRoute):
    """A route whose endpoint gets the request alone, and returns a ``Response``.

    Solving parameters, calling dependencies in threads and validating the answer take FastAPI
    longer than a forecast takes. The endpoint's other parameters, those that begin with an
    underscore, are there for the OpenAPI document, which is generated as ever; they are ``None``
    when it is called. A test holds the document and the answers to each other.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        documented = {name: None for name in signature(self.endpoint).parameters if name[0] == "_"}
        return partial(self.endpoint, **documented)


async def json_body(request: Request) -> bytes:
    """Read the body of a request with a JSON content type.

    Raises
    ------
    RequestValidationError
        If there is no body, or it has another type; as FastAPI does.
    """
    body = await request.body()
    if not body:
        raise _invalid("missing", "Field required")
    if "json" not in request.headers.get("content-type", "").lower():
        raise _invalid("not_json", "Input should be sent as JSON")
    return body


def strict_json(text: bytes, where: str = "") -> Any:
    """Parse JSON by its standard: no NaN, no infinity, no half of a surrogate pair.

    Parameters
    ----------
    where : str
        Place of the text in the body, for the message: ``"line 3: "``.

    Raises
    ------
    RequestValidationError
        If it is no JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _no_json(where + why_not_json(text, error.msg)) from error


def parse(model: type[Model], body: bytes) -> Model:
    """Validate JSON as a model.

    Raises
    ------
    RequestValidationError
        As FastAPI does.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise _no_json(why_not_json(body, first["ctx"]["error"])) from error
        raise in_body(error, model) from error


def validate(model: type[Model], value: Any, *where: str | int) -> Model:
    """Validate a value from a body as a model; ``where`` is its path in the body.

    Raises
    ------
    RequestValidationError
        As FastAPI does.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise in_body(error, model, *where) from error


def in_body(
    error: ValidationError, form: type[BaseModel], *where: str | int
) -> RequestValidationError:
    """Validation errors in FastAPI's form, each with its model, ``where`` it is in the body."""
    items: list[dict[str, Any]] = [
        {**item, "loc": ("body", *where, *item["loc"]), "form": form}
        for item in error.errors(include_url=False, include_input=False)
    ]
    return RequestValidationError(items)


def _no_json(reason: str) -> RequestValidationError:
    item = {"type": "json_invalid", "loc": ("body",), "msg": "JSON decode error"}
    return RequestValidationError([{**item, "ctx": {"error": reason}}])


def _invalid(kind: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"type": kind, "loc": ("body",), "msg": message}])


class StrictRoute(APIRoute):
    r"""A route whose body is parsed as strictly as the body of ``POST /predict``.

    Python's own parser accepts half of a surrogate pair (``"\ud800"``), which is no character:
    the text then fails where it is written, long after it was checked.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        try:
            return from_json(body)
        except ValueError as error:  # FastAPI understands one kind of them
            raise json.JSONDecodeError(why_not_json(body, str(error)), "", 0) from error
