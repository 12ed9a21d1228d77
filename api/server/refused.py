"""Answers to requests that never become one of the application."""

from __future__ import annotations

import json
import logging
import uuid

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.middleware.request_context import headers_of_a_problem
from api.problems.documents import MEDIA_TYPE, problem_document
from api.problems.refusals import Refusal
from api.server.limits import MOST_HEADERS, MOST_OF_A_HEAD

log = logging.getLogger(__name__)

MALFORMED = Refusal(400, "malformed_request", "these bytes are no request of HTTP/1.1")
LINE_TOO_LONG = Refusal(
    414, "target_too_long", f"the request line is longer than {MOST_OF_A_HEAD} bytes"
)
HEAD_TOO_LARGE = Refusal(
    431, "head_too_large", f"the headers are larger than {MOST_OF_A_HEAD} bytes together"
)
TOO_MANY_HEADERS = Refusal(
    431, "head_too_large", f"there are more than {MOST_HEADERS} headers; a request needs a dozen"
)
NO_TUNNEL = Refusal(405, "method_not_allowed", "this is no proxy: it opens no tunnels (CONNECT)")
TOO_MANY_CONNECTIONS = Refusal(
    503,
    "too_many_connections",
    "all connections of this process are busy; try again in a moment",
    ((b"retry-after", b"1"),),
)


def head_too_slow(seconds: float) -> Refusal:
    """The refusal of a request whose head did not arrive in time."""
    return Refusal(408, "head_too_slow", f"the head did not arrive within {seconds:g} s")


def as_bytes(
    refusal: Refusal, client: tuple[str, int] | None, headers: list[tuple[bytes, bytes]]
) -> bytes:
    """A whole answer, after which the connection is closed; a line of the log tells of it.

    Parameters
    ----------
    headers : list of pairs
        Of every answer of the server, such as the date.
    """
    status, code, detail, more, _ = refusal
    request_id = uuid.uuid4().hex
    came_from = client[0] if client else ""
    extra = {"request_id": request_id, "status": status, "code": code, "client": came_from}
    log.info("request refused", extra=extra)
    content = json.dumps(problem_document(status, code, detail, request_id)).encode()
    sent = [
        *headers,
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(content)).encode()),
        *((name.encode(), value.encode()) for name, value in headers_of_a_problem({}).items()),
        (b"x-request-id", request_id.encode()),
        *more,
        (b"connection", b"close"),
    ]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in sent)
    return STATUS_LINE[status] + lines + b"\r\n" + content
