"""``POST /predict``."""

from __future__ import annotations

import time
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Request, Response
from fastapi.exceptions import RequestValidationError

from api.contracts.other_names import forecast_of_stock, predicted_otherwise
from api.middleware.json_routes import FastRoute, json_body, parse
from api.middleware.negotiation import (
    GENERATION_HEADER,
    AcceptLanguage,
    language_headers,
    model_headers,
    request_language,
)
from api.problems.documents import CLOSES_MEMBER
from api.problems.openapi import responses
from api.schemas.findings import CONTENT_LANGUAGE
from api.schemas.other_names import (
    MonitoredAnswer,
    MonitoredRequest,
    StockForecast,
    StockRequest,
)
from api.schemas.predictions import PredictAnswer, PredictRequest
from api.service import Service
from api.services.prediction import prediction_members

router = APIRouter(tags=["forecasts"], route_class=FastRoute)

_HEADERS: dict[str, Any] = {
    "X-Model-Version": {"schema": {"type": "string"}, "description": "The bundle that answered."},
    **GENERATION_HEADER,
    "X-Calibration-Revision": {
        "schema": {"type": "integer"},
        "description": "Closes that its live calibration had learned from, with history.",
    },
    **CONTENT_LANGUAGE,
}


@router.post(
    "/predict",
    response_model=PredictAnswer | MonitoredAnswer | StockForecast,
    responses={200: {"headers": _HEADERS}, **responses(400, 404, 409, 413, 415, 422, 503)},
)
async def predict(
    request: Request,
    _body: Annotated[PredictRequest | MonitoredRequest | StockRequest, Body()],
    _accept_language: AcceptLanguage = None,
) -> Response:
    """Forecast the next closes from the last ones (60 by default), oldest first.

    The answer has intervals for every step (80 and 95 %, or any `levels`), and warnings if the
    window looks unlike the closes that the model learned from. If a symbol is named and its
    collected closes end with this window, its whole history is used (`mode`: `with history`).
    Any symbol is answered, by the default symbol's model where it has none (`calibration`); of
    more closes than the model reads the newest are used (`notes`). If drift finds something, the
    service may be set to answer with the last close and a wide interval (`degraded`), or to refuse
    data that are probably wrong (409 `data_fault`).

    Two calls of other systems are answered as theirs were: `{"predict": [closes]}` like `prices`,
    with time and memory at the top; `{"stock": "VALE3"}` with the newest dated forecast.
    """
    started = time.perf_counter()
    text, monitored = await json_body(request), False
    try:
        body = parse(PredictRequest, text)
    except RequestValidationError:
        asked = predicted_otherwise(text)
        if asked is None:
            raise
        if isinstance(asked, StockRequest):
            return await forecast_of_stock(request, asked)
        body, monitored = asked, True
        request.scope[CLOSES_MEMBER] = "predict"
    service: Service = request.app.state.service
    request_id = request.scope.get("request_id")
    prediction = await service.prediction.answer(body, body.levels, request_id, started)
    language = request_language(request)
    content = prediction_members(prediction, language)
    headers = {
        **model_headers(prediction.model_version, prediction.generation),
        **language_headers(language),
    }
    if prediction.calibration_revision is not None:
        headers["X-Calibration-Revision"] = str(prediction.calibration_revision)
    if body.timing or monitored:
        timing = {
            "response_time_sec": time.perf_counter() - started,
            "memory_usage_percent": service.telemetry.machine.memory_percent,
        }
        if body.timing:
            content["timing"] = timing
        if monitored:
            content |= timing
    service.latencies.add(time.perf_counter() - started)
    return Response(orjson.dumps(content), 200, headers, "application/json")
