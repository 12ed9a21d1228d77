"""Recalibration: new closes update live calibration and monitor, one transaction per close."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np

from closecast.calibration import AdaptiveState, PanelMember, PanelObservation, advance, load_state
from closecast.core.calendars import as_date
from closecast.core.data_quality import find_faults
from closecast.core.prices import Prices
from closecast.core.symbols import exchange_of
from closecast.database import Database
from closecast.errors import DamagedBundle, PreconditionFailed
from closecast.forecasters import Predictor, load_predictor
from closecast.pipeline.drift_monitor import load_monitored_symbols, log_alarm
from closecast.registry.documents import LIVE_FILE, Bundle
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache

log = logging.getLogger(__name__)


def absorb(settings: Settings, bundle: Bundle, database: Database) -> tuple[int, dict[str, str]]:
    """Update a bundle's live calibration and monitors with every close that is new to them.

    The new calibration and the monitor's day are stored in one transaction per symbol and day: if
    the process is killed in between, the next call continues from there, to the same bits.

    Returns
    -------
    absorbed, left_out
        Number of closes; and the symbols left out, with the reason: closes of another basis, or
        new ones with a fault (a lost split must not widen the intervals of other symbols).
    """
    version, info = bundle.manifest.version, bundle.manifest.info
    predictor = load_predictor(info.forecaster, bundle.files)
    cache = PriceCache(settings.data_dir / "prices")
    series, left_out = [], {}
    states: dict[str, AdaptiveState | None] = {}
    for span in info.data:
        prices = cache.get(span.symbol)
        if prices is None or len(prices) < info.seq_length:
            continue
        state = _state(bundle, database, span.symbol)
        if reason := _unfit(prices, span.basis, state):
            log.warning("closes not absorbed", extra={"symbol": span.symbol, "reason": reason})
            left_out[span.symbol] = reason
            continue
        series.append(prices)
        states[span.symbol] = state
    members = _with_forecasts(predictor, series, states)
    monitored = load_monitored_symbols(bundle, predictor, database, members, states)
    absorbed = 0
    for day, exchange, rows in _days(members, states):
        stored = database.calibrations.panel_day(version, exchange, day)
        before = None if stored is None else PanelObservation.from_bytes(stored)
        after, panel = advance(states, rows, before)
        days = [(exchange, day, panel.to_bytes())] if panel is not None else []
        for member, row in rows:
            symbol = member.prices.symbol
            was, state = states[symbol], after[symbol]
            assert was is not None
            seen = monitored[symbol].observe(was, row, database.clock())
            try:
                database.calibrations.store(
                    version, symbol, state.revision, day, state.to_parts(), days, [seen]
                )
            except PreconditionFailed:  # another process was faster: its state is the same
                log.info("calibration moved meanwhile", extra={"symbol": symbol})
                return absorbed, left_out
            absorbed += 1
            if monitored[symbol].enters_alarm(seen):
                log_alarm(seen)
            monitored[symbol] = monitored[symbol].after(seen)
        states |= after
    return absorbed, left_out


def _unfit(prices: Prices, basis: str, state: AdaptiveState) -> str | None:
    """Reason not to learn from a symbol's new closes, if there is one."""
    if prices.basis != basis:
        return f"closes are {prices.basis}, the model has learned from {basis} ones"
    new = [f for f in find_faults(prices) if f.date is not None and f.date > str(state.session)]
    return f"its new closes have a fault: {new[0]}" if new else None


def _state(bundle: Bundle, database: Database, symbol: str) -> AdaptiveState:
    """The newest stored state; the bundle's own where none is stored, or that one is damaged."""
    version = bundle.manifest.version
    try:
        stored = database.calibrations.newest(version, symbol)
        if stored is not None:
            return AdaptiveState.from_parts(stored.parts)
    except DamagedBundle as error:
        log.error("stored calibration damaged", extra={"symbol": symbol, "reason": str(error)})
        database.calibrations.forget(version, symbol)
    if LIVE_FILE not in bundle.files:
        raise DamagedBundle(f"bundle {version} has no {LIVE_FILE}")
    return load_state(bundle.files[LIVE_FILE], symbol)


def _with_forecasts(
    predictor: Predictor, series: Sequence[Prices], states: Mapping[str, AdaptiveState | None]
) -> list[PanelMember]:
    """The series with a forecast at every close that is new to their states, and one before."""
    newest = 0
    for prices in series:
        state = states[prices.symbol]
        assert state is not None
        newest = max(newest, int((prices.sessions > state.session).sum()))
    if not newest:
        return []
    # One more origin: the monitor needs the forecast made before the first new close.
    forecasts = predictor.predict_along(series, newest + 1)
    return [PanelMember(prices, f) for prices, f in zip(series, forecasts, strict=True)]


def _days(
    members: Sequence[PanelMember], states: Mapping[str, AdaptiveState | None]
) -> list[tuple[date, str, list[tuple[PanelMember, int]]]]:
    """New closes by day and exchange, in order: members and rows of their prices."""
    found: dict[tuple[date, str], list[tuple[PanelMember, int]]] = {}
    for member in members:
        prices = member.prices
        state = states[prices.symbol]
        assert state is not None
        first = max(member.first, int(np.searchsorted(prices.sessions, state.session, "right")))
        for row in range(first, len(prices)):
            key = as_date(prices.sessions[row]), exchange_of(prices.symbol)
            found.setdefault(key, []).append((member, row))
    return [(*key, found[key]) for key in sorted(found)]
