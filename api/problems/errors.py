"""Error classes to HTTP statuses, as RFC 9457 problems. The table also feeds OpenAPI."""

from __future__ import annotations

import http
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api.middleware.negotiation import language_headers, request_language
from api.problems.first_training import with_training
from api.schemas.base import ProblemDocument
from api.schemas.findings import FindingAnswer
from api.security.headers import OF_A_PROBLEM
from api.security.scopes import Needed, needed_scope
from closecast import errors as e
from closecast.core.verdict import Verdict
from closecast.drift import in_language
from closecast.infra.redaction import redacted

STATUS: dict[type[e.ClosecastError], int] = {
    e.InvalidPrices: 422,
    e.WrongWindowLength: 422,
    e.TooFewCloses: 422,
    e.UnknownName: 422,
    e.InvalidSymbol: 422,
    e.InvalidHyperparameters: 422,
    e.BeyondHorizon: 422,
    e.InvalidLevels: 422,
    e.UnknownSymbol: 404,
    e.UnknownVersion: 404,
    e.UnknownJob: 404,
    e.NotDrawnYet: 404,
    e.UnknownForecast: 404,
    e.NothingRecorded: 404,
    e.NotConfigured: 404,
    e.JobConflict: 409,
    e.StalePrices: 409,
    e.DataFault: 409,
    e.UnverifiedBundle: 409,
    e.PointerMoved: 409,
    e.RolledBack: 409,
    e.PreconditionFailed: 412,
    e.NoModel: 503,
    e.DamagedBundle: 503,
    e.UnverifiedModel: 503,
    e.TrainingUnavailable: 503,
    e.StorageFailed: 503,
    e.NotCollected: 503,
    e.CalendarTooShort: 503,
}
_BY_FAULT = {"caller": 422, "service": 500, "upstream": 503}
_RETRY_AFTER_S = 5
UNEXPECTED = 500, "internal_error", "something failed that should not; the log has the request id"
"""Status, code and detail of what is nobody's fault but ours."""
MEDIA_TYPE = "application/problem+json"


def status_of(error: e.ClosecastError) -> int:
    """The status for an error of ours."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return _BY_FAULT[error.fault]


class PartError(Exception):
    """An error of ours about one part of what was sent.

    Attributes
    ----------
    pointer : str
        JSON pointer to the part; the problem points into it.
    """

    def __init__(self, error: e.ClosecastError, pointer: str) -> None:
        super().__init__(str(error))
        self.error, self.pointer = error, pointer


def problem_document(
    status: int, code: str, detail: str, request_id: str | None, errors: Iterable[Any] = ()
) -> dict[str, Any]:
    """The members that every problem has."""
    return {
        "type": f"urn:closecast:error:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": redacted(detail),
        "code": code,
        "errors": list(errors),
        "request_id": request_id,
    }


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    errors: Iterable[dict[str, str]] = (),
    extra: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem document."""
    request_id = request.scope.get("request_id")
    content = {**problem_document(status, code, detail, request_id, errors), **(extra or {})}
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
    assert isinstance(error, e.ClosecastError)
    return _problem_of(request, await _completed(request, error))


async def _in_part(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PartError)
    return _problem_of(request, await _completed(request, error.error), error.pointer)


async def _completed(request: Request, error: e.ClosecastError) -> e.ClosecastError:
    if not isinstance(error, e.NoModel):
        return error
    service = request.app.state.service  # of no other symbol is there such an error
    symbol = service.models.default_symbol
    return await run_in_threadpool(with_training, error, service.database.jobs, symbol)


def _problem_of(request: Request, error: e.ClosecastError, part: str | None = None) -> JSONResponse:
    content, headers = document_of(request, error, part)
    if content["status"] == 503 and error.retry_helps:
        headers["Retry-After"] = str(_RETRY_AFTER_S)
    if "url" in content:
        headers["Location"] = content["url"]
    return JSONResponse(content, content["status"], headers, media_type=MEDIA_TYPE)


