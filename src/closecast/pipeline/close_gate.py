"""The gate for closes: which ones of the cache may be used, and why others are held back.

Everything that uses new closes (calibration, monitor, scores, retraining triggers) takes them from
here, so that no part writes down a close that another part refuses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TypeGuard

import numpy as np

from closecast.core.calendars import as_date
from closecast.core.corrections import Corrections, find_corrections
from closecast.core.data_quality import find_faults
from closecast.core.prices import Prices
from closecast.core.records import AcceptedClose, HeldCloses
from closecast.core.spacing import WINDOW
from closecast.database import Database
from closecast.errors import InvalidPrices
from closecast.pipeline.gap_gate import held_by_gap, sessions_after_gaps
from closecast.registry.closes import load_closes
from closecast.registry.documents import CLOSES_FILE, Bundle, DataSpan
from closecast.sources.price_cache import PriceCache

OTHER_BASIS, REWRITTEN, TOO_FEW = "other_basis", "rewritten_history", "too_few_closes"
REFUSED = InvalidPrices.code
"""Codes of held closes beside the rules of :func:`closecast.core.data_quality.find_faults`."""


@dataclass(frozen=True, slots=True)
class KnownCloses:
    """Closes that a symbol's calibration rests on.

    Attributes
    ----------
    prices : Prices or None
        ``None`` where they were not remembered: an earlier version of closecast stored the state.
    at : datetime
        Aware; when they were absorbed, or the model was made.
    revision : int or None
        Of the stored calibration; ``None`` if there is only the bundle's own, whose closes have
        scored no forecast.
    """

    prices: Prices | None
    at: datetime
    revision: int | None


@dataclass(frozen=True, slots=True)
class UsableCloses:
    """Closes of one symbol that may be used.

    Attributes
    ----------
    prices : Prices or None
        To learn from, to score by and to forecast from, up to the last usable one. ``None``: the
        download is refused as a whole, and no earlier closes are known.
    held : HeldCloses or None
        The fault for which later closes of the cache are held back.
    corrections : Corrections or None
        Differences of ``prices`` from what the calibration has absorbed; ``None`` if unknown.
    settled_since : date or None
        Outcomes of this session and later ones may rest on other closes; ``None``: none does.
    revision : int or None
        Of the stored calibration that ``corrections`` are about; ``None`` if none is stored.
    after_gaps : tuple of date
        First sessions after long gaps, oldest first: no window holds closes from before one.
    """

    prices: Prices | None
    held: HeldCloses | None
    corrections: Corrections | None
    settled_since: date | None
    revision: int | None
    after_gaps: tuple[date, ...] = ()


def usable_closes(bundle: Bundle, database: Database, cache: PriceCache) -> dict[str, UsableCloses]:
    """Judge the cached closes of a model's symbols; one that was never collected is left out.

    Raises
    ------
    StorageFailed
        If the database cannot be read.
    """
    info, found = bundle.manifest.info, {}
    cached = {span.symbol: cache.get(span.symbol) for span in info.data}
    panel = [prices for prices in cached.values() if prices is not None]
    for span in info.data:
        prices = cached[span.symbol]
        if prices is not None and span.symbol in info.left_out:
            prices = _learned_from(prices, span)
        if prices is None:
            continue
        known = known_closes(bundle, database, span)
        accepted = database.close_decisions.accepted(span.symbol)
        found[span.symbol] = judge_closes(
            prices, span, known, accepted, panel, database.clock(), info.seq_length
        )
    return found


def _learned_from(prices: Prices, span: DataSpan) -> Prices:
    """Closes since the first one that the model has learned from: those before have a fault."""
    return prices.between(span.first_session) if prices.span[1] > span.first_session else prices


def known_closes(bundle: Bundle, database: Database, span: DataSpan) -> KnownCloses:
    """Closes that the stored calibration has absorbed; before the first update, the bundle's."""
    stored = database.calibrations.absorbed(bundle.manifest.version, span.symbol)
    if stored is not None:
        return KnownCloses(stored.prices, stored.at, stored.revision)
    prices = None
    if CLOSES_FILE in bundle.files:
        series = load_closes(bundle.files[CLOSES_FILE], [span])
        [prices] = [one for one in series if one.symbol == span.symbol]
    return KnownCloses(prices, bundle.manifest.created_at, None)


