"""``/predictions``: the log of answered windows, in pages and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from api.middleware.negotiation import CsvDep
from api.middleware.prefix import public
from api.problems.openapi import responses
from api.schemas.base import SymbolText
from api.schemas.prediction_log import LoggedPrediction, PredictionPage
from api.service import ServiceDep
from api.services.csv_tables import (
    CSV_CONTENT,
    columns_of,
    csv_answer,
    csv_headers,
    csv_text,
    header_line,
    row_of,
)
from closecast.database import PredictionFilter, PredictionLog, PredictionRecord

router = APIRouter(tags=["forecasts"])

CHUNK = 1_000
"""Rows of an export that are in memory at once."""

_NEXT = {
    "Link": {"schema": {"type": "string"}, "description": "As CSV: the page of the older ones."}
}
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_Row = tuple[int, PredictionRecord]


def _filter(
    service: ServiceDep,
    symbol: Annotated[SymbolText | None, Query()] = None,
    version: Annotated[
        str | None,
        Query(
            max_length=60, pattern=r"^[A-Za-z0-9._-]+$", description="Answers of this model only."
        ),
    ] = None,
    since: Annotated[
        AwareDatetime | None,
        Query(
            alias="from",
            ge=_EARLIEST,
            le=_LATEST,
            description="First moment (RFC 3339).",
            openapi_examples={"a day": {"value": "2026-01-02T00:00:00Z"}},
        ),
    ] = None,
    until: Annotated[
        AwareDatetime | None,
        Query(alias="to", ge=_EARLIEST, le=_LATEST, description="First moment after the last one."),
    ] = None,
) -> PredictionFilter:
    known = None if symbol is None else service.models.canonical(symbol)
    return PredictionFilter(known, version, since, until)


FilterDep = Annotated[PredictionFilter, Depends(_filter)]


@router.get(
    "/predictions",
    response_model=PredictionPage,
    responses={200: {"content": CSV_CONTENT, "headers": _NEXT}, **responses(422, 503)},
)
def list_predictions(
    service: ServiceDep,
    response: Response,
    as_table: CsvDep,
    selection: FilterDep,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
    before_id: Annotated[
        int | None, Query(ge=0, le=2**63 - 1, description="Taken from `next` of the page before.")
    ] = None,
) -> object:
    """Windows that `POST /predict` and `/predict/batch` answered, the last logged first.

    Each is logged within a second or two, without a guarantee: losses are counted in
    `closecast_predictions_dropped_total`. The newest `CLOSECAST_PREDICTIONS_KEPT` are kept. As CSV
    one page, too, with the address of the next one in the header `Link`; `GET /predictions.csv`
    answers the whole log.
    """
    rows = service.database.predictions.page(selection, limit + 1, before_id)
    shown = rows[:limit]
    page = PredictionPage(
        predictions=[_answer(row) for row in shown],
        next=_next(selection, limit, shown[-1][0]) if len(rows) > limit else None,
    )
    if not as_table:
        return page
    if page.next:
        response.headers["Link"] = f'<{page.next}&format=csv>; rel="next"'
    table = [row_of(one) for one in page.predictions]
    return csv_answer(response, table, "predictions", columns=columns_of(LoggedPrediction))


@router.get(
    "/predictions.csv",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "UTF-8, the last logged first.",
            "content": CSV_CONTENT,
        },
        **responses(422, 503),
    },
)
def export_predictions(
    service: ServiceDep,
    selection: FilterDep,
    limit: Annotated[int, Query(ge=1, le=1_000_000)] = 100_000,
) -> StreamingResponse:
    """The log as CSV, read from the ledger in parts, so that any number of rows fits into memory.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    predictions = service.database.predictions
    first = predictions.page(
        selection, min(CHUNK, limit)
    )  # a failure is a problem, not half a table
    return StreamingResponse(
        _lines(predictions, selection, limit, first),
        media_type="text/csv",
        headers=csv_headers("predictions"),
    )


def _lines(
    predictions: PredictionLog, selection: PredictionFilter, limit: int, rows: Sequence[_Row]
) -> Iterator[str]:
    columns = columns_of(LoggedPrediction)
    yield header_line(columns)
    while rows:
        yield csv_text(columns, (row_of(_answer(row)) for row in rows))
        limit -= len(rows)
        if not limit:
            return
        rows = predictions.page(selection, min(CHUNK, limit), before_id=rows[-1][0])


def _answer(row: _Row) -> LoggedPrediction:
    number, record = row
    return LoggedPrediction(
        id=number,
        time=record.at,
        request_id=record.request_id,
        symbol=record.symbol,
        model_version=record.version,
        last_close=record.last_close,
        predicted_price=record.predicted_price,
        drift_warning=record.drift_warning,
        drift_findings=list(record.findings),
        response_time_sec=record.duration_ms / 1000,
        memory_usage_percent=record.memory_percent,
    )


def _next(selection: PredictionFilter, limit: int, before_id: int) -> str:
    parameters = {
        "symbol": selection.symbol,
        "version": selection.version,
        "from": selection.since.isoformat() if selection.since else None,
        "to": selection.until.isoformat() if selection.until else None,
        "limit": limit,
        "before_id": before_id,
    }
    given = {name: value for name, value in parameters.items() if value is not None}
    return public(f"/predictions?{urlencode(given)}")
