"""The prediction service: from a window of closes to the answer of ``POST /predict``."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import orjson
from orjson import Fragment
from starlette.concurrency import run_in_threadpool

from api.schemas.findings import FindingAnswer
from api.schemas.predictions import Window
from api.services.windows import context_of, fit_to_model, notes_of
from api.telemetry.requests import UNKNOWN, Telemetry
from closecast.calibration import AdaptiveState
from closecast.core.forecast import DEFAULT_LEVELS
from closecast.core.verdict import Verdict
from closecast.database import PredictionLogWriter, PredictionRecord
from closecast.database.engine import Clock
from closecast.drift import Language, in_language
from closecast.errors import InvalidLevels
from closecast.serving import FallbackPolicy, ModelManager, Prediction, Snapshot
from closecast.serving.batching import Batcher, PredictionQuery, answer_all
from closecast.serving.dated import DatedForecastService, checked_levels
from closecast.serving.fallback_policy import own_volatility

log = logging.getLogger("closecast.drift")

LEVELS_TEXT = ",".join(map(str, DEFAULT_LEVELS))
"""The default levels as a parameter of the query: ``0.8,0.95``."""

_LEVEL = re.compile(r" *(0?\.[0-9]{1,6}) *", re.ASCII)
_LONG = 100
"""Closes; a longer window takes long to recognise among known closes."""


@dataclass(frozen=True)
class PredictionService:
    """Answers windows of closes with the models of this process, and logs every answer.

    Attributes
    ----------
    policy : FallbackPolicy
        Decides on windows that drift found something in.
    clock : callable
        The time (aware) that answers are logged with.
    """

    models: ModelManager
    forecasting: DatedForecastService
    policy: FallbackPolicy
    telemetry: Telemetry
    log: PredictionLogWriter
    clock: Clock
    batcher: Batcher = field(default_factory=Batcher)

    async def answer(
        self,
        window: Window,
        levels: Sequence[float] | None,
        request_id: str | None,
        started: float,
    ) -> Prediction:
        """Answer one window.

        A model in memory answers on the event loop: the usual network takes a fraction of a
        millisecond. A slower one, and a symbol that is named for the first time, goes to a thread.

        Parameters
        ----------
        levels : sequence of float, optional
            Of the intervals; the defaults without it.
        started : float
            Of ``time.perf_counter``, when the request came.

        Raises
        ------
        ClosecastError
            Without a model that could answer, or if the window, the levels or the policy forbid
            it.
        """
        symbol = self.models.canonical(window.symbol)
        snapshot = self.models.answering(symbol)
        if snapshot is None:
            snapshot = await run_in_threadpool(self.models.find_answering, symbol)
        query = await self.query(window, snapshot, interval_levels(levels))
        if snapshot.is_slow or len(query.closes) > _LONG:
            [made] = await run_in_threadpool(answer_all, [query])
            if isinstance(made, Exception):
                raise made
        else:
            made = await self.batcher.ask(query)
        return self.settle(query, made, request_id, started)

    async def query(
        self, window: Window, snapshot: Snapshot, levels: tuple[float, ...]
    ) -> PredictionQuery:
        """Cut a window to the model's length; look up the closes and calibration that belong to it.

        Raises
        ------
        InvalidSymbol
        """
        window, left_out = fit_to_model(window, snapshot)
        named, closes = window.symbol is not None, self.models.closes
        symbol = self.models.canonical(window.symbol) if named else None
        state: AdaptiveState | None = None
        if (
            named
            and not snapshot.is_pooled
            and (prices := closes.that_end_with(snapshot.symbol, window.prices)) is not None
        ):
            known, state = self.forecasting.calibrations.recent(snapshot)
            if not known:
                state = await run_in_threadpool(self.forecasting.calibrations.newest, snapshot)
            if state is not None and state.session != prices.sessions[-1]:
                state = None  # a newer close came meanwhile
        context = context_of(window, symbol, snapshot, closes)
        return PredictionQuery(snapshot, window.prices, context, levels, state, symbol, left_out)

    def settle(
        self, query: PredictionQuery, prediction: Prediction, request_id: str | None, started: float
    ) -> Prediction:
        """Log findings, apply the policy, count and log the answer; return the final answer.

        Raises
        ------
        DataFault
            If the policy is to refuse faults.
        """
        verdict = prediction.verdict
        about = prediction.symbol or prediction.model_symbol
        if query.left_out:
            prediction = replace(prediction, left_out=query.left_out)
        if verdict.findings:
            log_findings(verdict, about, prediction.model_version, request_id)
            volatility = query.snapshot.detector.baseline.volatility
            if prediction.pooled:
                volatility = own_volatility(query.closes, volatility)
            prediction = self.policy.apply(prediction, query.closes, volatility)
        record = PredictionRecord(
            at=self.clock(),
            request_id=request_id,
            symbol=about,
            version=prediction.model_version,
            last_close=prediction.naive_price,
            predicted_price=prediction.rows[0][0],
            drift_warning=verdict.warning,
            findings=tuple(finding.code for finding in verdict.findings),
            duration_ms=1000 * (time.perf_counter() - started),
            memory_percent=self.telemetry.machine.memory_percent,
        )
        self.telemetry.predicted(record, UNKNOWN if prediction.pooled else about)
        self.log.put(record)
        return prediction


def interval_levels(levels: Sequence[float] | None) -> tuple[float, ...]:
    """Levels of the intervals, in increasing order; the defaults where none are given.

    Raises
    ------
    InvalidLevels
    """
    return checked_levels(levels) if levels else DEFAULT_LEVELS


def levels_of(text: str) -> list[float]:
    """Levels of a query's parameter: decimals with commas between.

    Raises
    ------
    InvalidLevels
        If the text is something else. Bounds are checked by :func:`interval_levels`.
    """
    parts = [_LEVEL.fullmatch(part) for part in text.split(",")]
    if not all(parts):
        raise InvalidLevels(
            f"{text[:60]!r} are no levels; write decimals with commas between, such as "
            f"{LEVELS_TEXT}"
        )
    return [float(part[1]) for part in parts if part]


def prediction_members(prediction: Prediction, language: Language) -> dict[str, Any]:
    """Members of :class:`api.schemas.predictions.PredictAnswer`, for orjson to write as JSON."""
    levels, rows, verdict = prediction.levels, prediction.rows, prediction.verdict
    drift = verdict_members(verdict, language)
    intervals, path = _templates(levels, len(rows))
    # To write fifty numbers between texts that are always the same takes a third of the time that
    # thirty dictionaries take to make and to write.
    numbers = (*orjson.dumps(rows).translate(None, b"[]").split(b","),)
    return {
        "predicted_price": rows[0][0],
        "naive_price": prediction.naive_price,
        "intervals": Fragment(intervals % numbers[1 : len(rows[0])]),
        "path": Fragment(path % numbers),
        "symbol": prediction.symbol,
        "model_symbol": prediction.model_symbol,
        "calibration": "pooled" if prediction.pooled else "symbol",
        "model_version": prediction.model_version,
        "model_generation": prediction.generation,
        "mode": "window only" if prediction.calibration_revision is None else "with history",
        "calibration_revision": prediction.calibration_revision,
        "closes_used": prediction.closes_used,
        "notes": notes_of(
            prediction.model_symbol,
            prediction.symbol if prediction.pooled else None,
            prediction.closes_used,
            prediction.left_out,
            language,
        ),
        **drift,
        "drift_findings": [
            FindingAnswer.model_validate(finding).model_dump()
            for finding in drift["drift_findings"]
        ],
        "drift_level": verdict.level,
        "degraded": prediction.degraded_reason is not None,
        "degraded_reason": prediction.degraded_reason,
        "timing": None,
    }


@lru_cache(maxsize=100)
def _templates(levels: tuple[float, ...], horizon: int) -> tuple[bytes, bytes]:
    """JSON of one step's intervals and of all steps, with ``%b`` in place of each number."""
    intervals = b"[%b]" % b",".join(
        b'{"level":%b,"lower":%%b,"upper":%%b}' % orjson.dumps(level) for level in levels
    )
    steps = [
        b'{"step":%d,"price":%%b,"intervals":%b}' % (step, intervals)
        for step in range(1, horizon + 1)
    ]
    return intervals, b"[%b]" % b",".join(steps)


def verdict_members(verdict: Verdict, language: Language) -> dict[str, Any]:
    """Members of :class:`api.schemas.findings.DriftAnswer`, with sentences in a language."""
    findings = in_language(verdict, language).findings if verdict.findings else ()
    return {
        "drift_warning": verdict.warning,
        "drift_details": [finding.sentence for finding in findings],
        "drift_findings": findings,
        "provenance": verdict.provenance,
    }


def log_findings(
    verdict: Verdict, symbol: str, model_version: str, request_id: str | None, **about: object
) -> None:
    """Log one warning per finding, always in English.

    Parameters
    ----------
    about : JSON types
        More members of each line.
    """
    for finding in verdict.findings:
        log.warning(
            "drift",
            extra={
                "request_id": request_id,
                "symbol": symbol,
                "model_version": model_version,
                **about,
                "code": finding.code,
                "drift_level": verdict.level,
                "channel": finding.level,
                "statistic": finding.statistic,
                "value": finding.value,
                "threshold": finding.threshold,
                "p_value": finding.p_value,
                "row": finding.row,
                "sentence": finding.sentence,
            },
        )