def judge_closes(
    prices: Prices,
    span: DataSpan,
    known: KnownCloses,
    accepted: Mapping[date, AcceptedClose],
    panel: Sequence[Prices],
    now: datetime,
    seq_length: int = WINDOW,
) -> UsableCloses:
    """Decide which closes of a download may be used.

    All from the first session with a new fault on are held back. A fault is new if the model was
    not trained on it and nobody accepted it. A download as a whole is refused, and the known
    closes stay in use, if it is shorter than a window, has another basis, rewrites the history
    that the model has learned from, or has a new fault in it. Closes after a long gap wait until
    they are a window.

    Parameters
    ----------
    span : DataSpan
        The closes that the model was trained on.
    accepted : mapping of date to AcceptedClose
        Decisions about the symbol, by session.
    panel : sequence of Prices
        The model's symbols: a move that they shared is news.
    """
    changes = None if known.prices is None else find_corrections(known.prices, prices)
    held = _refusal(prices, span, known, changes, accepted, now, seq_length)
    if held is None:
        held = _first_fault(prices, span, changes, accepted, panel, now)
        last_trained = date.fromisoformat(span.last_session)
        if held is None or held.since > last_trained:
            usable = prices if held is None else _before(prices, held.since)
            if gap := held_by_gap(usable, last_trained, accepted, seq_length, now):
                usable, held = _before(usable, gap.since), gap
            gaps = sessions_after_gaps(usable, last_trained, accepted)
            return replace(_usable(usable, held, known), after_gaps=gaps)
    return _usable(known.prices, held, known)


def _usable(prices: Prices | None, held: HeldCloses | None, known: KnownCloses) -> UsableCloses:
    changes = None
    if prices is not None and known.prices is not None:
        changes = find_corrections(known.prices, prices)
    since: date | None = date.min
    if changes is not None and known.revision is not None:
        since = changes.first
    return UsableCloses(prices, held, changes, since, known.revision)


def _before(prices: Prices, since: date) -> Prices:
    return prices.rows(0, int(np.searchsorted(prices.sessions, np.datetime64(since, "D"))))


def _refusal(
    prices: Prices,
    span: DataSpan,
    known: KnownCloses,
    changes: Corrections | None,
    accepted: Mapping[date, AcceptedClose],
    now: datetime,
    seq_length: int,
) -> HeldCloses | None:
    """Reason to use nothing of a download, if there is one."""
    since = _first_unused(prices, span, known)
    if len(prices) < seq_length:
        return HeldCloses(
            since,
            TOO_FEW,
            f"the source gave only {len(prices)} closes, and a window has {seq_length}",
            "A download with the closes before them ends it.",
            now,
        )
    if prices.basis != span.basis:
        return HeldCloses(
            since,
            OTHER_BASIS,
            f"closes are {prices.basis}, the model has learned from {span.basis} ones",
            f"Closes that are {span.basis} again end it, or a training on these.",
            now,
        )
    if changes is None or changes.first is None or not changes.rewrite_history:
        return None
    decision = accepted.get(since)
    if decision is not None and decision.at > known.at:  # about this download, not about another
        return None
    return HeldCloses(
        since,
        REWRITTEN,
        f"{len(changes.sessions)} of {changes.compared} returns, from {changes.first} on, are not "
        "those that the model has learned from: its history was rewritten",
        _ends(prices.symbol, since, "the new history is right"),
        now,
    )


def _first_unused(prices: Prices, span: DataSpan, known: KnownCloses) -> date:
    """First session of a refused download that no known close stands for; else its last one."""
    last = np.datetime64(span.last_session, "D")
    if known.prices is not None:
        last = known.prices.sessions[-1]
    row = int(np.searchsorted(prices.sessions, last, side="right"))
    return as_date(prices.sessions[min(row, len(prices) - 1)])


def _first_fault(
    prices: Prices,
    span: DataSpan,
    changes: Corrections | None,
    accepted: Collection[date],
    panel: Sequence[Prices],
    now: datetime,
) -> HeldCloses | None:
    """The first new fault of a download."""
    for fault in find_faults(prices, panel):
        if fault.date is None or date.fromisoformat(fault.date) in accepted:
            continue
        learned = fault.date <= span.last_session
        if learned and (changes is None or not changes.touches(fault.date)):
            continue
        since = date.fromisoformat(fault.date)
        ends = _ends(prices.symbol, since, "the close is right")
        return HeldCloses(since, fault.rule, f"its new closes have a fault: {fault}", ends, now)
    return None


def held_download(error: InvalidPrices, now: datetime) -> HeldCloses:
    """Describe a download that was refused before it reached the cache."""
    dated = sorted(problem.date for problem in error.problems if _is_day(problem.date))
    return HeldCloses(
        date.fromisoformat(dated[0]) if dated else now.date(),
        REFUSED,
        str(error),
        "Closes without these faults from the source end it.",
        now,
    )


def _is_day(text: str | None) -> TypeGuard[str]:
    try:
        date.fromisoformat(text or "")
    except ValueError:  # a row without a date
        return False
    return True


def _ends(symbol: str, since: date, right: str) -> str:
    return (
        "Corrected closes from the source end it, a new training, or a person, "
        f"if {right}: POST /prices/{symbol}/accept, or `closecast accept {symbol} {since} "
        "--reason TEXT`."
    )
