"""``POST /predict``."""

from __future__ import annotations

import time
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Request, Response
from starlette.concurrency import run_in_threadpool

from api.middleware.fast_route import FastRoute, json_body, parse
from api.middleware.model_headers import GENERATION_HEADER, model_headers
from api.middleware.negotiation import AcceptLanguage, language_headers, request_language
from api.problems.openapi import responses
from api.schemas.findings import CONTENT_LANGUAGE
from api.schemas.predictions import PredictAnswer, PredictRequest
from api.service import Service
from api.services.prediction import asked_levels, members, question, settled
from closecast.serving.batching import answer_all

router = APIRouter(tags=["forecasts"], route_class=FastRoute)
_LONG = 100
_HEADERS: dict[str, Any] = {
    "X-Model-Version": {"schema": {"type": "string"}, "description": "The bundle that answered."},
    **GENERATION_HEADER,
    "X-Calibration-Revision": {
        "schema": {"type": "integer"},
        "description": "How many closes its calibration had learned from, with history.",
    },
    **CONTENT_LANGUAGE,
}


@router.post(
    "/predict",
    response_model=PredictAnswer,
    responses={200: {"headers": _HEADERS}, **responses(400, 404, 409, 413, 415, 422, 503)},
)
async def predict(
    request: Request,
    _body: Annotated[PredictRequest, Body()],
    _accept_language: AcceptLanguage = None,
) -> Response:
    """Forecast the next closes from the last ones (60 by default), oldest first.

    The same call says how sure it is (80 and 95 % intervals for every step, or any `levels`) and
    whether the window still looks like what the model learned from. Where a symbol is named whose
    collected closes end with this window, its whole history is used, and `mode` says so. Where
    drift finds something, the service may be set to answer with the last close and a wide
    interval (`degraded`), or to refuse what is probably wrong (409 `data_fault`).
    """
    started = time.perf_counter()
    body = parse(PredictRequest, await json_body(request))
    service: Service = request.app.state.service
    symbol = service.models.canonical(body.symbol)
    # In memory it is answered here: the usual network takes a fraction of a millisecond. What
    # takes longer, and a symbol asked for the first time, goes to a thread: nobody else waits.
    snapshot = service.models.serving(symbol)
    if snapshot is None:
        snapshot = await run_in_threadpool(service.models.get, symbol)
    asked = await question(service, body, snapshot, asked_levels(body.levels))
    if snapshot.is_slow or len(body.prices) > _LONG:  # a long window is long to recognise
        [answer] = await run_in_threadpool(answer_all, [asked])
        if isinstance(answer, Exception):
            raise answer
    else:
        answer = await service.together.ask(asked)
    prediction = settled(service, request, asked, answer, started)
    language = request_language(request)
    content = members(asked, prediction, language)
    headers = {
        **model_headers(prediction.model_version, prediction.generation),
        **language_headers(language),
    }
    if prediction.calibration_revision is not None:
        headers["X-Calibration-Revision"] = str(prediction.calibration_revision)
    if body.timing:
        content["timing"] = {
            "response_time_sec": time.perf_counter() - started,
            "memory_usage_percent": service.telemetry.machine.memory_percent,
        }
    service.latencies.add(time.perf_counter() - started)
    return Response(orjson.dumps(content), 200, headers, "application/json")
