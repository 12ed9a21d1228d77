"""``/forecast`` and ``/forecasts``: dated forecasts and their outcomes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from api.schemas.base import EXAMPLE_VERSION, PRICE, Answer
from api.schemas.findings import FindingAnswer
from api.schemas.predictions import IntervalAnswer
from closecast.database import JobState

EXAMPLE_FORECAST_ID = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
KindName = Literal["live", "replay"]


class ForecastRow(Answer):
    """One session of the symbol's exchange."""

    step: int = Field(ge=1, description="Sessions after the origin.")
    session: date
    closes_at: datetime = Field(description="The closing bell.")
    elapsed: bool = Field(description="Whether the bell had rung when this was answered.")
    price: Annotated[float, PRICE] = Field(description="Median; often the last close.")
    naive_price: Annotated[float, PRICE] = Field(description='"Tomorrow = today": the last close.')
    intervals: list[IntervalAnswer] = Field(
        description="Intervals of this session alone, one per requested level."
    )
    path_band: IntervalAnswer = Field(
        description="This session's part of a joint band for *all* sessions of the model's horizon."
    )


class HeldClosesAnswer(Answer):
    """Collected closes that are probably wrong: held back, so that nothing learns from them."""

    since: date = Field(
        description="First session of the fault; its close and all later ones are held back as "
        "they were collected last."
    )
    code: str = Field(description="Name of the fault.", examples=["suspected_split"])
    reason: str = Field(
        examples=["2022-12-29: a move like an unadjusted 2:1 split"],
    )
    ends: str = Field(
        description="Events that end it.",
        examples=["A corrected close, or `POST /prices/MSFT/accept` if the close is right."],
    )
    noticed_at: datetime = Field(description="Time at which the fault was first seen.")


class UpdateAttemptAnswer(Answer):
    """The newest attempt to get newer closes of a symbol."""

    job_id: str = Field(description="`GET /train/{job_id}` shows more.")
    state: JobState
    at: datetime = Field(description="End of the attempt; before that, when it was queued.")
    reason: str | None = Field(
        description="Reason why it brought no newer close; `null` while it waits or runs.",
        examples=["source_unavailable: HTTP 429"],
    )


class ForecastSummary(Answer):
    """Origin of a dated forecast, and the model that made it."""

    forecast_id: str = Field(
        description="Identifier in the ledger: `GET /forecasts/{forecast_id}`."
    )
    kind: KindName = Field(description="`replay`: answered with a set clock.")
    symbol: str
    exchange: str = Field(description="Exchange calendar: ISO 10383 code, or `24/7`.")
    model_version: str
    calibration_revision: int
    origin: date = Field(description="Session of the newest close it starts from.")
    last_close: Annotated[float, PRICE]
    basis: Literal["raw", "adjusted", "unknown"] = Field(description="Price basis of all prices.")
    age: int = Field(ge=0, description="Sessions completed since the origin.")
    stale: bool = Field(description="Whether `age` is above 0.")
    unfinished_session: date | None = Field(
        description="A session that was not over when closes were collected: left out."
    )
    drift_warning: bool = Field(
        description="Whether the newest closes differ from the training data, or are held back."
    )
    drift_details: list[str] = Field(examples=[[]])
    drift_findings: list[FindingAnswer] = Field(description="The same, for programs.")
    held: HeldClosesAnswer | None = Field(
        description="Fault for which closes after the origin are held back; until it ends, the "
        "forecast starts from the same close. `null`: none are."
    )
    last_update: UpdateAttemptAnswer | None = Field(
        description="Newest attempt to get newer closes, while `stale`; `null` where it is fresh, "
        "or no worker collects closes."
    )
    note: str | None = Field(
        description="Reason where all prices are the last close, or some; else `null`.",
        examples=[
            "its point forecast was no better than today's close, so it was set to that: all ten "
            "prices are the same"
        ],
    )


class ForecastAnswer(ForecastSummary):
    """One row per session, each with its intervals."""

    path: list[ForecastRow]


class TodayAnswer(ForecastSummary):
    """The session that is open now, or else the next to open."""

    today: ForecastRow


class OutcomeAnswer(Answer):
    """Outcome of one step, once its close is known."""

    actual: Annotated[float, PRICE] = Field(
        description="The close, in the forecast's own price basis."
    )
    log_return: float
    error: float = Field(description="Actual minus forecast log return.")
    naive_error: float
    hits: dict[str, bool] = Field(
        description="Whether each central interval held the close.", examples=[{"0.9": True}]
    )
    crps: float
    pit: float
    scored_at: datetime


class CommittedRow(Answer):
    """One step as it was committed."""

    step: int
    session: date
    price: Annotated[float, PRICE]
    quantiles: dict[str, float] = Field(
        description="Probability to log return from `origin_close`.",
        examples=[{"0.050": -0.026, "0.950": 0.025}],
    )
    outcome: OutcomeAnswer | None = Field(description="Once the close is known and scored.")


class CommittedAnswer(Answer):
    """A forecast as stored in the ledger; never altered."""

    forecast_id: str = Field(examples=[EXAMPLE_FORECAST_ID])
    kind: KindName
    symbol: str = Field(examples=["MSFT"])
    model_version: str = Field(examples=[EXAMPLE_VERSION])
    calibration_revision: int
    forecaster: str
    origin: date
    origin_close: Annotated[float, PRICE]
    basis: str
    source: str
    issued_at: datetime
    path: list[CommittedRow]


class CommittedList(Answer):
    """Committed forecasts, the last issued first."""

    forecasts: list[CommittedAnswer]
