"""Comparison of windows with known closes: their provenance, and the closes before them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import exp
from typing import TypeVar

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices
from closecast.core.symbols import EVERY_DAY, exchange_of
from closecast.core.verdict import Channel, Provenance, ProvenanceMatch
from closecast.drift.context import Context, ContextFinding, Dates
from closecast.drift.differences import differences
from closecast.drift.features import WindowReturns
from closecast.drift.provenance import Match, locate, locate_elsewhere
from closecast.drift.return_index import OtherSymbols, history_of
from closecast.drift.row_comparison import RowComparison
from closecast.drift.same_dates import correlation, place_by_dates, rows_of
from closecast.drift.statistics.base import Cause
from closecast.drift.statistics.ratios import like_unit
from closecast.errors import InvalidSymbol

T = TypeVar("T")

_SESSIONS_PER_DAY = 5 / 7
_FRESH_SESSIONS = 21.0  # an older price does not suffice to call a gap a fault
_STALE_SESSIONS = 3  # one or two can be time zones, or a calendar that is not known here
_POWER_OF_TEN = 0.005  # distance of a logarithm
_UNLIKE = 0.5  # correlation: two feeds of a stock have 0.9, two stocks 0.3 (0.7 in crises)


@dataclass(frozen=True, slots=True)
class KnownContext:
    """Result of comparing a window with known closes.

    Attributes
    ----------
    before : float or None
        EWMA volatility just before the window.
    gap : float or None
        Signed log distance of the first close from the last one known before it; 0 where the
        window lies among them.
    gap_sessions : float
        Sessions between the two.
    gap_sure : bool
        Whether a gap means a fault of the window's closes; otherwise the known ones may be too
        old, or of another symbol.
    sessions : array of datetime64[D] or None
        Dates of the window's closes where it lies row for row among the known ones, from the
        oldest on; fewer than closes if the known ones end before the window.
    own : Prices or None
        Known closes of the symbol that a window without a symbol turned out to be of: it is judged
        by their volatility and their sessions.
    """

    provenance: Provenance | None = None
    facts: tuple[ContextFinding, ...] = ()
    before: float | None = None
    gap: float | None = None
    gap_sessions: float = 1.0
    gap_sure: bool = False
    sessions: Dates | None = None
    own: Prices | None = None


_NOTHING = KnownContext()


def compare_with_known(
    windows: WindowReturns, contexts: Sequence[Context | None]
) -> list[KnownContext]:
    """Compare windows with the known closes in their contexts."""
    memories = [_NOTHING] * len(windows)
    if all(context is None for context in contexts):
        return memories
    places: dict[int, Match | None] = {}
    for rows, known in _grouped(contexts, range(len(windows)), lambda context: context.known):
        places |= zip(rows, locate(windows.rows(rows), known), strict=True)
    elsewhere: dict[int, tuple[Prices, Match] | None] = {}
    lost = [i for i in range(len(windows)) if places.get(i) is None]
    for rows, others in _grouped(contexts, lost, _others):
        elsewhere |= zip(rows, locate_elsewhere(windows.rows(rows), others), strict=True)
    for i, context in enumerate(contexts):
        if context is None:
            continue
        if (place := places.get(i)) is not None and context.known is not None:
            place = _by_dates_if_better(windows.closes[i], context, context.known, place)
            memories[i] = _placed(context, context.known, place)
        elif (found := elsewhere.get(i)) is not None:
            memories[i] = _elsewhere(context, *found)
        elif context.known is not None:
            memories[i] = _not_found(windows.closes[i], context, context.known)
    return memories


def _others(context: Context) -> OtherSymbols | None:
    """Other symbols to search, if there are any besides the context's own."""
    others = context.others
    return None if others is None or others.are_only(context.known) else others


def _grouped(
    contexts: Sequence[Context | None], rows: Iterable[int], part: Callable[[Context], T | None]
) -> Iterator[tuple[list[int], T]]:
    """Group rows whose contexts share one object; rows without one are left out."""
    groups: dict[int, tuple[list[int], T]] = {}
    for i in rows:
        context = contexts[i]
        if context is not None and (shared := part(context)) is not None:
            groups.setdefault(id(shared), ([], shared))[0].append(i)
    yield from groups.values()


def _by_dates_if_better(window: FloatArray, context: Context, known: Prices, place: Match) -> Match:
    """Return the place of a window in pieces by its dates, if its closes agree there as well."""
    if context.sessions is None or place.match != "gapped" or place.comparison is None:
        return place
    dated, _ = place_by_dates(window, rows_of(context.sessions, known), known)
    found = None if dated is None else dated.comparison
    if dated is None or found is None:
        return place
    fewer = np.add.reduce(found.leaving) <= np.add.reduce(place.comparison.leaving)
    return dated if fewer else place


