"""Exception handlers: every error that leaves the application is a problem document."""

from __future__ import annotations

import http
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.middleware.prefix import public
from api.middleware.request_context import headers_of_a_problem, routed_path
from api.problems.documents import (
    MEDIA_TYPE,
    UNEXPECTED,
    PartError,
    document_of,
    problem_document,
)
from api.problems.paths import methods_at, nearest_path
from api.problems.validation import problems_of, summary
from closecast.errors import ClosecastError

_RETRY_AFTER_S = 5
_SHOWN = 100  # characters of a path


def _problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    errors: Iterable[dict[str, str]] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem document."""
    request_id = request.scope.get("request_id")
    content = problem_document(status, code, detail, request_id, errors)
    answer = JSONResponse(content, status, headers, media_type=MEDIA_TYPE)
    if request_id:  # an unexpected error is answered outside of the middleware
        answer.headers["X-Request-ID"] = request_id
    return answer


def add_error_handlers(app: FastAPI) -> None:
    """Every error that leaves the application is a problem document."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, _unexpected)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ClosecastError)
    return _problem_of(request, error)


async def _in_part(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PartError)
    return _problem_of(request, error.error, error.pointer)


def _problem_of(request: Request, error: ClosecastError, part: str | None = None) -> JSONResponse:
    content, headers = document_of(request, error, part)
    if content["status"] == 503 and error.retry_helps:
        headers["Retry-After"] = str(getattr(error, "retry_after_s", None) or _RETRY_AFTER_S)
    if "url" in content:
        headers["Location"] = content["url"]
    return JSONResponse(content, content["status"], headers, media_type=MEDIA_TYPE)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    items = error.errors()
    sent_as = request.headers.get("content-type", "")
    whole = [item["type"] for item in items if item["loc"] == ("body",)]
    if "missing" in whole:
        return _problem(
            request,
            422,
            "invalid_request",
            f"{request.method} {request.url.path} needs a JSON body; {public('/docs')} shows one",
            errors=[{"pointer": "", "detail": "a body is required", "code": "missing"}],
        )
    if "json" not in sent_as.lower() and whole:
        return _problem(
            request,
            415,
            "not_sent_as_json",
            f"the body was sent {f'as {sent_as[:60]}' if sent_as else 'without a type'}; "
            "send it with the header content-type: application/json",
        )
    if any(item["type"] == "json_invalid" for item in items):
        reason = items[0].get("ctx", {}).get("error", "it does not parse")
        return _problem(request, 400, "invalid_json", f"the body is not JSON: {reason}")
    problems = problems_of(items, _body_of(request))
    return _problem(request, 422, "invalid_request", summary(problems), errors=problems[:100])


def _body_of(request: Request) -> type[Any] | None:
    """Model of the body of the route that a request found."""
    body = getattr(request.scope.get("route"), "body_field", None)
    return None if body is None else body.field_info.annotation


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:
        return _problem(request, 400, "invalid_json", "the body cannot be read as JSON")
    code = http.HTTPStatus(error.status_code).name.lower()
    detail = str(error.detail)
    headers = dict(error.headers or {})
    path, operations = routed_path(request.scope), request.app.state.operations
    if error.status_code == 404:
        near = nearest_path(operations, path)
        meant = f", did you mean {near}?" if near else ";"
        detail = f"nothing at {path[:_SHOWN]}{meant} {public('/docs')} lists what there is"
    elif error.status_code == 405:
        possible = " and ".join(methods_at(operations, path)) or headers.get("Allow", "")
        detail = (
            f"{request.method} is not possible at {path[:_SHOWN]}; {possible} can be sent there, "
            f"and {public('/docs')} shows how"
        )
    return _problem(request, error.status_code, code, detail, headers=headers)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    # Starlette logs the traceback after this answer; nothing of it goes to the caller.
    return _problem(request, *UNEXPECTED, headers=headers_of_a_problem(request.scope))


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[JSONResponse]]] = {
    ClosecastError: _ours,
    PartError: _in_part,
    RequestValidationError: _invalid,
    HTTPException: _http,
}
"""Of the errors that are expected; any other is logged, and answered without its details."""
