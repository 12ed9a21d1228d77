"""A route that FastAPI documents and does not slow down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from inspect import signature
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.middleware.route_templates import routed_path

Model = TypeVar("Model", bound=BaseModel)
Handler = Callable[[Request, Exception], Awaitable[Response]]
Handlers = Mapping[type[Exception], Handler]


class FastDispatch:
    """Takes requests of lean routes past the router and FastAPI's own layers around it.

    Inside of what limits and counts. Errors are answered as the application does,
    by its own handlers; whoever reads the scope finds the route there, as behind the router.
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
    """Of the class of an error, or of the nearest one above it; none for mere exceptions."""
    return next((handlers[kind] for kind in type(error).__mro__[:-2] if kind in handlers), None)


class FastRoute(APIRoute):
    """Calls its endpoint with the request alone, which answers with a ``Response`` itself.

    Solving parameters, calling dependencies in threads and validating the answer take FastAPI
    longer than a forecast takes. The endpoint's other parameters, those that begin with an
    underscore, are there for the OpenAPI document, which is generated as ever; they are ``None``
    when it is called. A test holds the document and the answers to each other.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        documented = {name: None for name in signature(self.endpoint).parameters if name[0] == "_"}
        return partial(self.endpoint, **documented)


async def json_body(request: Request) -> bytes:
    """The body of a request that says it is JSON.

    Raises
    ------
    RequestValidationError
        If there is none, or it is sent as something else: as FastAPI does.
    """
    body = await request.body()
    if not body:
        raise _invalid("missing", "Field required")
    if "json" not in request.headers.get("content-type", "").lower():
        raise _invalid("not_json", "Input should be sent as JSON")
    return body


def parse(model: type[Model], body: bytes) -> Model:
    """A model from JSON.

    Raises
    ------
    RequestValidationError
        As FastAPI does.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise in_body(error) from error


def in_body(error: ValidationError, *where: str | int) -> RequestValidationError:
    """What does not fit, as FastAPI tells it; ``where`` in the body the model was."""
    items: list[dict[str, Any]] = [
        {**item, "loc": ("body", *where, *item["loc"])}
        for item in error.errors(include_url=False, include_input=False)
    ]
    return RequestValidationError(items)


def _invalid(kind: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"type": kind, "loc": ("body",), "msg": message}])
