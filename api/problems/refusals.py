"""Refusals: problems that a middleware answers before the application sees the request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from starlette.types import Scope, Send

from api.problems.documents import MEDIA_TYPE, problem_document

Headers = tuple[tuple[bytes, bytes], ...]


class Refusal(NamedTuple):
    """Problem of a request that is not passed on to the application.

    Attributes
    ----------
    code, detail : str
        Of the problem document.
    headers : tuple of pairs of bytes
        Of the answer, beside those that every answer has.
    errors : tuple of mappings
        Offending parts of the request, with the members of a problem's ``errors``.
    """

    status: int
    code: str
    detail: str
    headers: Headers = ()
    errors: tuple[Mapping[str, str], ...] = ()


async def refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer with a problem document, and close the connection.

    The rest of the body, unread, must not be taken for the next request.
    """
    status, code, detail, headers, errors = refusal
    document = problem_document(status, code, detail, scope.get("request_id"), errors)
    content = json.dumps(document).encode()
    sent = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(content)).encode()),
        *headers,
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": content})
