"""What ``POST /predict`` and ``POST /predict/batch`` have in common."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson
from fastapi import Request
from orjson import Fragment
from starlette.concurrency import run_in_threadpool

from api.schemas.findings import FindingAnswer
from api.schemas.predictions import Window
from api.service import Service
from api.services.drift import log_findings, verdict_members
from closecast.calibration import AdaptiveState
from closecast.database import PredictionRecord as Logged
from closecast.drift import Language
from closecast.serving import LEVELS, FallbackPolicy, Prediction, Snapshot
from closecast.serving.batching import PredictionQuery
from closecast.serving.dated import checked_levels


def asked_levels(levels: Sequence[float] | None) -> tuple[float, ...]:
    """Of the intervals.

    Raises
    ------
    InvalidLevels
    """
    return checked_levels(levels) if levels else LEVELS


async def question(
    service: Service, window: Window, snapshot: Snapshot, levels: tuple[float, ...]
) -> PredictionQuery:
    """A window with everything that is known beside it."""
    closes, named = service.models.closes, window.symbol is not None
    state: AdaptiveState | None = None
    if named and (prices := closes.that_end_with(snapshot.symbol, window.prices)) is not None:
        known, state = service.forecasting.calibrations.recent(snapshot)
        if not known:
            state = await run_in_threadpool(service.forecasting.calibrations.newest, snapshot)
        if state is not None and state.session != prices.sessions[-1]:
            state = None  # a newer close came meanwhile
    context = closes.context(snapshot, named, window.as_of, window.sessions, window.volume)
    return PredictionQuery(snapshot, window.prices, context, levels, state)


def settled(
    service: Service,
    request: Request,
    asked: PredictionQuery,
    prediction: Prediction,
    started: float,
) -> Prediction:
    """What is answered: after findings were logged and the policy applied. Goes into the log.

    Parameters
    ----------
    started : float
        Of ``time.perf_counter``, when the request came.

    Raises
    ------
    DataFault
        If the policy is to refuse faults.
    """
    request_id = request.scope.get("request_id")
    if prediction.verdict.findings:
        log_findings(prediction.verdict, prediction.symbol, prediction.model_version, request_id)
        policy = FallbackPolicy.from_settings(service.settings)
        baseline = asked.snapshot.detector.baseline
        prediction = policy.apply(prediction, asked.closes, baseline.volatility)
    service.remember(
        Logged(
            at=service.clock(),
            request_id=request_id,
            symbol=prediction.symbol,
            version=prediction.model_version,
            last_close=prediction.naive_price,
            predicted_price=prediction.rows[0][0],
            drift_warning=prediction.verdict.warning,
            findings=tuple(finding.code for finding in prediction.verdict.findings),
            duration_ms=1000 * (time.perf_counter() - started),
        )
    )
    return prediction


def members(asked: PredictionQuery, prediction: Prediction, language: Language) -> dict[str, Any]:
    """Of :class:`api.schemas.predictions.PredictAnswer`, ready to be written as JSON by orjson."""
    levels, rows = prediction.levels, prediction.rows
    degraded = prediction.degraded_reason is not None
    said = verdict_members(prediction.verdict, language)
    intervals, path = _with_gaps(levels, len(rows))
    # To write fifty numbers between texts that are always the same takes a third of the time that
    # thirty dictionaries take to make and to write.
    numbers = (*orjson.dumps(rows).translate(None, b"[]").split(b","),)
    return {
        "predicted_price": rows[0][0],
        "naive_price": prediction.naive_price,
        "intervals": Fragment(intervals % numbers[1 : len(rows[0])]),
        "path": Fragment(path % numbers),
        "symbol": prediction.symbol,
        "model_version": prediction.model_version,
        "model_generation": prediction.generation,
        "mode": "window only" if asked.state is None or degraded else "with history",
        "calibration_revision": prediction.calibration_revision,
        **said,
        "drift_findings": [
            FindingAnswer.model_validate(f).model_dump() for f in said["drift_findings"]
        ],
        "drift_level": prediction.verdict.level,
        "degraded": degraded,
        "degraded_reason": prediction.degraded_reason,
        "timing": None,
    }


@lru_cache(maxsize=100)
def _with_gaps(levels: tuple[float, ...], horizon: int) -> tuple[bytes, bytes]:
    """A step's intervals, and all steps, as JSON with a gap for each number."""
    intervals = b"[%b]" % b",".join(
        b'{"level":%b,"lower":%%b,"upper":%%b}' % orjson.dumps(level) for level in levels
    )
    steps = [
        b'{"step":%d,"price":%%b,"intervals":%b}' % (step, intervals)
        for step in range(1, horizon + 1)
    ]
    return intervals, b"[%b]" % b",".join(steps)
