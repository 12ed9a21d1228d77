"""``POST /predict``."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response
from starlette.concurrency import run_in_threadpool

from api.deps import ServiceDep
from api.drift import log_findings, verdict_members
from api.errors import responses
from api.negotiation import LanguageDep
from api.schemas.predict_examples import NOT_PREDICTED, PREDICT_BODY, PREDICTED
from api.schemas.predictions import PredictAnswer, PredictRequest
from closecast.forecasting import checked_levels
from closecast.ledger import Prediction as Logged
from closecast.serving import LEVELS, Policy

router = APIRouter(tags=["forecasts"])
_LONG = 100


@router.post(
    "/predict",
    responses={**PREDICTED, **responses(400, 404, 409, 413, 415, 422, 503, examples=NOT_PREDICTED)},
)
async def predict(
    body: Annotated[PredictRequest, Body(openapi_examples=PREDICT_BODY)],
    request: Request,
    response: Response,
    service: ServiceDep,
    language: LanguageDep,
) -> PredictAnswer:
    """Forecast the next closes from the last ones (60 by default), oldest first.

    The same call says how sure it is (80 and 95 % intervals for every step, or any `levels`) and
    whether the window still looks like what the model learned from. Where a symbol is named whose
    collected closes end with this window, its whole history is used, and `mode` says so. Where
    drift finds something, the service may be set to answer with the last close and a wide
    interval (`degraded`), or to refuse what is probably wrong (409 `data_fault`).
    """
    started = time.perf_counter()
    models = service.models
    symbol = models.canonical(body.symbol)
    # In memory it is answered here: the usual network takes a fraction of a millisecond. What
    # takes longer, and a symbol asked for the first time, goes to a thread: nobody else waits.
    snapshot = models.serving(symbol)
    if snapshot is None:
        snapshot = await run_in_threadpool(models.get, symbol)
    context = models.context(body.symbol, body.as_of, body.sessions, body.volume)
    levels = checked_levels(body.levels) if body.levels else LEVELS
    state = None
    if body.symbol is not None and models.ends_with(symbol, body.prices):
        state = await run_in_threadpool(service.forecasting.newest_state, snapshot)
    if snapshot.is_slow or len(body.prices) > _LONG:  # a long window is long to recognise
        prediction = await run_in_threadpool(snapshot.predict, body.prices, context, levels, state)
    else:
        prediction = snapshot.predict(body.prices, context, levels, state)
    request_id = request.scope.get("request_id")
    log_findings(prediction.verdict, prediction.symbol, prediction.model_version, request_id)
    policy = Policy.from_settings(service.settings)
    prediction = policy.apply(prediction, body.prices, snapshot.detector.baseline.volatility)
    degraded = prediction.degraded_reason is not None
    response.headers["X-Model-Version"] = prediction.model_version
    if prediction.calibration_revision is not None:
        response.headers["X-Calibration-Revision"] = str(prediction.calibration_revision)
    first = prediction.path[0]
    service.remember(
        Logged(
            at=service.clock(),
            request_id=request_id,
            symbol=prediction.symbol,
            version=prediction.model_version,
            last_close=prediction.naive_price,
            predicted_price=first.price,
            drift_warning=prediction.verdict.warning,
            findings=tuple(finding.code for finding in prediction.verdict.findings),
            duration_ms=1000 * (time.perf_counter() - started),
        )
    )
    return PredictAnswer.model_validate(
        {
            "predicted_price": first.price,
            "naive_price": prediction.naive_price,
            "intervals": first.intervals,
            **verdict_members(prediction.verdict, language),
            "drift_level": prediction.verdict.level,
            "degraded": degraded,
            "degraded_reason": prediction.degraded_reason,
            "path": prediction.path,
            "symbol": prediction.symbol,
            "model_version": prediction.model_version,
            "mode": "window only" if state is None or degraded else "with history",
            "calibration_revision": prediction.calibration_revision,
        }
    )
