"""``POST /predict/batch``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from api.schemas.base import Answer, ProblemDocument, Request
from api.schemas.predict_examples import CLEAN
from api.schemas.predictions import EXAMPLE_CLOSES, Levels, PredictAnswer, Window

MOST_WINDOWS = 4096


class BatchEnvelope(Request):
    """The body as far as it is looked at in one go; each window is a :class:`Window`."""

    windows: Annotated[list[Any], Field(min_length=1, max_length=MOST_WINDOWS)]
    levels: Levels = None


class BatchRequest(BatchEnvelope):
    """Windows of any symbols; each may say what a single request may."""

    windows: Annotated[list[Window], Field(min_length=1, max_length=MOST_WINDOWS)]


class RefusedWindow(Answer):
    """In place of an answer: why this window has none. The others have theirs."""

    problem: ProblemDocument


class BatchAnswer(Answer):
    """One result per window, in the order of the windows."""

    results: list[PredictAnswer | RefusedWindow]
    answered: int
    refused: int


BATCH_BODY: dict[str, Any] = {
    "two windows": {
        "value": {
            "windows": [
                {"prices": EXAMPLE_CLOSES},
                {"prices": EXAMPLE_CLOSES, "symbol": "AAPL"},
            ],
            "levels": [0.8, 0.95],
        }
    }
}
_REFUSED: dict[str, Any] = {
    "problem": {
        "type": "urn:closecast:error:unknown_symbol",
        "title": "Not Found",
        "status": 404,
        "detail": "no model for ACME; there are models for: MSFT",
        "code": "unknown_symbol",
        "errors": [
            {
                "pointer": "/windows/1/symbol",
                "detail": "no model for ACME; there are models for: MSFT",
                "code": "unknown_symbol",
            }
        ],
        "request_id": "b6c1d2e3f4",
    }
}
BATCH_ANSWERED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One result per window.",
        "content": {
            "application/json": {
                "examples": {
                    "one answered, one refused": {
                        "value": {"results": [CLEAN, _REFUSED], "answered": 1, "refused": 1}
                    }
                }
            }
        },
    }
}
