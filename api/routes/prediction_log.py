"""``/predictions``: the log of the windows that were answered, as pages and as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from api.problems.openapi import responses
from api.schemas.base import SymbolText
from api.schemas.prediction_log import COLUMNS, LoggedPrediction, PredictionPage
from api.service import ServiceDep
from closecast.database import PredictionFilter, PredictionLog, PredictionRecord

router = APIRouter(tags=["forecasts"])

CHUNK = 1_000
"""Rows of an export that are in memory at once."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_Row = tuple[int, PredictionRecord]


def _wanted(
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
        Query(alias="to", ge=_EARLIEST, le=_LATEST, description="First moment after it."),
    ] = None,
) -> PredictionFilter:
    known = None if symbol is None else service.models.canonical(symbol)
    return PredictionFilter(known, version, since, until)


WantedDep = Annotated[PredictionFilter, Depends(_wanted)]


@router.get("/predictions", responses=responses(422, 503))
def list_predictions(
    service: ServiceDep,
    wanted: WantedDep,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
    before_id: Annotated[
        int | None, Query(ge=0, le=2**63 - 1, description="As `next` of the page before has it.")
    ] = None,
) -> PredictionPage:
    """Windows that `POST /predict` and `/predict/batch` answered, the last logged first.

    Written within a second or two and best effort, the newest `CLOSECAST_PREDICTIONS_KEPT` are
    kept; what was lost is counted in `closecast_predictions_dropped_total`.
    """
    rows = service.database.predictions.page(wanted, limit + 1, before_id)
    shown = rows[:limit]
    return PredictionPage(
        predictions=[_answer(row) for row in shown],
        next=_next(wanted, limit, shown[-1][0]) if len(rows) > limit else None,
    )


@router.get(
    "/predictions.csv",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "UTF-8, the last logged first.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **responses(422, 503),
    },
)
def export_predictions(
    service: ServiceDep,
    wanted: WantedDep,
    limit: Annotated[int, Query(ge=1, le=1_000_000)] = 100_000,
) -> StreamingResponse:
    """The same as a table, straight from the ledger; as many rows at a time as fit into memory.

    No cell is a formula to a spreadsheet: a text that would be one begins with an apostrophe.
    """
    predictions = service.database.predictions
    first = predictions.page(wanted, min(CHUNK, limit))  # a failure is a problem, not half a table
    return StreamingResponse(
        _lines(predictions, wanted, limit, first),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="predictions.csv"'},
    )


def _lines(
    predictions: PredictionLog, wanted: PredictionFilter, limit: int, rows: Sequence[_Row]
) -> Iterator[str]:
    yield _table([COLUMNS])
    while rows:
        yield _table(_cells(row) for row in rows)
        limit -= len(rows)
        if not limit:
            return
        rows = predictions.page(wanted, min(CHUNK, limit), before_id=rows[-1][0])


def _table(rows: Iterator[Sequence[object]] | list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _cells(row: _Row) -> list[object]:
    values = _answer(row).model_dump(mode="json")
    values["drift_findings"] = " ".join(values["drift_findings"])
    return [_harmless(values[name]) for name in COLUMNS]


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _answer(row: _Row) -> LoggedPrediction:
    number, said = row
    return LoggedPrediction(
        id=number,
        time=said.at,
        request_id=said.request_id,
        symbol=said.symbol,
        model_version=said.version,
        last_close=said.last_close,
        predicted_price=said.predicted_price,
        drift_warning=said.drift_warning,
        drift_findings=list(said.findings),
        response_time_sec=said.duration_ms / 1000,
    )


def _next(wanted: PredictionFilter, limit: int, before_id: int) -> str:
    asked = {
        "symbol": wanted.symbol,
        "version": wanted.version,
        "from": wanted.since.isoformat() if wanted.since else None,
        "to": wanted.until.isoformat() if wanted.until else None,
        "limit": limit,
        "before_id": before_id,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return f"/predictions?{urlencode(given)}"
