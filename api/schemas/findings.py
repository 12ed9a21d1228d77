"""What drift found in a window of closes."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field, FiniteFloat

from api.schemas.base import Answer
from closecast.core.verdict import Channel, Code

EXAMPLE_FINDING: dict[str, Any] = {
    "code": "unit_error",
    "level": "fault",
    "statistic": "move like a split's or a unit's, over the volatility around it",
    "value": 321.2169,
    "threshold": 7.0,
    "sentence": "A close is 100 times the one before: another unit (cents, thousands)?",
    "p_value": 0.0005,
    "false_alarm_rate": 0.00057,
    "row": 59,
    "alternatives": [],
}
EXAMPLE_PROVENANCE: dict[str, Any] = {
    "match": "exact",
    "symbol": "MSFT",
    "first_session": "2022-10-04",
    "last_session": "2022-12-28",
    "factor": 1.0,
}
CONTENT_LANGUAGE: dict[str, Any] = {
    "Content-Language": {
        "schema": {"type": "string", "enum": ["en", "pt"]},
        "description": "Of the sentences.",
    }
}
LEVEL_MEANS = (
    "`ok`: nothing found. `regime`: the market changed. `fault`: the data is probably wrong, "
    "whatever else was found. `insufficient`: too few closes to tell."
)

Match = Literal["exact", "gapped", "reversed", "other_symbol", "unknown", "newer", "undated"]


class FindingAnswer(Answer):
    """One statistic of a window beyond its threshold, or one fact that speaks for itself."""

    code: Code = Field(
        description="The cause. `shock` is one session of news; every other name says what it is.",
        examples=[EXAMPLE_FINDING["code"]],
    )
    level: Channel = Field(
        description="`regime`: the market changed. `fault`: the data is probably wrong."
    )
    statistic: str = Field(
        description="What was measured.", examples=[EXAMPLE_FINDING["statistic"]]
    )
    value: FiniteFloat
    threshold: FiniteFloat = Field(description="Beyond it is odd.")
    sentence: str = Field(
        description="In the caller's language.", examples=[EXAMPLE_FINDING["sentence"]]
    )
    p_value: FiniteFloat | None = Field(
        description="Share of clean windows with such a value or a greater one, 0.0005 at least; "
        "`null` for a fact, such as two dates that disagree.",
        examples=[EXAMPLE_FINDING["p_value"]],
    )
    false_alarm_rate: FiniteFloat | None = Field(
        description="How often this statistic alone is beyond its threshold on clean windows.",
        examples=[EXAMPLE_FINDING["false_alarm_rate"]],
    )
    row: int | None = Field(
        description="Of the first close that it is about, as it was sent; the first one is 0.",
        examples=[EXAMPLE_FINDING["row"]],
    )
    alternatives: list[Code] = Field(
        description="Other causes that look the same in the numbers that were sent."
    )


class ProvenanceAnswer(Answer):
    """Which closes that the service knows a window is, if it is any."""

    match: Match = Field(
        description="`exact`: row for row the symbol's. `gapped`: with sessions missing or added. "
        "`reversed`: newest first. `other_symbol`: exactly another symbol's. `unknown`: nowhere, "
        "though its dates are. `newer`: later than all that is known. `undated`: nowhere, and "
        "without a date nothing follows from that."
    )
    symbol: str | None = Field(description="Whose closes they are.")
    first_session: date | None = Field(description="Of the rows that were found.")
    last_session: date | None
    factor: FiniteFloat | None = Field(
        description="What was sent over what is known: 1 in the same unit and price basis."
    )


class DriftAnswer(Answer):
    """What to think of a window of closes."""

    drift_warning: bool = Field(description="Whether anything was found, in either channel.")
    drift_details: list[str] = Field(
        description="One sentence per finding.", examples=[[EXAMPLE_FINDING["sentence"]]]
    )
    drift_findings: list[FindingAnswer] = Field(
        description="The same, for programs; gravest first."
    )
    provenance: ProvenanceAnswer | None = Field(
        description="`null` where no closes of the symbol are known.", examples=[EXAMPLE_PROVENANCE]
    )
