"""Recalibration: usable closes update live calibration and monitors of a model.

The state is a function of the bundle and of the usable closes, however they came: new closes
continue the stored state, and where an absorbed close was corrected, is held back now, or came
late, all states of its exchange are rebuilt from the bundle's own. Each update of an exchange is
one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from closecast.calibration import AdaptiveState, PanelMember, StatesFile, advance
from closecast.core.calendars import as_date
from closecast.core.corrections import Corrections
from closecast.core.prices import Prices
from closecast.core.records import DriftDay
from closecast.core.symbols import exchange_of
from closecast.database import CalibrationChange, Database
from closecast.errors import DamagedBundle, PreconditionFailed
from closecast.forecasters import Predictor, load_predictor
from closecast.pipeline.close_gate import UsableCloses
from closecast.pipeline.drift_monitor import load_monitored_symbols, log_alarm
from closecast.registry.documents import LIVE_FILE, Bundle

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AbsorbResult:
    """Number of closes that are new to the calibration, and the symbols that were rebuilt."""

    absorbed: int = 0
    rebuilt: tuple[str, ...] = ()


def absorb(bundle: Bundle, database: Database, usable: Mapping[str, UsableCloses]) -> AbsorbResult:
    """Update a bundle's live calibration and monitors with the usable closes of its symbols.

    If the process is killed, or another one is faster, what is stored stays whole: the next call
    arrives at the same bits.

    Raises
    ------
    DamagedBundle
        If the bundle has no calibration.
    StorageFailed
    """
    info = bundle.manifest.info
    if LIVE_FILE not in bundle.files:
        raise DamagedBundle(f"bundle {bundle.manifest.version} has no {LIVE_FILE}")
    first_states = StatesFile(bundle.files[LIVE_FILE])
    predictor = load_predictor(info.forecaster, bundle.files)
    exchanges: dict[str, list[_Symbol]] = {}
    for symbol, one in usable.items():
        if one.prices is not None:
            found = _symbol(bundle, database, first_states.get(symbol), one.prices, one)
            exchanges.setdefault(exchange_of(symbol), []).append(found)
    results = [_absorb(bundle, predictor, database, members) for members in exchanges.values()]
    return AbsorbResult(
        sum(result.absorbed for result in results),
        tuple(symbol for result in results for symbol in result.rebuilt),
    )


@dataclass(frozen=True, eq=False)
class _Symbol:
    """One symbol before an update.

    Attributes
    ----------
    first : AdaptiveState
        The bundle's own state.
    stored : AdaptiveState or None
        The state in force; ``None`` if none is stored, or it is damaged.
    revision : int or None
        Of the stored state, damaged or not.
    after_gaps : tuple of date
        First sessions after long gaps.
    """

    prices: Prices
    corrections: Corrections | None
    first: AdaptiveState
    stored: AdaptiveState | None
    revision: int | None
    after_gaps: tuple[date, ...]

    @property
    def absorbed_until(self) -> np.datetime64:
        """The newest close in the state before the update."""
        return (self.stored or self.first).session

    def later_than(self, session: np.datetime64) -> int:
        """Number of usable closes after a session."""
        return int((self.prices.sessions > session).sum())


def _symbol(
    bundle: Bundle, database: Database, first: AdaptiveState, prices: Prices, usable: UsableCloses
) -> _Symbol:
    state, symbol = None, prices.symbol
    try:
        stored = database.calibrations.newest(bundle.manifest.version, symbol)
        state = AdaptiveState.from_parts(stored.parts) if stored is not None else None
    except DamagedBundle as error:
        log.error("stored calibration damaged", extra={"symbol": symbol, "reason": str(error)})
    row = int(np.searchsorted(prices.sessions, first.session, side="right")) - 1
    if row >= 0 and prices.sessions[row] == first.session:  # in the basis that it has now
        first = replace(first, last_close=float(prices.closes[row]))
    return _Symbol(prices, usable.corrections, first, state, usable.revision, usable.after_gaps)


def _absorb(
    bundle: Bundle, predictor: Predictor, database: Database, members: Sequence[_Symbol]
) -> AbsorbResult:
    """Update the symbols of one exchange: each learns from its own closes and from all others'."""
    reason = _reason_to_rebuild(members)
    rebuild = reason is not None and _can_be_rebuilt(members, bundle.manifest.info.seq_length)
    begin = {
        one.prices.symbol: one.first if rebuild or one.stored is None else one.stored
        for one in members
    }
    states, days = _advance(bundle, predictor, database, members, begin)
    changes, absorbed = [], 0
    for one in members:
        symbol, state = one.prices.symbol, states[one.prices.symbol]
        if state is begin[symbol] and not rebuild:
            continue
        new = sum(day.session > as_date(one.absorbed_until) for day in days[symbol])
        before = one.first.revision if one.revision is None else one.revision
        session = as_date(state.session)
        absorbed += new
        changes.append(
            CalibrationChange(
                symbol,
                replaces=one.revision,
                revision=before + max(1, new),
                session=session,
                parts=state.to_parts(),
                absorbed=one.prices.between(None, session),
                since=as_date(begin[symbol].session),
                drift_days=tuple(days[symbol]),
            )
        )
    if not changes:
        return AbsorbResult()
    try:
        database.calibrations.store(bundle.manifest.version, changes)
    except PreconditionFailed as error:  # another process was faster: its state is the same
        log.info("calibration moved meanwhile", extra={"reason": str(error)})
        return AbsorbResult()
    if not rebuild:
        return AbsorbResult(absorbed)
    log.warning("calibration rebuilt", extra={"version": bundle.manifest.version, "reason": reason})
    return AbsorbResult(absorbed, tuple(one.prices.symbol for one in members))


