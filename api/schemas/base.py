"""Base classes of requests, answers and problem documents."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

EXAMPLE_VERSION = "20260102T030405Z-0a1b2c3d"

SymbolText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=32,
        description="Ticker symbol in any spelling: `VALE3` and `VALE3.SA` are the same.",
        examples=["MSFT"],
    ),
]

PRICE = "price"
"""Marks a member as a price (``Annotated[float, PRICE]``): tables for people show it rounded."""

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _written_out(value: object) -> object:
    # Without this a number is taken for seconds since 1970.
    if not (isinstance(value, str) and _ISO_DATE.fullmatch(value)):
        raise ValueError("write it as YYYY-MM-DD")
    return value


IsoDate = Annotated[date, BeforeValidator(_written_out)]
"""A date that is written out; numbers and other forms are refused."""


class Request(BaseModel):
    """Base of requests: unknown members are refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(from_attributes=True)


class ProblemDocument(BaseModel):
    """An error, after RFC 9457. `code` is stable; `detail` is for people, with the next step."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:closecast:error:wrong_window_length"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["got 3 closes, the model needs at least 60"])
    code: str = Field(examples=["wrong_window_length"])
    errors: list[ProblemItem] = Field(default_factory=list)
    request_id: str | None = None


class ProblemItem(BaseModel):
    """One fault and its place: a JSON pointer (RFC 6901) into the body, or a parameter."""

    pointer: str = Field(examples=["/prices/3"])
    detail: str
    code: str
