"""Which model an answer is of, in its headers."""

from __future__ import annotations

from typing import Any

from fastapi import Response

GENERATION_HEADER: dict[str, Any] = {
    "X-Model-Generation": {
        "schema": {"type": "integer"},
        "description": "The step of the symbol's pointer that led to it.",
    }
}
"""For the OpenAPI document."""


def model_headers(version: str, generation: int) -> dict[str, str]:
    """The bundle that answered, and the step of its symbol's pointer that led to it.

    A version may be current more than once; a generation never is.
    """
    return {"X-Model-Version": version, "X-Model-Generation": str(generation)}


def name_model(response: Response, version: str, generation: int) -> None:
    """:func:`model_headers` on an answer that FastAPI makes."""
    response.headers.update(model_headers(version, generation))
