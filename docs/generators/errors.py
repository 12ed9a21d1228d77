"""The reference page of error codes, from the error classes and the table of HTTP statuses."""

from __future__ import annotations

import http
from collections.abc import Iterator
from typing import Any

from generators.names import ERRORS, STATUS_OF_ERROR, resolve
from generators.tables import table

HEAD = """# Errors

Every error is an [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem document
(`application/problem+json`). Programs decide by `code`, which stays the same over versions;
`detail` is for people. "Retry" says whether the same request may succeed later. This page is made
from the error classes at each build.

| member | meaning |
|---|---|
| `type` | `urn:closecast:error:CODE` |
| `title`, `status` | the HTTP status |
| `detail` | the fault, the expected value, and the next step |
| `code` | a stable name, listed below |
| `errors` | the offending parts of the request, each with a JSON `pointer` |
| `request_id` | the `X-Request-ID` of the answer and of the log lines |

"""

REQUESTS = """## Requests refused before a route

| code | status | meaning |
|---|---|---|
| `invalid_request` | 422 | A parameter or member is missing, unknown or out of bounds. |
| `invalid_json` | 400 | The body is not JSON; the cause is named where it shows. |
| `invalid_encoding` | 400 | The body does not inflate: cut, damaged, or not compressed at all. |
| `json_too_deep` | 400 | The body nests deeper than `CLOSECAST_MAX_JSON_DEPTH`. |
| `not_sent_as_json` | 415 | The header `content-type: application/json` is missing. |
| `unsupported_encoding` | 415 | The body is compressed by another method than gzip or deflate. |
| `body_too_large` | 413 | The body exceeds `CLOSECAST_MAX_BODY_BYTES`, or 256 kB (JSON batch). |
| `body_too_slow` | 408 | The body took longer than `CLOSECAST_BODY_TIMEOUT_S`. |
| `body_lost` | 400 | The headers announce a body, and it arrived empty. |
| `malformed_request` | 400 | The bytes are no request of HTTP/1.1. |
| `method_not_allowed` | 405 | Also: CONNECT; this is no proxy. |
| `head_too_slow` | 408 | The head of a request took longer than `CLOSECAST_HEAD_TIMEOUT_S`. |
| `target_too_long` | 414 | The request line is longer than 64 kB. |
| `head_too_large` | 431 | The headers have more than 64 kB together, or are more than 256. |
| `too_many_connections` | 503 | All connections are at work; see `Retry-After`. |
| `key_needed` | 401 | API keys exist, and the request carries none. |
| `unknown_key` | 401 | The API key is not known, or was revoked. |
| `scope_too_small` | 403 | The key may read; the operation needs the scope `admin`. |
| `admin_needs_key` | 403 | Without keys, only programs on the same machine may change something. |
| `cross_site_request` | 403 | A page of another site sent the request. |
| `unknown_host` | 421 | The request names a host that is not this service's. |
| `rate_limited` | 429 | The rate of the key or address is used up; see `Retry-After`. |
| `internal_error` | 500 | A defect of closecast; the log holds it under the request id. |
"""


def page() -> str:
    """Two tables: errors of the library by status, and refusals of the HTTP layer."""
    status_of = resolve(STATUS_OF_ERROR)
    rows = sorted((status_of(_instance(kind)), kind.code, kind) for kind in error_classes())
    shown = [
        (
            f"`{code}`",
            f"{status} {http.HTTPStatus(status).phrase}",
            kind.fault,
            "yes" if kind.retry_helps else "no",
            (kind.__doc__ or "").splitlines()[0],
        )
        for status, code, kind in rows
    ]
    head = ("code", "status", "at fault", "retry", "meaning")
    return HEAD + "## Errors of an operation\n\n" + table(head, shown) + REQUESTS


def error_classes() -> Iterator[type[Any]]:
    """The classes that have a code of their own."""
    module = resolve(ERRORS)
    for kind in vars(module).values():
        ours = isinstance(kind, type) and issubclass(kind, module.ClosecastError)
        if ours and kind is not module.ClosecastError and "code" in vars(kind):
            yield kind


def _instance(kind: type[Any]) -> BaseException:
    made: BaseException = BaseException.__new__(kind)
    return made
