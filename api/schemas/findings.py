"""Findings of drift in a window of closes, and the origin of the window."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import Field, FiniteFloat

from api.schemas.base import Answer
from closecast.core.verdict import Channel, Code, ProvenanceMatch

EXAMPLE_FINDING: dict[str, Any] = {
    "code": "unit_error",
    "level": "fault",
    "statistic": "move like a split's or a unit's, over the volatility around it",
    "value": 335.4807,
    "threshold": 7.0,
    "sentence": "A close is 100 times the one before: another unit (cents, thousands)?",
    "p_value": 0.0005,
    "false_alarm_rate": 0.00004,
    "row": 59,
    "alternatives": [],
    "tail_ranks": {},
}
EXAMPLE_PROVENANCE: dict[str, Any] = {
    "match": "exact",
    "symbol": "MSFT",
    "first_session": "2022-10-04",
    "last_session": "2022-12-28",
    "factor": 1.0,
    "rows_that_differ": 0,
    "first_difference": None,
    "difference": None,
}
CONTENT_LANGUAGE: dict[str, Any] = {
    "Content-Language": {
        "schema": {"type": "string", "enum": ["en", "pt"]},
        "description": "Language of the sentences.",
    }
}
LEVEL_MEANS = (
    "`ok`: nothing found. `regime`: the market changed. `fault`: the data is probably wrong, "
    "also where other findings are present. `insufficient`: too few closes for a verdict."
)


class FindingAnswer(Answer):
    """One statistic of a window beyond its threshold, or one plain fact."""

    code: Code = Field(
        description="The cause. `shock` is one session of news; `closes_held`, of a "
        "forecast, a fault of newer closes, which are held back; other names explain themselves.",
        examples=[EXAMPLE_FINDING["code"]],
    )
    level: Channel = Field(
        description="`regime`: the market changed. `fault`: the data is probably wrong."
    )
    statistic: str = Field(
        description="Name of the measured quantity.", examples=[EXAMPLE_FINDING["statistic"]]
    )
    value: FiniteFloat
    threshold: FiniteFloat = Field(description="Limit beyond which a value counts as a finding.")
    sentence: str = Field(
        description="In the caller's language.", examples=[EXAMPLE_FINDING["sentence"]]
    )
    p_value: FiniteFloat | None = Field(
        description="Share of clean windows with such a value or a greater one, 0.0005 at least; "
        "`null` for a fact, such as two dates that disagree.",
        examples=[EXAMPLE_FINDING["p_value"]],
    )
    false_alarm_rate: FiniteFloat | None = Field(
        description="Share of clean windows on which this statistic alone exceeds its threshold.",
        examples=[EXAMPLE_FINDING["false_alarm_rate"]],
    )
    row: int | None = Field(
        description="Index of the first close concerned, in the order sent, from 0.",
        examples=[EXAMPLE_FINDING["row"]],
    )
    alternatives: list[Code] = Field(
        description="Other causes that look the same in the numbers that were sent. All of them, "
        "the likelier first, where it is unsure which it is (`regime`)."
    )
    tail_ranks: dict[Code, FiniteFloat] = Field(
        default_factory=dict,
        description="Of causes that look the same, the share of usual values that are as odd: of "
        "clean windows with such a move for `shock`, of the window's moves that are as large as "
        "the distance from the ratio for `split`.",
        examples=[{"split": 0.2881, "shock": 0.0005}],
    )


class ProvenanceAnswer(Answer):
    """Origin of a window among the closes that the service has collected."""

    match: ProvenanceMatch = Field(
        description="`exact`: row for row the symbol's, to rounding. `differs`: some rows are not. "
        "`gapped`: with sessions missing or added. "
        "`reversed`: newest first. `other_symbol`: another symbol's. `unknown`: not "
        "found, though its dates are known. `newer`: later than all known closes. `undated`: not "
        "found, and without a date that means nothing."
    )
    symbol: str | None = Field(description="Symbol whose closes they are.")
    first_session: date | None = Field(description="First session of the matching rows.")
    last_session: date | None
    factor: FiniteFloat | None = Field(
        description="Ratio of the closes sent to the known ones; 1 in the same unit and basis. "
        "That of the rows that agree, where not all do."
    )
    rows_that_differ: int | None = Field(
        description="Number of rows whose ratio to the known close is not `factor`."
    )
    first_difference: date | None = Field(
        description="Session of the known close beside the first such row."
    )
    difference: FiniteFloat | None = Field(
        description="Close sent over the known close in that row, over `factor`."
    )


class DriftAnswer(Answer):
    """Verdict on a window of closes."""

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