def document_of(
    request: Request, error: e.ClosecastError, part: str | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The problem document of an error of ours, and headers that belong to its language.

    Parameters
    ----------
    part : str, optional
        JSON pointer to the part of the body that it is about.
    """
    headers: dict[str, str] = {}
    extra = error.details()
    if isinstance(error, e.JobConflict) and error.job_id:
        extra["url"] = f"/train/{error.job_id}"
    if isinstance(error, e.DataFault) and error.findings:
        language = request_language(request)
        said = in_language(Verdict(error.findings), language).findings
        extra["findings"] = [FindingAnswer.model_validate(f).model_dump(mode="json") for f in said]
        headers = language_headers(language)
    detail = str(error) if part is None else f"{part}: {error}"
    request_id, items = request.scope.get("request_id"), _items_of(error, part)
    content = problem_document(status_of(error), error.code, detail, request_id, items)
    return {**content, **extra}, headers


def _items_of(error: e.ClosecastError, part: str | None) -> list[dict[str, str]]:
    """Where the offence is. A symbol may also have come in the path: then it is nowhere."""
    if isinstance(error, e.InvalidHyperparameters):
        pairs = [(f"/hyperparameters/{name}", message) for name, message in error.problems]
    elif isinstance(error, e.WrongWindowLength | e.InvalidPrices):
        pairs = [(f"{part or ''}/prices", str(error))]
    elif part is not None:
        about_symbol = isinstance(error, e.UnknownSymbol | e.InvalidSymbol | e.NoModel)
        pairs = [(f"{part}/symbol" if about_symbol else part, str(error))]
    else:
        return []
    return [{"pointer": p, "detail": m, "code": error.code} for p, m in pairs]


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    items = error.errors()
    sent_as = request.headers.get("content-type", "")
    whole = [item["type"] for item in items if item["loc"] == ("body",)]
    if "missing" in whole:
        return problem(
            request,
            422,
            "invalid_request",
            f"{request.method} {request.url.path} needs a JSON body; /docs shows one",
            errors=[{"pointer": "", "detail": "a body is required", "code": "missing"}],
        )
    if "json" not in sent_as.lower() and whole:
        return problem(
            request,
            415,
            "not_sent_as_json",
            f"the body was sent as {sent_as[:60] or 'nothing in particular'}; "
            "send it with the header content-type: application/json",
        )
    if any(item["type"] == "json_invalid" for item in items):
        reason = items[0].get("ctx", {}).get("error", "it does not parse")
        return problem(request, 400, "invalid_json", f"the body is not JSON: {reason}")
    errors = [_item(item) for item in items]
    shown = "; ".join(f"{item['pointer']}: {item['detail']}" for item in errors[:3])
    more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return problem(request, 422, "invalid_request", f"{shown}{more}", errors=errors[:100])


def _item(item: dict[str, Any]) -> dict[str, str]:
    where, *path = item["loc"]
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
    if where != "body":
        pointer = f"{where}:{'/'.join(map(str, path))}"
    return {"pointer": pointer, "detail": str(item["msg"]), "code": str(item["type"])}


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:
        return problem(request, 400, "invalid_json", "the body cannot be read as JSON")
    code = http.HTTPStatus(error.status_code).name.lower()
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"nothing at {request.url.path[:100]}; /docs lists what there is"
    elif error.status_code == 405:
        detail = f"{request.method} is not possible here; /docs lists what is"
    headers = dict(error.headers or {})
    return problem(request, error.status_code, code, detail, headers=headers)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    # Starlette logs the traceback after this answer; nothing of it goes to the caller.
    return problem(request, *UNEXPECTED, headers=OF_A_PROBLEM)


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[JSONResponse]]] = {
    e.ClosecastError: _ours,
    PartError: _in_part,
    RequestValidationError: _invalid,
    HTTPException: _http,
}
"""Of the errors that are expected; any other is logged, and answered without its details."""

Problems = Mapping[int, Mapping[str, str | Mapping[str, Any]]]
"""Examples: status to code to the detail, or to all members that are not in every problem."""

_EXAMPLES: Problems = {
    400: {
        "invalid_json": "the body is not JSON: Expecting value",
        "json_too_deep": "the body has more than 16 brackets inside each other; no request needs "
        "more than a few",
    },
    401: {
        "key_needed": "send an API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`",
        "unknown_key": "this API key is not known here, or was revoked",
    },
    404: {"unknown_symbol": "no model for ACME; there are models for: MSFT"},
    409: {"job_conflict": "another train job for MSFT is running: wait for it or cancel it"},
    408: {"body_too_slow": "the body did not arrive within 30 s"},
    412: {"precondition_failed": "the configuration of MSFT is at revision 3, not 2"},
    413: {"body_too_large": "the body is larger than 1000000 bytes"},
    415: {"not_sent_as_json": "send the body with the header content-type: application/json"},
    422: {"wrong_window_length": "got 3 closes, the model needs exactly 60"},
    429: {"rate_limited": "the key dashboard may send 600/minute here; try again in 3 s"},
    503: {
        "no_model": {
            "detail": "no model for MSFT yet; its first training is under way: train, 42 %. "
            "GET /train/0123456789abcdef0123456789abcdef shows more",
            "training": {
                "state": "running",
                "phase": "train",
                "percent": 42.0,
                "url": "/train/0123456789abcdef0123456789abcdef",
                "reason": None,
            },
        }
    },
}


def document_problems(openapi: dict[str, Any]) -> dict[str, Any]:
    """Say in the OpenAPI document that errors come as problem documents only.

    FastAPI describes the model of an error under ``application/json``, whatever is sent. What
    any route may answer before it is reached (no key, too often, too slow) is added here.
    """
    schemes = openapi.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes |= _SECURITY_SCHEMES
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            _document_guard(operation, needed_scope(method.upper(), path))
            for status, answer in operation["responses"].items():
                content = answer.get("content", {})
                if not status.startswith("2") and MEDIA_TYPE in content:
                    content[MEDIA_TYPE] |= content.pop("application/json", {})
    return openapi


_SECURITY_SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key. Needed where keys were created; without any, reading is open "
        "and changing is for programs on the same machine.",
    },
    "key_header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_FORBIDDEN: Problems = {
    403: {
        "admin_needs_key": "without API keys, only programs on the machine itself may change "
        "something",
        "scope_too_small": "the key dashboard may read; POST /train needs one with the scope admin",
        "cross_site_request": "pages of other sites may not call this",
    }
}


def _document_guard(operation: dict[str, Any], needed: Needed) -> None:
    """What may come of one operation before its route is reached, or instead of it."""
    if needed == "nothing":
        return
    operation["security"] = [{"key": []}, {"key_header": []}, {}]
    found = responses(401, 429) | (responses(408) if "requestBody" in operation else {})
    if needed == "admin":
        found |= responses(403, examples=_FORBIDDEN)
    for status, answer in found.items():
        del answer["model"]
        for content in answer["content"].values():
            content["schema"] = {"$ref": "#/components/schemas/Problem"}
        if status == 429:
            answer["headers"] = _RETRY_AFTER
        # A route's own examples (a request from another site) stay beside these.
        own = operation["responses"].setdefault(str(status), answer)
        own["content"][MEDIA_TYPE]["examples"] |= answer["content"][MEDIA_TYPE]["examples"]


_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds until a request may pass.",
        "schema": {"type": "integer", "minimum": 1},
    }
}


def responses(*statuses: int, examples: Problems | None = None) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the problems that a route can answer with.

    Parameters
    ----------
    examples : Problems, optional
        Where the usual example of a status does not fit the route.
    """
    found: dict[int | str, dict[str, Any]] = {}
    chosen = {**_EXAMPLES, **(examples or {})}
    for status in statuses:
        shown = {
            code: {"value": _example(status, code, said)} for code, said in chosen[status].items()
        }
        found[status] = {
            "model": ProblemDocument,
            "description": http.HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"examples": shown}},
        }
    return found


def _example(status: int, code: str, said: str | Mapping[str, Any]) -> dict[str, Any]:
    members = {"detail": said} if isinstance(said, str) else said
    return problem_document(status, code, "", "b6c1d2e3f4") | dict(members)
