"""``GET /predictions``: what ``POST /predict`` answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from api.schemas.base import EXAMPLE_VERSION, PRICE, Answer


class LoggedPrediction(Answer):
    """One answer of `POST /predict`."""

    id: int = Field(description="Increases with every answer; gaps have no meaning.", examples=[17])
    time: datetime
    request_id: str | None = Field(description="As in the header `X-Request-ID` and in the logs.")
    symbol: str = Field(examples=["MSFT"])
    model_version: str = Field(examples=[EXAMPLE_VERSION])
    last_close: Annotated[float, PRICE] = Field(description="The newest close that was sent.")
    predicted_price: Annotated[float, PRICE] = Field(description="One session ahead.")
    drift_warning: bool
    drift_findings: list[str] = Field(description="Codes.", examples=[["volatility_high"]])
    response_time_sec: float = Field(description="Time that the answer took to compute.")
    memory_usage_percent: float | None = Field(
        description="Of the machine's memory, in use by all its processes, measured at most a "
        "second before; `null` for answers of versions that did not log it.",
        examples=[41.5],
    )


class PredictionPage(Answer):
    """Answers, the last logged first."""

    predictions: list[LoggedPrediction]
    next: str | None = Field(
        description="Address of the older ones; `null` where there are none.",
        examples=["/predictions?limit=50&before_id=17"],
    )
