"""``/performance``: scores of dated forecasts, beside the scores of the evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse

from api.middleware.negotiation import CsvDep, prefers_bytes
from api.middleware.prefix import public
from api.problems.openapi import responses
from api.schemas.base import SymbolText
from api.schemas.forecasts import KindName
from api.schemas.performance import PerformanceAnswer, StepPerformanceAnswer
from api.service import Service, ServiceDep
from api.services.csv_tables import CSV_CONTENT, columns_of, csv_answer, row_of
from closecast.core.symbols import folder_name
from closecast.errors import NotDrawnYet, UnknownSymbol
from closecast.infra.paths import leads_out
from closecast.metrics.live import ENOUGH, summarise
from closecast.registry.documents import EVALUATION_FILE, of_symbol, promise_of

router = APIRouter(prefix="/performance", tags=["forecasts"])

SymbolPath = Annotated[SymbolText, Path()]
KindQuery = Annotated[
    KindName,
    Query(
        description="`live`: issued before the sessions closed. `replay`: issued afterwards, with "
        "a set clock; the two are never mixed.",
        openapi_examples={"what was live": {"value": "live"}},
    ),
]
_REPEATED = ("symbol", "kind", "model_version")
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture.",
        # Some generators of clients know no pictures, and leave an operation out that has no other.
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("image/png", "application/octet-stream")
        },
    }
}


@router.get(
    "/{symbol}",
    response_model=PerformanceAnswer,
    responses={200: {"content": CSV_CONTENT}, **responses(404, 422, 503)},
)
def get_performance(
    symbol: SymbolPath,
    service: ServiceDep,
    response: Response,
    as_table: CsvDep,
    kind: KindQuery = "live",
    version: Annotated[
        str | None, Query(max_length=60, description="Of one model; of all without it.")
    ] = None,
) -> object:
    """Relative MAE, coverage, bias and PIT of scored forecasts, with confidence intervals.

    Beside them the same scores in the evaluation of the served model (or of the named version).
    As CSV a row over all steps, whose `step` is empty, and one per step.
    """
    canonical = service.models.canonical(symbol)
    promised_by, promise = _promising(service, canonical, version)
    found = summarise(service.database.forecasts.scored(canonical, kind, version), promise)
    response.headers["X-Model-Version"] = promised_by
    answer = PerformanceAnswer.model_validate(
        {
            "symbol": canonical,
            "kind": kind,
            "model_version": version,
            "promise_version": promised_by,
            "promise": promise.get("overall"),
            "overall": found.overall,
            "steps": found.steps,
            "corrected": found.corrected,
            "plot": public(f"/performance/{quote(canonical)}/plot.png?kind={kind}"),
        }
    )
    if not as_table:
        return answer
    scored = [answer.overall, *answer.steps] if answer.overall else answer.steps
    rows = [row_of(row, answer, _REPEATED) for row in scored]
    columns = columns_of(StepPerformanceAnswer, PerformanceAnswer, _REPEATED)
    return csv_answer(response, rows, "performance", canonical, kind, columns=columns)


@router.get(
    "/{symbol}/plot.png",
    response_class=FileResponse,
    responses={
        **_PICTURE,
        **responses(
            404,
            422,
            examples={404: {"not_drawn_yet": "no picture of MSFT (live) yet"}},
        ),
    },
)
def get_performance_plot(
    symbol: SymbolPath, service: ServiceDep, request: Request, kind: KindQuery = "live"
) -> FileResponse:
    """Picture of the scores, as the worker drew it last, as PNG."""
    canonical = service.models.canonical(symbol)
    folder = service.settings.results_dir / folder_name(canonical)
    path = folder / f"performance-{kind}.png"
    if leads_out(service.settings.results_dir, path) or not path.is_file():
        raise NotDrawnYet(
            f"no picture of {canonical} ({kind}) yet: the worker draws it when it has scored "
            f"forecasts, with confidence intervals from {ENOUGH} origins on. Call "
            f"GET /forecast/{canonical} every session, or run `make replay` to see one"
        )
    as_bytes = prefers_bytes(request.headers.get("accept", ""))
    media_type = "application/octet-stream" if as_bytes else "image/png"
    headers = {"Cache-Control": "no-cache", "Vary": "Accept"}
    return FileResponse(path, media_type=media_type, headers=headers)


def _promising(service: Service, symbol: str, version: str | None) -> tuple[str, Mapping[str, Any]]:
    """The version that made the promise, and its evaluation's row of such forecasts."""
    snapshot = service.models.get(symbol)
    if version is None or version == snapshot.version:
        info, evaluation = snapshot.manifest.info, json.dumps(snapshot.evaluation).encode()
    else:
        bundle = service.registry.load(version)
        info = bundle.manifest.info
        if symbol not in info.symbols:
            raise UnknownSymbol(
                f"{version} is a model of {', '.join(info.symbols)}, not of {symbol}"
            )
        evaluation = of_symbol(bundle.files, EVALUATION_FILE, symbol)
    return version or snapshot.version, promise_of(evaluation, info.forecaster) or {}
