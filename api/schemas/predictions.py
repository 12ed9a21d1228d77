"""``POST /predict``, and the windows of closes that it and ``POST /drift`` are sent."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from api.schemas.base import EXAMPLE_VERSION, PRICE, Answer, Request, SymbolText
from api.schemas.findings import LEVEL_MEANS, DriftAnswer
from closecast.core.forecast import DEFAULT_LEVELS
from closecast.core.prices import MAX_PRICE, MIN_PRICE
from closecast.core.verdict import Level

LONGEST_OF_A_MODEL = 512
"""Closes; the largest ``seq_length`` that any bundle can have."""

_MAX_WINDOW = 10_000  # forty years of sessions: closes that a file may hold
_MAX_VOLUME = 1e18  # of the most traded coins 1e15 change hands in a day

# Strict: "5" and true are no prices. Integers are.
Close = Annotated[float, Field(strict=True, ge=MIN_PRICE, le=MAX_PRICE, allow_inf_nan=False)]
Volume = Annotated[float, Field(strict=True, ge=0, le=_MAX_VOLUME, allow_inf_nan=False)]


class Window(Request):
    """The last closes of a symbol, oldest first, and optional dates and volumes."""

    prices: Annotated[
        list[Close],
        Field(
            min_length=1,
            max_length=_MAX_WINDOW,
            description="Closes, oldest first; at least as many as the model's window has (60 by "
            "default). Of more, the newest are used.",
        ),
    ]
    symbol: SymbolText | None = Field(
        None,
        description="Without it the default symbol's model answers, and closes of another symbol "
        "are no fault. For a symbol that has no model it answers too: see `calibration`.",
    )
    as_of: date | None = Field(
        None, description="Date of the last close; lets its level be compared with known closes."
    )
    sessions: Annotated[list[date], Field(max_length=_MAX_WINDOW)] | None = Field(
        None,
        description="Date of each close, as they are sent: dates out of order are a finding, not "
        "an error. Goes before `as_of`.",
    )
    volume: Annotated[list[Volume], Field(max_length=_MAX_WINDOW)] | None = Field(
        None, description="Traded volume of each day, in any unit; tells a split from news."
    )

    @field_validator("sessions", "volume")
    @classmethod
    def _one_per_close(cls, value: list[Any] | None, info: ValidationInfo) -> list[Any] | None:
        prices = info.data.get("prices")  # absent where they do not fit themselves
        if value is not None and prices is not None and len(value) != len(prices):
            raise PydanticCustomError(
                "wrong_length",
                "got {got} for {expected} closes; one for each is needed",
                {"got": len(value), "expected": len(prices)},
            )
        return value


class CutWindow(Window):
    """The newest closes of a longer window; `sent` counts all."""

    sent: int


def newest_of(window: Window, count: int) -> CutWindow:
    """Keep the newest closes of a longer window, with their dates and volumes.

    They are at its end, unless its dates say that the newest come first.
    """
    days = window.sessions
    newest_first = days is not None and days[0] > days[-1]
    kept = slice(count) if newest_first else slice(-count, None)
    return CutWindow.model_construct(
        prices=window.prices[kept],
        symbol=window.symbol,
        as_of=window.as_of,
        sessions=None if days is None else days[kept],
        volume=None if window.volume is None else window.volume[kept],
        sent=window.sent if isinstance(window, CutWindow) else len(window.prices),
    )


Levels = Annotated[
    Annotated[list[float], Field(min_length=1, max_length=10)] | None,
    Field(
        description="Levels of the intervals, each from 0.5 to 0.99; "
        f"{' and '.join(map(str, DEFAULT_LEVELS))} without it."
    ),
]


class PredictRequest(Window):
    """The last closes of a symbol, oldest first; unknown members are refused."""

    levels: Levels = None
    timing: bool = Field(False, description="Add `timing` to the answer.")


CLOSES_USED_MEANS = "The newest of the closes sent, as many as the model reads."
NOTES_MEAN = (
    "Sentences on how the request was read: closes that were left out, a symbol without a model."
)
EXAMPLE_NOTES = ["440 older closes were left out: the model reads the newest 60."]
CalibrationName = Literal["symbol", "pooled"]
CALIBRATION_MEANS = (
    "`symbol`: by past errors of `model_symbol`. `pooled`: the symbol has no model, so the default "
    "symbol's answers, by past errors of all symbols that it was trained on (one, if it was "
    "trained alone)."
)


class IntervalAnswer(Answer):
    """A central interval of the close."""

    level: float = Field(examples=[0.8])
    lower: Annotated[FiniteFloat, PRICE]
    upper: Annotated[FiniteFloat, PRICE]


class StepAnswer(Answer):
    """One session ahead."""

    step: int = Field(ge=1)
    price: FiniteFloat
    intervals: list[IntervalAnswer]


class Timing(Answer):
    """Time and memory that an answer took."""

    response_time_sec: FiniteFloat = Field(examples=[0.0006])
    memory_usage_percent: FiniteFloat = Field(
        description="Of the machine's memory, in use by all its processes.", examples=[41.5]
    )


class Predicted(Answer):
    """Forecast of the next closes, with intervals."""

    predicted_price: FiniteFloat = Field(
        description="Point forecast of the next close; often the last close."
    )
    naive_price: FiniteFloat = Field(description='"Tomorrow = today": the last close.')
    intervals: list[IntervalAnswer] = Field(description="Of the next close.")
    path: list[StepAnswer] = Field(description="Every step of the horizon.")
    symbol: str | None = Field(
        description="Of the closes, as the caller named it; `null` where it named none.",
        examples=["MSFT"],
    )
    model_symbol: str = Field(
        description="Symbol whose model answered: the same, or the default symbol.",
        examples=["MSFT"],
    )
    calibration: CalibrationName = Field(description=CALIBRATION_MEANS)
    model_version: str = Field(examples=[EXAMPLE_VERSION])
    model_generation: int = Field(
        description="Counts the moves of the symbol's pointer: the same version may be current "
        "again later.",
        examples=[3],
    )
    mode: Literal["window only", "with history"] = Field(
        description="`with history` where the collected closes of the named symbol end with this "
        "window; each mode has rows of its own in the evaluation."
    )
    calibration_revision: int | None = Field(
        description="Closes that the live calibration had learned from, with history."
    )
    closes_used: int = Field(description=CLOSES_USED_MEANS, examples=[60])
    notes: list[str] = Field(description=NOTES_MEAN, examples=[EXAMPLE_NOTES])


class PredictAnswer(DriftAnswer, Predicted):
    """Forecast of the next closes with intervals, and drift warnings of the input."""

    drift_level: Level = Field(description=LEVEL_MEANS)
    degraded: bool = Field(
        description="The answer is the last close with a wide interval instead of the model's "
        "forecast: the service is set to answer so if drift finds something."
    )
    degraded_reason: str | None = Field(
        description="Findings that it is degraded for.", examples=["fault: split"]
    )
    timing: Timing | None = Field(None, description="If the request set `timing`.")
