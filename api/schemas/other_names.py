"""Requests and answers under the names of other systems: their members, with ours beside them."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import ConfigDict, Field, FiniteFloat

from api.schemas.base import PRICE, IsoDate, Request, SymbolText
from api.schemas.forecasts import ForecastAnswer, ForecastRow, ForecastSummary, TodayAnswer
from api.schemas.predictions import Levels, PredictAnswer, PredictRequest
from api.schemas.training import TrainBody


class MonitoredRequest(PredictRequest):
    """The last closes, oldest first, as `predict`: the call of monitored prediction services.

    Everything else is as beside `prices`.
    """

    model_config = ConfigDict(
        alias_generator=lambda name: "predict" if name == "prices" else name,
    )


class StockRequest(Request):
    """A stock by its name alone: its newest dated forecast is answered."""

    stock: SymbolText
    levels: Levels = None


class StockTraining(TrainBody):
    """A training of one stock between two dates, with the members of ten-day forecasters for B3.

    All members of the other form but `symbols` are possible, too.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    symbol: SymbolText = Field(alias="stock", examples=["VALE3"])
    start: IsoDate | None = Field(
        None, alias="inicio", description="First session to train on.", examples=["2015-01-01"]
    )
    end: IsoDate | None = Field(
        None, alias="fim", description="Last session to train on.", examples=["2024-12-31"]
    )


class MonitoredAnswer(PredictAnswer):
    """The usual answer, with time and memory beside the price."""

    response_time_sec: FiniteFloat = Field(examples=[0.0006])
    memory_usage_percent: FiniteFloat = Field(
        description="Of the machine's memory, in use by all its processes.", examples=[41.5]
    )


class StockForecast(ForecastAnswer):
    """Dated forecast as `GET /forecast/{symbol}` answers it, with its prices alone beside."""

    preco: list[FiniteFloat] = Field(
        description="Prices of the next sessions: ten, or as many as the model forecasts."
    )


class ClosingRow(ForecastRow):
    """Close of one session."""

    dia: str = Field(
        description="`D+0` is the session that is open now, or else the next to open; `D+1` the "
        "session after it.",
        examples=["D+0"],
    )
    data: date = Field(description="As `session`.")
    preco: Annotated[FiniteFloat, PRICE] = Field(description="As `price`.")


class TodaysClosing(TodayAnswer):
    """Close of the session that is open now, or else the next to open."""

    dia: str = Field(examples=["D+0"])
    data: date = Field(description="Its date.")
    preco: Annotated[FiniteFloat, PRICE] = Field(description="Its close.")


class NextClosings(ForecastSummary):
    """Closes of the session that is open now, or else the next to open, and of those after it."""

    hoje: ClosingRow
    proximos: list[ClosingRow] = Field(
        description="`D+1` to `D+5`; fewer where the model does not look as far ahead."
    )
