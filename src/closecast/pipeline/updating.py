"""New closes: collect them, let the calibration absorb them, score what was forecast."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from closecast.atomic import write_atomically
from closecast.bundle import EVALUATION_FILE, LIVE_FILE, Bundle, of_symbol, promise_of
from closecast.dated import Kind
from closecast.errors import ClosecastError, DamagedBundle, PreconditionFailed, UnknownSymbol
from closecast.faults import find_faults
from closecast.forecasters import Predictor, load_predictor
from closecast.forecasters.base import Watch, ignore_progress
from closecast.intervals import LiveState, Member, PanelDay, advance, load_state
from closecast.ledger import Ledger
from closecast.ledger_plots import performance_plot, to_png
from closecast.performance import summarise
from closecast.pipeline.collecting import collect_many
from closecast.pipeline.workspace import Workspace
from closecast.price_cache import PriceCache
from closecast.prices import Prices
from closecast.registry import Registry
from closecast.scoring import realised_log_return, score_step, will_never_come
from closecast.sessions import as_date, session_table
from closecast.settings import Settings
from closecast.sources import source_again
from closecast.symbols import canonical, exchange_of, folder_name

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Updated:
    """What came of an update."""

    version: str
    collected: tuple[str, ...]
    failed: Mapping[str, str]
    absorbed: int
    scored: int


def update(
    settings: Settings,
    symbol: str,
    ledger: Ledger,
    *,
    end: date | None = None,
    kind: Kind = "live",
    draw: bool = True,
) -> Updated:
    """:func:`update_version` of the model that is current for a symbol.

    Raises
    ------
    UnknownSymbol
        If the symbol has no model.
    """
    symbol = canonical(symbol)
    pointer = Registry(settings.models_url).pointer(symbol)
    if pointer is None:
        raise UnknownSymbol(f"no model for {symbol}: train one first")
    return update_version(settings, pointer.version, ledger, end=end, kind=kind, draw=draw)


def update_version(
    settings: Settings,
    version: str,
    ledger: Ledger,
    *,
    end: date | None = None,
    kind: Kind = "live",
    draw: bool = True,
    watch: Watch = ignore_progress,
) -> Updated:
    """Bring a model up to date for every symbol that it is current for.

    Parameters
    ----------
    end : date, optional
        Last session to collect; a replay sets it.
    draw : bool
        Whether to draw pictures of what was scored.

    Raises
    ------
    ClosecastError
        If no closes can be collected. Of several symbols, one that cannot be is left for the
        next time.
    """
    registry = Registry(settings.models_url)
    bundle = registry.load(version)
    info = bundle.manifest.info
    members = [s for s in info.symbols if _is_current(registry, s, version)]
    if not members:
        return Updated(version, (), {}, 0, 0)
    with Workspace(settings, members).alone():
        watch({"stage": "collect"})
        source = source_again(info.data[0].source, settings)
        found = collect_many(settings, members, source, None, end)
        failed = {
            s: one for s, one in zip(members, found, strict=True) if isinstance(one, ClosecastError)
        }
        for name, error in failed.items():
            log.warning("closes not collected", extra={"symbol": name, "reason": str(error)})
        if len(failed) == len(members):
            raise failed[members[0]]
        watch({"stage": "absorb"})
        absorbed, left_out = absorb(settings, bundle, ledger)
        watch({"stage": "score"})
        scored = {name: score_due(settings, name, ledger) for name in members}
        for name in (name for name, count in scored.items() if draw and count):
            draw_performance(settings, name, ledger, kind)
    return Updated(
        version,
        tuple(s for s in members if s not in failed),
        {**left_out, **{name: str(error) for name, error in failed.items()}},
        absorbed,
        sum(scored.values()),
    )


def absorb(settings: Settings, bundle: Bundle, ledger: Ledger) -> tuple[int, dict[str, str]]:
    """Let a bundle's calibration learn from every close that it has not seen.

    Day by day, each symbol's step in one transaction: killed in between, the next call goes on
    where this one was, to the same bits.

    Returns
    -------
    absorbed, left_out
        How many closes; and the symbols that were kept out, with the reason: closes of another
        basis, or new ones with a fault (a lost split must not widen everybody's intervals).
    """
    version, info = bundle.manifest.version, bundle.manifest.info
    predictor = load_predictor(info.forecaster, bundle.files)
    cache = PriceCache(settings.data_dir / "prices")
    series, left_out = [], {}
    states: dict[str, LiveState | None] = {}
    for span in info.data:
        prices = cache.get(span.symbol)
        if prices is None or len(prices) < info.seq_length:
            continue
        state = _state(bundle, ledger, span.symbol)
        if reason := _unfit(prices, span.basis, state):
            log.warning("closes not absorbed", extra={"symbol": span.symbol, "reason": reason})
            left_out[span.symbol] = reason
            continue
        series.append(prices)
        states[span.symbol] = state
    members = _with_forecasts(predictor, series, states)
    absorbed = 0
    for day, exchange, rows in _days(members, states):
        stored = ledger.calibrations.panel_day(version, exchange, day)
        before = None if stored is None else PanelDay.from_bytes(stored)
        after, panel = advance(states, rows, before)
        days = [(exchange, day, panel.to_bytes())] if panel is not None else []
        for symbol, state in after.items():
            try:
                ledger.calibrations.store(
                    version, symbol, state.revision, day, state.to_parts(), days
                )
            except PreconditionFailed:  # another process was faster: its state is as good
                log.info("calibration moved meanwhile", extra={"symbol": symbol})
                return absorbed, left_out
            absorbed += 1
        states |= after
    return absorbed, left_out


def score_due(settings: Settings, symbol: str, ledger: Ledger) -> int:
    """Score every committed step of a symbol whose close has come; answers how many.

    Closes are those of the price cache: what the service collected itself. What was said of a
    session that was over by then is not scored.
    """
    prices = PriceCache(settings.data_dir / "prices").get(symbol)
    if prices is None:
        return 0
    outcomes, void = [], []
    calendar = session_table(exchange_of(symbol))
    for forecast_id, forecast, step in ledger.forecasts.due(symbol, as_date(prices.sessions[-1])):
        if forecast.basis != prices.basis:
            continue
        if calendar.closes_at(np.datetime64(step.session, "D")) <= forecast.issued_at:
            void.append((forecast_id, step.step))  # said after the bell: no forecast
            continue
        log_return = realised_log_return(prices, forecast.origin, step.session)
        if log_return is not None:
            now = ledger.clock()
            outcomes.append((forecast_id, step.step, score_step(forecast, step, log_return, now)))
        elif will_never_come(prices, forecast.origin, step.session):
            void.append((forecast_id, step.step))
    scored = ledger.forecasts.score(outcomes) if outcomes else 0
    if void:
        ledger.forecasts.void(void)
    return scored


def draw_performance(settings: Settings, symbol: str, ledger: Ledger, kind: Kind) -> None:
    """Write ``results/<symbol>/performance-<kind>.png``."""
    rows = ledger.forecasts.scored(symbol, kind)
    if not rows:
        return
    promise = None
    registry = Registry(settings.models_url)
    try:
        bundle = registry.load(rows[-1].version)
        promise = promise_of(of_symbol(bundle.files, EVALUATION_FILE, symbol), rows[-1].forecaster)
    except ClosecastError as error:
        log.warning("no promise to compare with", extra={"symbol": symbol, "reason": str(error)})
    figure = performance_plot(symbol, kind, summarise(rows, promise))
    path = settings.results_dir / folder_name(symbol) / f"performance-{kind}.png"
    write_atomically(path, to_png(figure))


def _is_current(registry: Registry, symbol: str, version: str) -> bool:
    pointer = registry.pointer(symbol)
    return pointer is not None and pointer.version == version


def _unfit(prices: Prices, basis: str, state: LiveState) -> str | None:
    """Why a symbol's new closes must not be learned from, if so."""
    if prices.basis != basis:
        return f"closes are {prices.basis}, the model has learned from {basis} ones"
    new = [f for f in find_faults(prices) if f.date is not None and f.date > str(state.session)]
    return f"its new closes have a fault: {new[0]}" if new else None


def _state(bundle: Bundle, ledger: Ledger, symbol: str) -> LiveState:
    """The state in force; one that is damaged is thrown away and made again from the bundle's."""
    version = bundle.manifest.version
    try:
        stored = ledger.calibrations.newest(version, symbol)
        if stored is not None:
            return LiveState.from_parts(stored.parts)
    except DamagedBundle as error:
        log.error("stored calibration damaged", extra={"symbol": symbol, "reason": str(error)})
        ledger.calibrations.forget(version, symbol)
    if LIVE_FILE not in bundle.files:
        raise DamagedBundle(f"bundle {version} has no {LIVE_FILE}")
    return load_state(bundle.files[LIVE_FILE], symbol)


def _with_forecasts(
    predictor: Predictor, series: Sequence[Prices], states: Mapping[str, LiveState | None]
) -> list[Member]:
    """The series with a forecast at every close that is new to their states."""
    newest = 0
    for prices in series:
        state = states[prices.symbol]
        assert state is not None
        newest = max(newest, int((prices.sessions > state.session).sum()))
    if not newest:
        return []
    forecasts = predictor.predict_along(series, newest)
    return [Member(prices, f) for prices, f in zip(series, forecasts, strict=True)]


def _days(
    members: Sequence[Member], states: Mapping[str, LiveState | None]
) -> list[tuple[date, str, list[tuple[Member, int]]]]:
    """New closes by day and exchange, in order: who has one, and at which row."""
    found: dict[tuple[date, str], list[tuple[Member, int]]] = {}
    for member in members:
        prices = member.prices
        state = states[prices.symbol]
        assert state is not None
        first = max(member.first, int(np.searchsorted(prices.sessions, state.session, "right")))
        for row in range(first, len(prices)):
            key = as_date(prices.sessions[row]), exchange_of(prices.symbol)
            found.setdefault(key, []).append((member, row))
    return [(*key, found[key]) for key in sorted(found)]