def _placed(context: Context, known: Prices, place: Match) -> KnownContext:
    facts = []
    last = known.sessions[place.last]
    if place.match == "reversed":
        cause = Cause("reversed_order", 0, {})
        facts.append(ContextFinding(cause, "fault", "known closes, newest first", 1.0, 0.0))
    claimed = context.last_session
    # The dates of a window in pieces are compared row by row.
    in_one_piece = place.match in ("exact", "differs")
    if claimed is not None and in_one_piece and (claimed != last or place.beyond):
        between, counted = _sessions_between(context, known, last, claimed)
        late = between - place.beyond
        # Without a calendar holidays count as sessions.
        if abs(late) >= _STALE_SESSIONS + (0 if counted else 1 + 0.05 * abs(between)):
            about: dict[str, int | float | str] = {
                "last": str(last),
                "claimed": str(claimed),
                "sessions": abs(late),
            }
            cause = Cause("stale_window", None, about)
            name = "sessions between the date given and that of the same known closes"
            facts.append(
                ContextFinding(cause, "fault", name, float(abs(late)), _STALE_SESSIONS - 1.0)
            )
    rows: list[ContextFinding] = []
    if place.comparison is not None and place.match != "reversed":  # its rows are not those sent
        rows = _facts(context, place.comparison, known)
    # Where the unit changes inside the window, that is what there is to say.
    if all(fact.cause.code != "unit_error" for fact in rows):
        facts += _of_unit(context, place.log_factor)
    facts += rows
    before = history_of(known).volatility_before(place.first)
    return KnownContext(
        _provenance(place.match, known, place),
        tuple(facts),
        before,
        None if before is None else 0.0,
        sessions=_sessions_of(known, place),
    )


def _sessions_of(known: Prices, place: Match) -> Dates | None:
    """Dates of a window in one piece, as far as they are known."""
    if place.match not in ("exact", "differs"):
        return None
    return known.sessions[place.first : place.last + 1]


def _of_unit(context: Context, log_factor: float) -> list[ContextFinding]:
    """Answer True if the whole window is in another unit than the known closes."""
    # The smallest factor between units is 100, whose logarithm is 4.6.
    factor = like_unit(log_factor, 0.0) if abs(log_factor) > 1 else None
    if factor is None:
        return []
    # Dividends and splits since rewrite levels, but to no exact power of ten.
    exact = abs(log_factor - np.log(10) * round(log_factor / np.log(10))) <= _POWER_OF_TEN
    sure = context.symbol_named and (context.level_known or exact)
    cause = Cause("unit_error", 0, {"factor": factor, "times": 0.0, "whole": "yes"})
    name = "closes sent over the same known closes"
    value = round(exp(log_factor), 6)
    return [ContextFinding(cause, "fault" if sure else "regime", name, value, 1.0)]


def _provenance(match: ProvenanceMatch, known: Prices, place: Match) -> Provenance:
    """Write down where a window was found."""
    found, first, by = place.comparison, None, None
    leaving = [] if found is None else np.flatnonzero(found.leaving).tolist()
    if found is not None and leaving:
        first = str(known.sessions[found.rows[leaving[0]]])
        by = round(exp(found.ratios[leaving[0]] - found.base), 6)
    return Provenance(
        match,
        known.symbol,
        str(known.sessions[place.first]),
        str(known.sessions[place.last]),
        round(exp(place.log_factor), 6),
        len(leaving),
        first,
        by,
    )


def _facts(context: Context, found: RowComparison, known: Prices) -> list[ContextFinding]:
    """Facts of rows that differ from known closes; faults if the caller named the symbol."""
    level: Channel = "fault" if context.symbol_named else "regime"
    return [
        ContextFinding(one.cause, level, one.name, one.value, one.threshold)
        for one in differences(found, known.sessions, context.sessions)
    ]


def _elsewhere(context: Context, other: Prices, place: Match) -> KnownContext:
    """Say whose closes they are: a fault only if another symbol was named."""
    provenance = _provenance("other_symbol", other, place)
    if context.symbol_named:
        first, last = provenance.first_session, provenance.last_session
        about = {"symbol": other.symbol, "first": str(first), "last": str(last)}
        cause = Cause("wrong_symbol", 0, about)
        name = "share of returns that are another symbol's"
        fact = ContextFinding(cause, "fault", name, 1.0, 0.85)
        return KnownContext(provenance, (fact,), sessions=_sessions_of(other, place))
    facts: list[ContextFinding] = []
    if not context.by_own_levels:
        facts = _of_unit(context, place.log_factor)
        if place.comparison is not None:
            facts += _facts(context, place.comparison, other)
    before = history_of(other).volatility_before(place.first)
    return KnownContext(
        provenance,
        tuple(facts),
        before,
        None if before is None else 0.0,
        sessions=_sessions_of(other, place),
        own=other,
    )