def _reason_to_rebuild(members: Sequence[_Symbol]) -> str | None:
    """Reason why stored states are not those of the usable closes, if there is one."""
    if all(one.revision is None for one in members):
        return None
    stored = [one.stored.session for one in members if one.stored is not None]
    for one in members:
        symbol, last = one.prices.symbol, one.prices.sessions[-1]
        if one.stored is None and one.revision is not None:
            return f"the stored state of {symbol} is damaged"
        if one.stored is not None and one.stored.session > last:
            return f"closes of {symbol} after {last} are held back"
        if one.corrections is not None and one.corrections.first is not None:
            return f"closes of {symbol} are others from {one.corrections.first} on"
        if one.corrections:
            return f"closes of {symbol} were restated by a constant factor"
        newest = max(*stored, one.absorbed_until)
        if one.later_than(one.absorbed_until) > one.later_than(newest):
            return f"closes of {symbol} came later than those of other symbols"
    return None


def _can_be_rebuilt(members: Sequence[_Symbol], seq_length: int) -> bool:
    """Answer True if all usable closes reach back to a window before the bundle's state."""
    for one in members:
        if len(one.prices) - one.later_than(one.first.session) < seq_length:
            log.warning(
                "calibration cannot be rebuilt: the source has no closes before its first one",
                extra={"symbol": one.prices.symbol, "first": one.prices.span[0]},
            )
            return False
    return True


def _advance(
    bundle: Bundle,
    predictor: Predictor,
    database: Database,
    members: Sequence[_Symbol],
    begin: Mapping[str, AdaptiveState],
) -> tuple[dict[str, AdaptiveState], dict[str, list[DriftDay]]]:
    """States and monitored sessions after all usable closes that are new to ``begin``."""
    states = dict(begin)
    days: dict[str, list[DriftDay]] = {symbol: [] for symbol in begin}
    newest = max(one.later_than(begin[one.prices.symbol].session) for one in members)
    if not newest:
        return states, days
    series = [one.prices for one in members]
    # One more origin: the monitor needs the forecast made before the first new close.
    forecasts = predictor.predict_along(series, newest + 1)
    panel = [PanelMember(prices, f) for prices, f in zip(series, forecasts, strict=True)]
    monitored = load_monitored_symbols(bundle, predictor, database, panel, states)
    known = {one.prices.symbol: as_date(one.absorbed_until) for one in members}
    gaps = {one.prices.symbol: one.after_gaps for one in members}
    for rows in _rows_by_day(panel, begin, gaps, bundle.manifest.info.seq_length):
        after = advance(states, rows)
        for member, row in rows:
            symbol = member.prices.symbol
            monitored[symbol] = replace(monitored[symbol], member=member)
            seen = monitored[symbol].observe(states[symbol], row, database.clock())
            if seen.session > known[symbol] and monitored[symbol].enters_alarm(seen):
                log_alarm(seen)
            monitored[symbol] = monitored[symbol].after(seen)
            days[symbol].append(seen)
        states |= after
    return states, days


def _rows_by_day(
    panel: Sequence[PanelMember],
    begin: Mapping[str, AdaptiveState],
    gaps: Mapping[str, Sequence[date]],
    seq_length: int,
) -> list[list[tuple[PanelMember, int]]]:
    """Closes that are new to states, day by day: members and rows of their prices.

    After a gap a member begins anew, with its first window.
    """
    found: dict[date, list[tuple[PanelMember, int]]] = {}
    for member in panel:
        sessions, last = member.prices.sessions, begin[member.prices.symbol].session
        first = max(member.first, int(np.searchsorted(sessions, last, side="right")))
        begins = np.searchsorted(sessions, np.array(gaps[member.prices.symbol], "datetime64[D]"))
        parts = [(0, member), *((gap, _since(member, gap, seq_length)) for gap in begins.tolist())]
        for row in range(first, len(sessions)):
            gap, part = next(found_part for found_part in reversed(parts) if found_part[0] <= row)
            if not gap or row - gap >= seq_length - 1:
                found.setdefault(as_date(sessions[row]), []).append((part, row - gap))
    return [found[day] for day in sorted(found)]


def _since(member: PanelMember, row: int, seq_length: int) -> PanelMember:
    """A member that begins after a gap: no close before it starts a window or an outcome."""
    prices = member.prices.rows(row, None)
    origins = max(0, len(prices) - seq_length + 1)
    made = len(member.forecast.location)
    return PanelMember(prices, member.forecast[max(0, made - origins) :])
