"""``/fechamento``: today's close and the next five of the default symbol, in Portuguese.

The calls of a service that forecast the close of one stock (D+0) and of the five sessions after it
(D+1 to D+5). Days are sessions of the symbol's exchange, as everywhere here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from api.middleware.negotiation import CsvDep, LanguageDep
from api.problems.openapi import Problems, responses
from api.routes.forecast import FORECAST_COLUMNS, FORECAST_HEADERS, Levels
from api.schemas.base import SymbolText
from api.schemas.forecasts import ForecastRow, ForecastSummary
from api.schemas.other_names import ClosingRow, NextClosings, TodaysClosing
from api.service import ServiceDep
from api.services.csv_tables import CSV_CONTENT, csv_answer, row_of
from api.services.dated_forecasts import collected, forecast_headers, spoken
from api.services.prediction import LEVELS_TEXT, levels_of
from closecast.serving.dated import DatedAnswer, DatedRow

router = APIRouter(prefix="/fechamento", tags=["aliases"])

_AFTER_TODAY = 5

_EXAMPLES: Problems = {
    409: {
        "stale_prices": "the newest close of MSFT is of 2022-12-28, 970 completed sessions ago",
    },
    422: {"invalid_levels": "levels are between 0.5 and 0.99"},
    503: {
        "not_collected": "the closes of MSFT are being collected for the first time: ask again in "
        "a few seconds",
    },
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"headers": FORECAST_HEADERS, "content": CSV_CONTENT},
    **responses(404, 409, 422, 503, examples=_EXAMPLES),
}


@dataclass(frozen=True, slots=True)
class ClosingParameters:
    """Parameters of both operations."""

    service: ServiceDep
    response: Response
    language: LanguageDep
    as_table: CsvDep
    symbol: Annotated[SymbolText | None, Query(description="The default symbol without it.")] = None
    levels: Levels = LEVELS_TEXT

    def today(self) -> tuple[DatedAnswer, DatedRow]:
        """Forecast, and its row of the session that is open now, or else the next to open."""
        found = self.service.forecasting.today(self.symbol, levels_of(self.levels))
        answer, row = collected(found)
        self.response.headers.update(forecast_headers(answer))
        return spoken(answer, self.language), row

    def table(self, answer: DatedAnswer, closings: Sequence[ClosingRow]) -> Response:
        """Table of some sessions of a forecast."""
        summary = ForecastSummary.model_validate(answer)
        rows = [row_of(row, summary, FORECAST_COLUMNS) for row in closings]
        return csv_answer(self.response, rows, "fechamento", answer.symbol)


ClosingParametersDep = Annotated[ClosingParameters, Depends()]


@router.get("/hoje", response_model=TodaysClosing, responses=_ANSWERS)
def get_todays_closing(parameters: ClosingParametersDep) -> object:
    """Forecast the close of the session that is open now, or else the next to open (D+0).

    `GET /forecast/{symbol}/today` under another name, for the default symbol.
    """
    answer, row = parameters.today()
    if parameters.as_table:
        return parameters.table(answer, [_row(0, row)])
    return TodaysClosing.model_validate({**_about(answer), "today": row, **_named(0, row)})


@router.get("/proximos", response_model=NextClosings, responses=_ANSWERS)
def list_next_closings(parameters: ClosingParametersDep) -> object:
    """Forecast the closes of the five sessions after that one (D+1 to D+5), which is beside.

    `GET /forecast/{symbol}` under another name, for the default symbol.
    """
    answer, row = parameters.today()
    today, *after = answer.path[row.step - 1 : row.step + _AFTER_TODAY]
    following = [_row(ahead, one) for ahead, one in enumerate(after, 1)]
    if parameters.as_table:
        return parameters.table(answer, [_row(0, today), *following])
    return NextClosings.model_validate(
        {**_about(answer), "hoje": _row(0, today), "proximos": following}
    )


def _about(answer: DatedAnswer) -> dict[str, Any]:
    return ForecastSummary.model_validate(answer).model_dump()


def _row(ahead: int, row: DatedRow) -> ClosingRow:
    forecast = ForecastRow.model_validate(row).model_dump()
    return ClosingRow.model_validate({**forecast, **_named(ahead, row)})


def _named(ahead: int, row: DatedRow) -> dict[str, Any]:
    return {"dia": f"D+{ahead}", "data": row.session, "preco": row.price}
