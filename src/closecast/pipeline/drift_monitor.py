"""Drift monitors of a model: loaded from the database, their alarms logged."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from numpy.lib.stride_tricks import sliding_window_view

from closecast.calibration import AdaptiveState, PanelMember, SplitConformal
from closecast.core.calendars import as_date
from closecast.core.forecast import Forecast
from closecast.core.records import DriftDay
from closecast.database import Database
from closecast.drift import ARL0, Monitor
from closecast.drift.monitored_symbol import MonitoredSymbol
from closecast.errors import DamagedBundle
from closecast.forecasters import Predictor
from closecast.registry.documents import INTERVALS_FILE, Bundle, of_symbol

log = logging.getLogger(__name__)


def load_monitored_symbols(
    bundle: Bundle,
    predictor: Predictor,
    database: Database,
    members: Sequence[PanelMember],
    states: Mapping[str, AdaptiveState | None],
) -> dict[str, MonitoredSymbol]:
    """Pair each symbol with the monitor that was stored with its calibration's state.

    Raises
    ------
    DamagedBundle
        If the bundle has no calibration of a symbol.
    """
    version, monitored = bundle.manifest.version, {}
    for member in members:
        symbol = member.prices.symbol
        state = states[symbol]
        assert state is not None
        monitored[symbol] = MonitoredSymbol(
            version,
            member,
            _from_windows(predictor, member),
            SplitConformal.from_json(of_symbol(bundle.files, INTERVALS_FILE, symbol)),
            _monitor(database, version, symbol, state),
        )
    return monitored


def log_alarm(day: DriftDay) -> None:
    """Log a warning for a session that put its symbol in alarm."""
    log.warning(
        "drift over time",
        extra={
            "symbol": day.symbol,
            "version": day.version,
            "session": str(day.session),
            "evidence": round(day.evidence, 1),
            "arl0": ARL0,
        },
    )


def _from_windows(predictor: Predictor, member: PanelMember) -> Forecast:
    """Forecast from windows alone, as the bundle's calibration was, at a member's origins."""
    if not predictor.uses_history:
        return member.forecast
    length = predictor.seq_length
    windows = sliding_window_view(member.prices.closes, length)
    return predictor.predict_batch(windows[member.first - length + 1 :])


def _monitor(database: Database, version: str, symbol: str, state: AdaptiveState) -> Monitor:
    """Load the monitor of the state's newest close; begin a new one if it is damaged."""
    day = database.drift_days.newest(version, symbol, until=as_date(state.session))
    if day is None:
        return Monitor()
    try:
        return Monitor.from_values(day.monitor)
    except DamagedBundle as error:
        log.error("stored monitor damaged", extra={"symbol": symbol, "reason": str(error)})
        return Monitor()
