"""Problem documents in the OpenAPI document: which operation answers which, with examples."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping
from typing import Any

from api.middleware.negotiation import NDJSON
from api.problems.documents import MEDIA_TYPE, problem_document
from api.schemas.base import ProblemDocument
from api.schemas.examples import recorded_examples
from api.security.access import Needed, needed_scope

Problems = Mapping[int, Mapping[str, str | Mapping[str, Any]]]
"""Examples: status to code to the detail, or to all members that are not in every problem."""

_EXAMPLES: Problems = {
    400: {
        "invalid_json": "the body is not JSON: it is in UTF-16; send it in UTF-8",
        "json_too_deep": "the body has more than 16 brackets inside each other; no request needs "
        "more than a few",
        "invalid_encoding": "the body was sent with content-encoding: gzip, and it ends too early, "
        "a part of it is missing; compress the whole body once, or send it as it is without that "
        "header",
    },
    401: {
        "key_needed": "send an API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`",
        "unknown_key": "this API key is not known here, or was revoked: compare it with the "
        "one that was shown once, or have another one made",
    },
    404: {"unknown_symbol": "no model for ACME; there are models for: MSFT"},
    409: {"job_conflict": "another train job for MSFT is running: wait for it or cancel it"},
    408: {"body_too_slow": "the body did not arrive within 30 s"},
    412: {"precondition_failed": "the configuration of MSFT is at revision 3, not 2"},
    413: {"body_too_large": "the body is larger than 1000000 bytes"},
    415: {
        "not_sent_as_json": "send the body with the header content-type: application/json",
        "unsupported_encoding": "the body was sent with content-encoding: br, which is not read "
        "here; send it as it is, without that header, or compressed by gzip or deflate",
    },
    421: {
        "unknown_host": "this service is not known as 'rebound.example': it is as localhost and "
        "other loopback addresses. Other names (of a container, a tunnel, a proxy) belong into the "
        "setting CLOSECAST_ALLOWED_HOSTS"
    },
    422: {"wrong_window_length": "got 3 closes, the model needs at least 60"},
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
    """Describe all errors of an OpenAPI document as problem documents.

    FastAPI describes the model of an error under the media type of the route's answer. Added
    here are the recorded examples, and the answers that any route may give before it is reached:
    no key, too often, too slow, a parameter that the route does not have.
    """
    schemes = openapi.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes |= _SECURITY_SCHEMES
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            add_examples(operation)
            _document_guard(operation, needed_scope(method.upper(), path))
            _document_query(operation)
            for status, answer in operation["responses"].items():
                content = answer.get("content", {})
                if not status.startswith("2") and MEDIA_TYPE in content:
                    answer["content"] = {MEDIA_TYPE: {**content[MEDIA_TYPE], "schema": _SCHEMA}}
    return openapi


def add_examples(operation: dict[str, Any]) -> None:
    """Add the recorded examples of one operation.

    Recorded errors replace the usual example of their status.
    """
    for part, examples in recorded_examples(operation["operationId"]).items():
        described = operation["requestBody"] if part == "request" else operation["responses"][part]
        named = {name: {"value": body} for name, body in examples.items()}
        if part == "request" or part.startswith("2"):
            described["content"]["application/json"]["examples"] = named
            if (in_lines := _in_lines(described)) is not None:
                member = "windows" if part == "request" else "results"
                in_lines["examples"] = {
                    name: {"value": "".join(json.dumps(item) + "\n" for item in body[member])}
                    for name, body in examples.items()
                }
            continue
        content = described["content"][MEDIA_TYPE]
        usual = _EXAMPLES.get(int(part), {})
        own = {code: shown for code, shown in content["examples"].items() if code not in usual}
        content["examples"] = named | {c: shown for c, shown in own.items() if c not in named}


def _in_lines(described: dict[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = (described["content"] | described.get("x-lines", {})).get(NDJSON)
    return found


_SCHEMA = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
_SECURITY_SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key. Needed where keys were created; without any, reading is open "
        "and changing is for programs on the same machine.",
    },
    "key_header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_ELSEWHERE: Problems = {403: {"cross_site_request": "pages of other sites may not call this"}}
_FORBIDDEN: Problems = {
    403: {
        **_ELSEWHERE[403],
        "admin_needs_key": "without API keys, only programs on the machine itself may change "
        "something",
        "scope_too_small": "the key dashboard may read; POST /train needs one with the scope admin",
    }
}


def _document_guard(operation: dict[str, Any], needed: Needed) -> None:
    """Document the answers that an operation may give before its route is reached."""
    if needed == "nothing":
        return
    operation["security"] = [{"key": []}, {"key_header": []}, {}]
    found = responses(401, 403, 421, 429, examples=_ELSEWHERE) | (
        responses(408) if "requestBody" in operation else {}
    )
    if needed == "admin":
        found |= responses(403, examples=_FORBIDDEN)
    for status, answer in found.items():
        del answer["model"]
        for content in answer["content"].values():
            content["schema"] = _SCHEMA
        if status == 429:
            answer["headers"] = _RETRY_AFTER
        # A route's own examples (a request from another site) stay beside these.
        own = operation["responses"].setdefault(str(status), answer)
        own["content"][MEDIA_TYPE]["examples"] |= answer["content"][MEDIA_TYPE]["examples"]


_NO_PARAMETER: Problems = {
    422: {"invalid_request": "GET /health has no parameter 'horizon'; it takes none in the query"}
}


def _document_query(operation: dict[str, Any]) -> None:
    """Document the answer to an unknown query parameter where a route has no 422 of its own."""
    if "422" not in operation["responses"]:
        answer = responses(422, examples=_NO_PARAMETER)[422]
        del answer["model"]
        answer["content"][MEDIA_TYPE]["schema"] = _SCHEMA
        operation["responses"]["422"] = answer


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
