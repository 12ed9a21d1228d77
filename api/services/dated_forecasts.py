"""Dated forecasts on their way out: sentences in the caller's language, headers, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from api.middleware.negotiation import model_headers
from closecast.database import Job
from closecast.drift import Language, in_language
from closecast.errors import NotCollected
from closecast.serving.dated import DatedAnswer

Found = TypeVar("Found")


def spoken(answer: DatedAnswer, language: Language) -> DatedAnswer:
    """Put the drift sentences of an answer into a language."""
    if answer.verdict is None:
        return answer
    return replace(answer, verdict=in_language(answer.verdict, language))


def forecast_headers(answer: DatedAnswer) -> dict[str, str]:
    """Headers that name the model of an answer and its calibration."""
    return {
        **model_headers(answer.model_version, answer.generation),
        "X-Calibration-Revision": str(answer.calibration_revision),
    }


def collected(found: Found | Job) -> Found:
    """Return an answer; refuse the job that collects closes for it.

    Callers of other systems expect prices in every answer of success: a 202 has none.

    Raises
    ------
    NotCollected
        While the job collects them.
    """
    if isinstance(found, Job):
        raise NotCollected(
            f"the closes of {found.symbol} are being collected for the first time: ask again in a "
            f"few seconds. GET /train/{found.id} shows how far it is"
        )
    return found
