"""``POST /predict``."""

from __future__ import annotations

import logging
import time

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api.deps import ServiceDep
from api.errors import responses
from api.schemas.predictions import PredictAnswer, PredictRequest
from closecast.forecasting import checked_levels
from closecast.ledger import Prediction as Logged
from closecast.serving import LEVELS, Prediction

router = APIRouter(tags=["forecasts"])
log = logging.getLogger("closecast.drift")


@router.post("/predict", responses=responses(400, 404, 413, 415, 422, 503))
async def predict(
    body: PredictRequest, request: Request, response: Response, service: ServiceDep
) -> PredictAnswer:
    """Forecast the next closes from the last ones (60 by default), oldest first.

    The same call says how sure it is (80 and 95 % intervals for every step, or any `levels`) and
    whether the window still looks like what the model learned from. Where a symbol is named whose
    collected closes end with this window, its whole history is used, and `mode` says so.
    """
    started = time.perf_counter()
    models = service.models
    symbol = models.canonical(body.symbol)
    # In memory it is answered here: the usual network takes a fraction of a millisecond. What
    # takes longer, and a symbol asked for the first time, goes to a thread: nobody else waits.
    snapshot = models.serving(symbol)
    if snapshot is None:
        snapshot = await run_in_threadpool(models.get, symbol)
    context = models.context(body.symbol, body.as_of)
    levels = checked_levels(body.levels) if body.levels else LEVELS
    state = None
    if body.symbol is not None and models.ends_with(symbol, body.prices):
        state = await run_in_threadpool(service.forecasting.newest_state, snapshot)
    if snapshot.is_slow:
        prediction = await run_in_threadpool(snapshot.predict, body.prices, context, levels, state)
    else:
        prediction = snapshot.predict(body.prices, context, levels, state)
    _log_findings(prediction, request)
    response.headers["X-Model-Version"] = prediction.model_version
    if prediction.calibration_revision is not None:
        response.headers["X-Calibration-Revision"] = str(prediction.calibration_revision)
    first = prediction.path[0]
    service.predictions.put(
        Logged(
            at=service.clock(),
            request_id=request.scope.get("request_id"),
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
            "drift_warning": prediction.verdict.warning,
            "drift_details": [finding.sentence for finding in prediction.verdict.findings],
            "drift_findings": prediction.verdict.findings,
            "path": prediction.path,
            "symbol": prediction.symbol,
            "model_version": prediction.model_version,
            "mode": "window only" if state is None else "with history",
            "calibration_revision": prediction.calibration_revision,
        }
    )


def _log_findings(prediction: Prediction, request: Request) -> None:
    for finding in prediction.verdict.findings:
        log.warning(
            "drift",
            extra={
                "request_id": request.scope.get("request_id"),
                "symbol": prediction.symbol,
                "model_version": prediction.model_version,
                "code": finding.code,
                "drift_level": finding.level,
                "statistic": finding.statistic,
                "value": finding.value,
                "threshold": finding.threshold,
                "sentence": finding.sentence,
            },
        )
