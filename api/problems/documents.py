"""Problem documents (RFC 9457): the form of every error answer."""

from __future__ import annotations

import http
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import Request

from api.middleware.negotiation import language_headers, request_language
from api.middleware.prefix import public
from api.problems.statuses import status_of
from api.schemas.findings import FindingAnswer
from closecast import errors as e
from closecast.core.verdict import Verdict
from closecast.drift import in_language
from closecast.infra.redaction import redacted

UNEXPECTED = 500, "internal_error", "something failed that should not; the log has the request id"
"""Status, code and detail of a defect of the service."""
MEDIA_TYPE = "application/problem+json"


CLOSES_MEMBER = "closecast.closes_member"
"""The member of an ASGI scope that holds the name under which closes were sent, if another one
than `prices`: problems point there."""


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
    status: int,
    code: str,
    detail: str,
    request_id: str | None,
    errors: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The members that every problem has."""
    return {
        "type": f"urn:closecast:error:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": redacted(detail),
        "code": code,
        "errors": [
            {**item, "pointer": redacted(item["pointer"]), "detail": redacted(item["detail"])}
            for item in errors
        ],
        "request_id": request_id,
    }


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
        extra["url"] = public(f"/train/{error.job_id}")
    if isinstance(error, e.DataFault) and error.findings:
        language = request_language(request)
        said = in_language(Verdict(error.findings), language).findings
        extra["findings"] = [FindingAnswer.model_validate(f).model_dump(mode="json") for f in said]
        headers = language_headers(language)
    detail = str(error) if part is None else f"{part}: {error}"
    closes = request.scope.get(CLOSES_MEMBER, "prices")
    request_id, items = request.scope.get("request_id"), _items_of(error, part, closes)
    content = problem_document(status_of(error), error.code, detail, request_id, items)
    return {**content, **extra}, headers


def _items_of(error: e.ClosecastError, part: str | None, closes: str) -> list[dict[str, str]]:
    """Places of the fault in the body; none for a symbol that came in the path."""
    if isinstance(error, e.InvalidHyperparameters):
        pairs = [(f"/hyperparameters/{name}", message) for name, message in error.problems]
    elif isinstance(error, e.WrongWindowLength | e.InvalidPrices):
        pairs = [(f"{part or ''}/{closes}", str(error))]
    elif part is not None:
        about_symbol = isinstance(error, e.UnknownSymbol | e.InvalidSymbol | e.NoModel)
        pairs = [(f"{part}/symbol" if about_symbol else part, str(error))]
    else:
        return []
    return [{"pointer": p, "detail": m, "code": error.code} for p, m in pairs]
