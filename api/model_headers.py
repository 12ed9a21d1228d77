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


def name_model(response: Response, version: str, generation: int) -> None:
    """Name the bundle that answered, and the step of its symbol's pointer that led to it.

    A version may be current more than once; a generation never is.
    """
    response.headers["X-Model-Version"] = version
    response.headers["X-Model-Generation"] = str(generation)
