"""``/forecast``: dated forecasts; ``/forecasts``: forecasts as the database keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic.json_schema import SkipJsonSchema

from api.middleware.negotiation import GENERATION_HEADER, CsvDep, LanguageDep
from api.problems.openapi import Problems, responses
from api.schemas.base import SymbolText
from api.schemas.forecasts import (
    CommittedAnswer,
    CommittedList,
    CommittedRow,
    ForecastAnswer,
    ForecastRow,
    ForecastSummary,
    KindName,
    OutcomeAnswer,
    TodayAnswer,
)
from api.schemas.training import JobAnswer
from api.service import ServiceDep
from api.services.csv_tables import CSV_CONTENT, columns_of, csv_answer, row_of
from api.services.dated_forecasts import forecast_headers, spoken
from api.services.prediction import LEVELS_TEXT, levels_of
from api.services.training import job_answer
from closecast.core.records import (
    SCORED_LEVELS,
    DatedForecast,
    DatedStep,
    Outcome,
    probabilities_of,
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
    200: {"headers": FORECAST_HEADERS, "content": CSV_CONTENT},
    202: {
        "model": JobAnswer,
        "description": "No closes here yet: this job collects them; repeat the request afterwards.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
}


FORECAST_COLUMNS = ("forecast_id", "symbol", "model_version", "origin", "last_close")
"""Members of an answer that every row of its table repeats."""
_COMMITTED_COLUMNS = (
    *("forecast_id", "kind", "symbol", "model_version", "calibration_revision", "forecaster"),
    *("origin", "origin_close", "basis", "issued_at"),
)


@dataclass(frozen=True, slots=True)
class ForecastParameters:
    """Parameters that both forecast operations share."""

    symbol: SymbolPath
    service: ServiceDep
    response: Response
    language: LanguageDep
    as_table: CsvDep
    levels: Levels = LEVELS_TEXT

    def finish(self, answer: DatedAnswer) -> DatedAnswer:
        """Name the model in the headers of the answer; its sentences in the caller's language."""
        self.response.headers.update(forecast_headers(answer))
        return spoken(answer, self.language)

    def table(self, answer: ForecastSummary, path: Sequence[ForecastRow]) -> Response:
        """Table of some sessions of an answer."""
        rows = [row_of(row, answer, FORECAST_COLUMNS) for row in path]
        return csv_answer(self.response, rows, "forecast", answer.symbol)


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
    As CSV a row per session.
    """
    answer = parameters.service.forecasting.answer(
        parameters.symbol, horizon, levels_of(parameters.levels)
    )
    if isinstance(answer, Job):
        return _accepted(answer)
    finished = ForecastAnswer.model_validate(parameters.finish(answer))
    return parameters.table(finished, finished.path) if parameters.as_table else finished


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
    finished = TodayAnswer.model_validate({**about, "today": row})
    return parameters.table(finished, [finished.today]) if parameters.as_table else finished


@router.get(
    "/forecasts",
    response_model=CommittedList,
    responses={200: {"content": CSV_CONTENT}, **responses(422, 503)},
)
def list_forecasts(
    service: ServiceDep,
    response: Response,
    as_table: CsvDep,
    symbol: Annotated[
        SymbolText | None, Query(description="The default symbol without it.")
    ] = None,
    kind: Annotated[KindName | SkipJsonSchema[None], Query(description="Both without it.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> object:
    """Committed forecasts of a symbol, the last issued first, with outcomes once scored.

    As CSV a row per session of each.
    """
    canonical = service.models.canonical(symbol)
    found = service.database.forecasts.newest(canonical, kind, limit)
    forecasts = [_committed(*one) for one in found]
    if not as_table:
        return CommittedList(forecasts=forecasts)
    return _table(response, forecasts, "forecasts", canonical)


@router.get(
    "/forecasts/{forecast_id}",
    response_model=CommittedAnswer,
    responses={
        200: {"headers": _COMMITTED_HEADERS, "content": CSV_CONTENT},
        **responses(
            404, 422, 503, examples={404: {"unknown_forecast": "no forecast '0f1e2d3c4b5a6978'"}}
        ),
    },
)
def get_committed_forecast(
    forecast_id: Annotated[str, Path(max_length=64, description="As `GET /forecast` answered.")],
    service: ServiceDep,
    response: Response,
    as_table: CsvDep,
) -> object:
    """A forecast as it was committed, with the outcome of each step that is scored."""
    forecast, outcomes = service.database.forecasts.get(forecast_id)
    response.headers["X-Model-Version"] = forecast.version
    response.headers["X-Calibration-Revision"] = str(forecast.revision)
    committed = _committed(forecast_id, forecast, outcomes)
    return _table(response, [committed], "forecast", forecast_id) if as_table else committed


def _table(response: Response, forecasts: Sequence[CommittedAnswer], *names: str) -> Response:
    rows = [row_of(row, one, _COMMITTED_COLUMNS) for one in forecasts for row in one.path]
    columns = columns_of(CommittedRow, CommittedAnswer, _COMMITTED_COLUMNS)
    return csv_answer(response, rows, *names, columns=columns)


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
                probabilities_of(step.quantiles).tolist(), step.quantiles, strict=True
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
    hits = {
        f"{level:g}": hit
        for level, hit in zip(SCORED_LEVELS, outcome.hits, strict=True)
        if hit is not None
    }
    values = {name: getattr(outcome, name) for name in OutcomeAnswer.model_fields}
    return OutcomeAnswer.model_validate({**values, "hits": hits})
