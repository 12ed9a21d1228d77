"""``/forecast``: dated forecasts; ``/forecasts``: forecasts as the database keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import JSONResponse

from api.middleware.negotiation import GENERATION_HEADER, LanguageDep
from api.problems.openapi import Problems, responses
from api.schemas.base import SymbolText
from api.schemas.forecasts import (
    CommittedAnswer,
    CommittedList,
    CommittedRow,
    ForecastAnswer,
    KindName,
    OutcomeAnswer,
    TodayAnswer,
)
from api.schemas.training import JobAnswer
from api.service import ServiceDep
from api.services.dated_forecasts import forecast_headers, spoken
from api.services.prediction import LEVELS_TEXT, levels_of
from api.services.training import job_answer
from closecast.core.records import (
    SCORED_LEVELS,
    SCORED_PROBABILITIES,
    DatedForecast,
    DatedStep,
    Outcome,
)
from closecast.database import Job
from closecast.serving.dated import DatedAnswer

router = APIRouter(tags=["forecasts"])

SymbolPath = Annotated[SymbolText, Path()]
Horizon = Annotated[
    int | None,
    Query(
        ge=1,
        description="Sessions ahead; by default the whole horizon of the model.",
        openapi_examples={"one week": {"value": 5}},
    ),
]
Levels = Annotated[
    str,
    Query(
        max_length=200,
        description="Levels of central intervals: 1 to 10 numbers from 0.5 to 0.99, with commas.",
        openapi_examples={
            "the usual two": {"value": LEVELS_TEXT},
            "one": {"value": "0.9"},
        },
    ),
]

_EXAMPLES: Problems = {
    404: {"unknown_symbol": "no model for ACME; there are models for: MSFT"},
    409: {
        "stale_prices": "the newest close of MSFT is of 2022-12-28, 970 completed sessions ago",
        "job_conflict": "another update job for MSFT is running: wait for it or cancel it",
    },
    422: {"too_few_closes": "a 99 % interval needs 199 past forecasts whose close is known"},
    503: {
        "storage_failed": "the ledger cannot be used, so no forecast is answered",
        "not_collected": "there is a model of MSFT, and its closes were never collected here",
        "calendar_too_short": "the calendar of XNYS holds 1990-01-02 to 2028-01-03",
    },
}
_COMMITTED_HEADERS: dict[str, Any] = {
    "X-Model-Version": {"schema": {"type": "string"}, "description": "The bundle that answered."},
    "X-Calibration-Revision": {
        "schema": {"type": "integer"},
        "description": "How many closes its calibration had learned from.",
    },
}
FORECAST_HEADERS: dict[str, Any] = {**_COMMITTED_HEADERS, **GENERATION_HEADER}
"""Headers of a dated forecast in the OpenAPI document."""
_JOB: dict[int | str, dict[str, Any]] = {
    200: {"headers": FORECAST_HEADERS},
    202: {
        "model": JobAnswer,
        "description": "No closes here yet: this job collects them; repeat the request afterwards.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
}


@dataclass(frozen=True, slots=True)
class ForecastParameters:
    """Parameters that both forecast operations share."""

    symbol: SymbolPath
    service: ServiceDep
    response: Response
    language: LanguageDep
    levels: Levels = LEVELS_TEXT

    def finish(self, answer: DatedAnswer) -> DatedAnswer:
        """Name the model in the headers of the answer; its sentences in the caller's language."""
        self.response.headers.update(forecast_headers(answer))
        return spoken(answer, self.language)


ForecastParametersDep = Annotated[ForecastParameters, Depends()]


@router.get(
    "/forecast/{symbol}",
    response_model=ForecastAnswer,
    responses={**_JOB, **responses(404, 409, 422, 503, examples=_EXAMPLES)},
)
def get_forecast(parameters: ForecastParametersDep, horizon: Horizon = None) -> object:
    """Forecast the next sessions of a symbol from the closes that the service collected.

    One row per session of the symbol's exchange, holidays left out. When a newer close is due, it
    is collected first; the answer waits for that a few seconds at most, and `age` shows how many
    sessions have passed since the newest close. The forecast is stored in the ledger before it is
    answered. Closes with a fault are refused where the service is set so (409 `data_fault`).
    """
    answer = parameters.service.forecasting.answer(
        parameters.symbol, horizon, levels_of(parameters.levels)
    )
    if isinstance(answer, Job):
        return _accepted(answer)
    return ForecastAnswer.model_validate(parameters.finish(answer))


