"""``POST /predict``."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.schemas.base import EXAMPLE_VERSION, Answer, Request, SymbolText
from closecast.prices import MAX_PRICE, MIN_PRICE

EXAMPLE_CLOSES: list[Any] = [round(240 + 0.35 * i - 6 * ((i * 7) % 11) / 11, 2) for i in range(60)]
_MAX_WINDOW = 512  # the largest seq_length any bundle can have

# Strict: "5" and true are no prices. Integers are.
Close = Annotated[float, Field(strict=True, ge=MIN_PRICE, le=MAX_PRICE, allow_inf_nan=False)]


class PredictRequest(Request):
    """The last closes of a symbol, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"prices": EXAMPLE_CLOSES, "symbol": "MSFT", "as_of": "2022-12-28"}]
        }
    )

    prices: Annotated[
        list[Close],
        Field(
            min_length=1,
            max_length=_MAX_WINDOW,
            description="Closes, oldest first; as many as the model's window has (60 by default).",
        ),
    ]
    symbol: SymbolText | None = Field(None, description="The default symbol answers without it.")
    as_of: date | None = Field(
        None, description="Date of the last close; lets its level be compared with known closes."
    )

    levels: Annotated[list[float], Field(min_length=1, max_length=10)] | None = Field(
        None, description="Of the intervals, each from 0.5 to 0.99; 0.8 and 0.95 without it."
    )


class Interval(Answer):
    """A central interval of the close."""

    level: float = Field(examples=[0.8])
    lower: float
    upper: float


class Step(Answer):
    """One session ahead."""

    step: int = Field(ge=1)
    price: float
    intervals: list[Interval]


class PredictAnswer(Answer):
    """Forecast of the next closes, how sure it is, and what to think of the input."""

    model_config = ConfigDict(protected_namespaces=())

    predicted_price: float = Field(
        description="Point forecast of the next close; often the last close."
    )
    naive_price: float = Field(description='"Tomorrow = today": the last close.')
    intervals: list[Interval] = Field(description="Of the next close.")
    drift_warning: bool = Field(description="Whether the input looks unlike the training data.")
    drift_details: list[str] = Field(
        examples=[["High volatility detected (3.1x the training level)."]]
    )
    drift_findings: list[Finding] = Field(description="The same, for programs.")
    path: list[Step] = Field(description="Every step of the horizon.")
    symbol: str
    model_version: str = Field(examples=[EXAMPLE_VERSION])
    mode: Literal["window only", "with history"] = Field(
        description="`with history` where the collected closes of the named symbol end with this "
        "window; each mode has rows of its own in the evaluation."
    )
    calibration_revision: int | None = Field(
        description="Closes that the live calibration had learned from, with history."
    )


class Finding(Answer):
    """One statistic of the window beyond its threshold."""

    code: str = Field(examples=["volatility_high"])
    level: Literal["regime", "fault"] = Field(
        description="`regime`: the market changed. `fault`: the data is probably wrong."
    )
    statistic: str
    value: float
    threshold: float
    sentence: str