def _not_found(window: FloatArray, context: Context, known: Prices) -> KnownContext:
    claimed = context.last_session
    if claimed is None:
        return KnownContext(Provenance("undated"))
    facts: tuple[ContextFinding, ...] = ()
    if context.sessions is None:
        sessions = _dates_of(len(window), context, known, claimed)
        rows = rows_of(sessions, known)
    else:
        rows = rows_of(context.sessions, known)
        place, feeds = place_by_dates(window, rows, known)
        if place is not None:
            return _placed(context, known, place)
        if feeds is not None:
            facts = tuple(_facts(context, feeds, known))
        order = np.argsort(context.sessions, kind="stable")
        window, sessions, rows = window[order], context.sessions[order], rows[order]
    before_row = int(known.sessions.searchsorted(sessions[0])) - 1
    alike = None if facts else correlation(window, sessions, rows, known)
    match = Provenance("unknown" if facts or alike is not None else "newer")
    if alike is not None and alike[0] < _UNLIKE and context.sessions is not None:
        level: Channel = "fault" if context.symbol_named else "regime"
        cause = Cause("wrong_symbol", 0, {"correlation": round(alike[0], 2), "rows": alike[1]})
        name = "one minus the correlation with the symbol's known returns of the same days"
        facts = (ContextFinding(cause, level, name, round(1 - alike[0], 4), 1 - _UNLIKE),)
    if before_row < 0 or not context.level_known:
        return KnownContext(match, facts)
    before = history_of(known).volatility_before(before_row)
    if before is None:
        return KnownContext(match, facts)
    same = np.flatnonzero(rows >= 0)
    if len(same):  # the newest day that both have
        here = int(np.searchsorted(sessions, sessions[same[-1]]))
        row, apart = int(rows[same[-1]]), 0.0
    else:
        here, row = 0, before_row
        apart = float(_sessions_between(context, known, known.sessions[row], sessions[0])[0])
    gap = float(np.log(window[here] / known.closes[row]))
    dated = context.sessions is not None or not len(same)  # a date of its own, not counted back
    return KnownContext(
        match,
        facts,
        before,
        gap,
        gap_sessions=max(apart, 1.0),
        gap_sure=context.symbol_named and dated and apart <= _FRESH_SESSIONS,
    )


def _dates_of(n: int, context: Context, known: Prices, last: np.datetime64) -> np.ndarray:
    """Dates of a window's closes: from the calendar, or counted back from the last."""
    table = context.calendar
    if table is not None and len(table.sessions):
        stop = int(np.searchsorted(table.sessions, last, side="right"))
        if stop >= n and last <= table.sessions[-1]:
            return np.asarray(table.sessions[stop - n : stop])
    stop = int(np.searchsorted(known.sessions, last, side="right"))
    if stop >= n and last <= known.sessions[-1]:
        return np.asarray(known.sessions[stop - n : stop])
    per_day = _sessions_per_day(known.symbol)
    back = np.ceil(np.arange(n)[::-1] / per_day).astype("timedelta64[D]")
    return np.asarray(last - back)


def _sessions_between(
    context: Context, known: Prices, a: np.datetime64, b: np.datetime64
) -> tuple[int, bool]:
    """Sessions after ``a`` up to ``b``, and whether they were counted or estimated.

    ``b`` is included; the number is negative if ``b`` is earlier.
    """
    sessions = known.sessions
    table = context.calendar
    if table is not None and _covers(table.sessions, a, b):
        sessions = table.sessions
    if _covers(sessions, a, b):
        rows = np.searchsorted(sessions, [a, b], side="right")
        return int(rows[1] - rows[0]), True
    return round(float((b - a).astype(int)) * _sessions_per_day(known.symbol)), False


def _sessions_per_day(symbol: str) -> float:
    try:
        return 1.0 if exchange_of(symbol) == EVERY_DAY else _SESSIONS_PER_DAY
    except InvalidSymbol:  # an unknown exchange
        return _SESSIONS_PER_DAY


def _covers(sessions: Dates, a: np.datetime64, b: np.datetime64) -> bool:
    return len(sessions) > 0 and bool(sessions[0] <= min(a, b) and max(a, b) <= sessions[-1])
