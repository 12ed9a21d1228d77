"""``GET /``: the service at a glance."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from api.schemas.base import Answer
from api.schemas.forecasts import HeldClosesAnswer, KindName


class SymbolSummary(Answer):
    """A symbol with a model."""

    symbol: str
    model_version: str | None = Field(description="`null` where its pointer cannot be read.")
    newest_close: date | None = Field(description="Session of the newest close known here.")
    age: int | None = Field(description="Sessions completed since.")
    held: HeldClosesAnswer | None = Field(
        description="Fault for which newer closes are held back; `null`: none are."
    )
    problem: str | None = Field(description="Error that hides a part of the summary.")
    links: dict[str, str]


class SummaryAnswer(Answer):
    """The service at a glance."""

    name: Literal["closecast"]
    version: str
    kind: KindName
    now: datetime
    default_symbol: str
    symbols: list[SymbolSummary]
    left_off: int = Field(description="Symbols beyond those shown.")
    try_next: list[str] = Field(examples=[["curl -s http://127.0.0.1:8000/forecast/MSFT"]])
    links: dict[str, str]
