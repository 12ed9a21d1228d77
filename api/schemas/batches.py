"""``POST /predict/batch``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import FailFast, Field

from api.schemas.base import Answer, ProblemDocument, Request
from api.schemas.predictions import Levels, PredictAnswer, Window

MOST_WINDOWS = 4096


class BatchRequest(Request):
    """Windows of any symbols; each may have the members of a single request."""

    # To describe the faults of each of many windows takes long: the first wrong window will do.
    windows: Annotated[list[Window], Field(min_length=1, max_length=MOST_WINDOWS), FailFast()]
    levels: Levels = None


class RefusedWindow(Answer):
    """A problem in place of the answer to one window; the other windows have their answers."""

    problem: ProblemDocument


class BatchAnswer(Answer):
    """One result per window, in the order of the windows."""

    results: list[PredictAnswer | RefusedWindow]
    answered: int
    refused: int


BATCH_LINES: dict[str, Any] = {
    "schema": {
        "type": "string",
        "description": "One window per line: a JSON object with the members of an item of "
        "`windows` in a JSON body. At most 4,096 lines of 256 kB each.",
    },
}
"""The request body as ``application/x-ndjson``, in the extension ``x-lines`` of the document.

No generator of clients can send lines; named among the content types, they were a warning."""

ANSWER_LINES: dict[str, Any] = {
    "schema": {
        "type": "string",
        "description": "One result per line, in the order of the windows.",
    },
}
"""The answer as ``application/x-ndjson``."""

BATCH_TOO_LARGE: dict[int, Any] = {
    413: {
        "body_too_large": "the body is larger than 262144 bytes; send a larger batch as "
        "application/x-ndjson, one window per line"
    }
}
