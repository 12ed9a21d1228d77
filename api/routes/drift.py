"""``/drift``: verdicts on windows of closes, on a symbol over time, and on all symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request, Response

from api.middleware.json_routes import StrictRoute
from api.middleware.negotiation import GENERATION_HEADER, LanguageDep, name_model
from api.problems.documents import PartError
from api.problems.openapi import Problems, responses
from api.schemas.base import SymbolText
from api.schemas.drift import (
    BaselineAnswer,
    DriftDayAnswer,
    DriftEvidence,
    DriftReport,
    DriftRequest,
    PerformanceDriftAnswer,
    VerdictList,
    WatchedSymbol,
    WatchList,
    WindowVerdict,
)
from api.schemas.findings import CONTENT_LANGUAGE
from api.schemas.forecasts import HeldClosesAnswer
from api.schemas.predictions import Window
from api.service import Service, ServiceDep
from api.services.prediction import log_findings, verdict_members
from api.services.windows import context_of, fit_to_model, notes_of
from closecast.core.records import SCORED_PROBABILITIES, DriftDay
from closecast.core.verdict import Verdict
from closecast.drift import ARL0, Language, discoveries
from closecast.errors import ClosecastError, TooFewCloses
from closecast.metrics.error_estimate import expected_error, summarise
from closecast.serving import Snapshot

router = APIRouter(prefix="/drift", tags=["drift"], route_class=StrictRoute)

SymbolPath = Annotated[SymbolText, Path()]

_NOT_REPORTED: Problems = {
    404: {"unknown_symbol": "no model for ACME; there are models for: MSFT"},
    422: {"invalid_request": "query:limit: Input should be less than or equal to 1000"},
    503: {"storage_failed": "the ledger cannot be used"},
}
_VERSION_HEADERS: dict[str, Any] = {
    "X-Model-Version": {"schema": {"type": "string"}, "description": "The model that is watched."},
    **GENERATION_HEADER,
}


@router.post(
    "",
    responses={
        200: {"headers": CONTENT_LANGUAGE},
        **responses(400, 404, 413, 415, 422, 503),
    },
)
def check_drift(
    body: Annotated[DriftRequest, Body()],
    request: Request,
    service: ServiceDep,
    language: LanguageDep,
) -> VerdictList:
    """Compare windows of closes, one or many, with the data that the model was trained on.

    The verdict is the one that `POST /predict` gives the same window, without a forecast; the
    service's reaction to drift (warn, refuse, fall back) does not apply. There are two channels:
    FAULT, the data is probably wrong, with the cause; REGIME, the market changed. The false-alarm
    rate of each channel on clean windows was set when the model was trained (1 % by default;
    `GET /drift/{symbol}` shows the rates). Dates, volumes and closes that the service has
    collected itself improve detection.
    """
    # Not async: many windows take long, so they are checked in a thread.
    checked = [_checked(service, row, window) for row, window in enumerate(body.windows)]
    request_id = request.scope.get("request_id")
    for row, one in enumerate(checked):
        about = one.symbol or one.snapshot.symbol
        log_findings(one.verdict, about, one.snapshot.version, request_id, window=row)
    return VerdictList(verdicts=[_answer(one, language) for one in checked])


@router.get("", responses=responses(503))
def list_drift(service: ServiceDep) -> WatchList:
    """All symbols that a published model is watched for, with the evidence against it.

    Each monitor alone raises a false alarm every `threshold` sessions at most, on average, so a
    watch over many symbols sees one every few days. `discoveries` corrects for that (e-d-BH on the
    e-detectors): of K symbols it names the k with the most evidence, for the largest k at which
    each has K × `threshold` / k or more. The expected share of false names among them is at most
    1 / `threshold` per session of watching, for any dependence between the symbols and any time
    of stopping.
    """
    versions: dict[str, list[str]] = {}
    for symbol in service.registry.symbols():
        loaded = service.models.serving(symbol)
        version = service.published_version(symbol) or (loaded.version if loaded else None)
        if version is not None:
            versions.setdefault(version, []).append(symbol)
    found: dict[str, tuple[float, str]] = {}
    for version, symbols in versions.items():
        evidence = service.database.drift_days.evidence(version)
        found |= {s: (evidence[s], version) for s in symbols if s in evidence}
    named = discoveries({symbol: evidence for symbol, (evidence, _) in found.items()})
    ordered = sorted(found, key=lambda symbol: (-found[symbol][0], symbol))
    return WatchList(
        symbols=[
            WatchedSymbol(
                symbol=symbol,
                model_version=found[symbol][1],
                evidence=found[symbol][0],
                alarm=found[symbol][0] >= ARL0,
                discovery=symbol in named,
            )
            for symbol in ordered
        ],
        discoveries=sorted(named),
        threshold=ARL0,
    )


@router.get(
    "/{symbol}",
    responses={
        200: {"headers": {**_VERSION_HEADERS, **CONTENT_LANGUAGE}},
        **responses(404, 422, 503, examples=_NOT_REPORTED),
    },
)
def get_drift(
    symbol: SymbolPath,
    service: ServiceDep,
    response: Response,
    language: LanguageDep,
    limit: Annotated[int, Query(ge=1, le=1000, description="Sessions of `days`.")] = 60,
) -> DriftReport:
    """Drift of a symbol: false-alarm rates, the verdict on the newest closes, and the history.

    `baseline`: the data that windows are compared with, and the false-alarm rates on clean
    windows of the symbol's kind of market (`null` with the reason where they are not known).
    `newest`: the verdict on the newest closes that the service has collected. `monitor`:
    evidence that grows session by session while the model no longer fits, which also finds changes
    too small for a single window. `realised`: the errors of the forecasts beside the errors
    expected of them.
    """
    snapshot = service.models.get(symbol)
    history = service.database.drift_days.history(snapshot.symbol)
    name_model(response, snapshot.version, snapshot.generation)
    held = service.database.close_decisions.held(snapshot.symbol)
    return DriftReport(
        symbol=snapshot.symbol,
        model_version=snapshot.version,
        baseline=BaselineAnswer.of(snapshot.detector.baseline),
        newest=_newest(service, snapshot, language),
        held=HeldClosesAnswer.model_validate(held) if held else None,
        monitor=_monitor([day for day in history if day.version == snapshot.version]),
        days=[_day(day) for day in history[: -limit - 1 : -1]],
        realised=PerformanceDriftAnswer.model_validate(
            summarise(history, _coming_error(service, snapshot))
        ),
    )


@dataclass(frozen=True, slots=True)
class _Checked:
    """A window that was judged: the symbol named for it, and the older closes left out of it."""

    symbol: str | None
    snapshot: Snapshot
    left_out: int
    verdict: Verdict


def _checked(service: Service, row: int, window: Window) -> _Checked:
    try:
        models = service.models
        symbol = None if window.symbol is None else models.canonical(window.symbol)
        snapshot = models.find_answering(symbol or models.default_symbol)
        window, left_out = fit_to_model(window, snapshot)
        context = context_of(window, symbol, snapshot, models.closes)
        return _Checked(symbol, snapshot, left_out, snapshot.check(window.prices, context))
    except ClosecastError as error:
        raise PartError(error, f"/windows/{row}") from error


def _answer(one: _Checked, language: Language) -> WindowVerdict:
    snapshot = one.snapshot
    used = snapshot.manifest.info.seq_length
    unknown = one.symbol if snapshot.is_pooled else None
    about: Mapping[str, Any] = {
        "symbol": one.symbol,
        "model_symbol": snapshot.symbol,
        "model_version": snapshot.version,
        "level": one.verdict.level,
        "closes_used": used,
        "notes": notes_of(snapshot.symbol, unknown, used, one.left_out, language),
    }
    return WindowVerdict.model_validate({**about, **verdict_members(one.verdict, language)})


def _newest(service: Service, snapshot: Snapshot, language: Language) -> WindowVerdict | None:
    context = service.models.closes.context(snapshot)
    prices, length = context.known, snapshot.manifest.info.seq_length
    if prices is None or len(prices) < length:
        return None
    verdict = snapshot.check(prices.closes[-length:].tolist(), context)
    return _answer(_Checked(snapshot.symbol, snapshot, 0, verdict), language)


def _monitor(days: list[DriftDay]) -> DriftEvidence:
    """Evidence after the sessions under one model, oldest first."""
    evidence = days[-1].evidence if days else 0.0
    return DriftEvidence(
        evidence=evidence,
        threshold=ARL0,
        in_alarm=evidence >= ARL0,
        sessions=len(days),
        first_session=days[0].session if days else None,
        last_session=days[-1].session if days else None,
    )


def _day(day: DriftDay) -> DriftDayAnswer:
    return DriftDayAnswer(
        session=day.session,
        model_version=day.version,
        evidence=day.evidence,
        alarm=day.evidence >= ARL0,
        miss=day.miss,
        shock=day.shock,
        error=day.error,
        expected_error=day.expected_error,
    )


def _coming_error(service: Service, snapshot: Snapshot) -> float | None:
    """Expected absolute error of the current forecast, one session ahead, as a log return."""
    state = service.forecasting.calibrations.newest(snapshot)
    if state is None:
        return None
    try:
        forecast = state.forecast(SCORED_PROBABILITIES)
    except TooFewCloses:  # a 99 % interval needs 199 past errors
        return None
    return expected_error(forecast.quantiles[0], SCORED_PROBABILITIES, float(forecast.location[0]))