@router.get(
    "/forecast/{symbol}/today",
    response_model=TodayAnswer,
    responses={**_JOB, **responses(404, 409, 422, 503, examples=_EXAMPLES)},
)
def get_forecast_today(parameters: ForecastParametersDep) -> object:
    """Forecast the session that is open now, or else the next to open (D+0)."""
    found = parameters.service.forecasting.today(parameters.symbol, levels_of(parameters.levels))
    if isinstance(found, Job):
        return _accepted(found)
    answer, row = found
    answer = parameters.finish(answer)
    about = {name: getattr(answer, name) for name in TodayAnswer.model_fields if name != "today"}
    return TodayAnswer.model_validate({**about, "today": row})


@router.get("/forecasts", responses=responses(422, 503))
def list_forecasts(
    service: ServiceDep,
    symbol: Annotated[
        SymbolText | None, Query(description="The default symbol without it.")
    ] = None,
    kind: Annotated[KindName | None, Query(description="Both without it.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> CommittedList:
    """Committed forecasts of a symbol, the last issued first, with outcomes once scored."""
    found = service.database.forecasts.newest(service.models.canonical(symbol), kind, limit)
    return CommittedList(forecasts=[_committed(*one) for one in found])


@router.get(
    "/forecasts/{forecast_id}",
    responses={
        200: {"headers": _COMMITTED_HEADERS},
        **responses(
            404, 422, 503, examples={404: {"unknown_forecast": "no forecast '0f1e2d3c4b5a6978'"}}
        ),
    },
)
def get_committed_forecast(
    forecast_id: Annotated[str, Path(max_length=64, description="As `GET /forecast` answered.")],
    service: ServiceDep,
    response: Response,
) -> CommittedAnswer:
    """A forecast as it was committed, with the outcome of each step that is scored."""
    forecast, outcomes = service.database.forecasts.get(forecast_id)
    response.headers["X-Model-Version"] = forecast.version
    response.headers["X-Calibration-Revision"] = str(forecast.revision)
    return _committed(forecast_id, forecast, outcomes)


def _accepted(job: Job) -> JSONResponse:
    answer = job_answer(job)
    content = answer.model_dump(mode="json")
    return JSONResponse(content, 202, {"Location": answer.url})


def _row(step: DatedStep, outcome: Outcome | None) -> CommittedRow:
    return CommittedRow(
        step=step.step,
        session=step.session,
        price=step.price,
        quantiles={
            f"{probability:.3f}": log_return
            for probability, log_return in zip(
                SCORED_PROBABILITIES.tolist(), step.quantiles, strict=True
            )
        },
        outcome=_outcome(outcome) if outcome else None,
    )


def _committed(
    forecast_id: str, forecast: DatedForecast, outcomes: Sequence[Outcome | None]
) -> CommittedAnswer:
    return CommittedAnswer(
        forecast_id=forecast_id,
        kind=forecast.kind,
        symbol=forecast.symbol,
        model_version=forecast.version,
        calibration_revision=forecast.revision,
        forecaster=forecast.forecaster,
        origin=forecast.origin,
        origin_close=forecast.origin_close,
        basis=forecast.basis,
        source=forecast.source,
        issued_at=forecast.issued_at,
        path=[_row(step, outcome) for step, outcome in zip(forecast.steps, outcomes, strict=True)],
    )


def _outcome(outcome: Outcome) -> OutcomeAnswer:
    hits = {f"{level:g}": hit for level, hit in zip(SCORED_LEVELS, outcome.hits, strict=True)}
    values = {name: getattr(outcome, name) for name in OutcomeAnswer.model_fields}
    return OutcomeAnswer.model_validate({**values, "hits": hits})
