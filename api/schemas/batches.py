"""``POST /predict/batch``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from api.schemas.base import Answer, ProblemDocument, Request
from api.schemas.predictions import Levels, PredictAnswer, Window

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
