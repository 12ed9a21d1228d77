"""``/performance``: scores of dated forecasts."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import Field

from api.schemas.base import Answer
from api.schemas.forecasts import KindName


class EstimateAnswer(Answer):
    """A figure with its 95 % confidence interval; `null` ends where there is too little data."""

    value: float | None
    lower: float | None
    upper: float | None


class CoverageAnswer(Answer):
    """Share of closes inside the intervals of one level."""

    level: float
    observed: EstimateAnswer
    promised: float | None = Field(description="Share in the evaluation of the model.")


class StepPerformanceAnswer(Answer):
    """Scores of one step, or of all together."""

    step: int | None = Field(description="`null` in the row over all steps.")
    n: int = Field(description="Scored forecasts.")
    origins: int
    first_session: date
    last_session: date
    enough: bool = Field(description="Whether the origins suffice for confidence intervals.")
    relative_mae: EstimateAnswer = Field(description="The model's over naive's; below 1 is better.")
    promised_relative_mae: float | None
    bias: float = Field(description="Mean of actual minus forecast log return.")
    bias_standard_error: float | None
    crps: float
    coverage: list[CoverageAnswer]
    pit: list[int] = Field(description="Forecasts per tenth of the PIT; equal where calibrated.")


class PerformanceAnswer(Answer):
    """Scores of a symbol's dated forecasts, beside those of the model's evaluation."""

    symbol: str = Field(examples=["MSFT"])
    kind: KindName
    model_version: str | None = Field(
        description="Only forecasts of this version count; `null`: of all versions."
    )
    promise_version: str | None = Field(
        description="Version whose evaluation the promise comes from."
    )
    promise: dict[str, Any] | None = Field(
        description="The evaluation's scores of that model, all steps together."
    )
    overall: StepPerformanceAnswer | None = Field(description="`null` until a forecast is scored.")
    steps: list[StepPerformanceAnswer]
    corrected: int = Field(
        description="Scored forecasts whose outcome is not the first one: a close was corrected "
        "after it had scored them. Both outcomes are kept; the newest counts."
    )
    plot: str = Field(examples=["/performance/MSFT/plot.png?kind=live"])
