"""Answers from below the application: to requests that it never sees."""

from __future__ import annotations

import json
from typing import NamedTuple

from starlette.types import Scope, Send

from api.problems.documents import MEDIA_TYPE, problem_document

Headers = tuple[tuple[bytes, bytes], ...]


class Refusal(NamedTuple):
    """Why a request is not passed on.

    Attributes
    ----------
    code, detail : str
        Of the problem document.
    headers : tuple of pairs of bytes
        Beside those that every answer has.
    """

    status: int
    code: str
    detail: str
    headers: Headers = ()


async def refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer with a problem document, and close the connection.

    Whatever may be left of its body must not be taken for a request.
    """
    status, code, detail, headers = refusal
    content = json.dumps(problem_document(status, code, detail, scope.get("request_id"))).encode()
    sent = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(content)).encode()),
        *headers,
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": content})


def header(scope: Scope, name: bytes, default: bytes = b"") -> bytes:
    """A header of a request by its lower-case name, without copying all of them."""
    for other, value in scope["headers"]:
        if other == name:
            found: bytes = value
            return found
    return default
