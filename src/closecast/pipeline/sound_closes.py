"""Sound closes: of each collected series, the rows that one model may learn from."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from closecast.core.data_quality import Fault, faults_of
from closecast.core.prices import UNIT_RATIO, Prices
from closecast.core.spacing import newest_stretch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SoundCloses:
    """Series without faults and long gaps.

    Attributes
    ----------
    series : tuple of Prices
        The newest sound rows of each symbol that has any.
    left_out : mapping of symbol to str
        Closes that are left out, and why: the sentence names the first one that is kept, or the
        symbol is not in ``series``.
    faulty : frozenset of str
        Symbols of which closes are left out for a fault, not for a gap.
    """

    series: tuple[Prices, ...]
    left_out: Mapping[str, str]
    faulty: frozenset[str]


def sound_closes(
    series: Sequence[Prices],
    *,
    keep_single: bool = True,
    accepted: Mapping[str, Collection[date]] | None = None,
) -> SoundCloses:
    """Take the newest rows of each series that hold neither a fault nor a long gap.

    A symbol keeps its closes since its last long gap, since the last bars of another frequency and
    since its last fault. A move that the other series of the kind shared is no fault.

    Parameters
    ----------
    keep_single : bool
        Whether a single series keeps the closes before a fault, with a warning: it spoils no
        pool, and a suspected split may be news. A gap, another frequency or a move beyond
        :data:`closecast.core.prices.UNIT_RATIO` are no news: those cut it all the same.
    accepted : mapping of symbol to collection of date, optional
        Sessions of which a person said that the close is right: no fault begins there.
    """
    kept, left_out, faulty = [], {}, set()
    for prices in series:
        stretch, before = newest_stretch(prices)
        reasons = [before.message] if before else []
        right = {str(day) for day in (accepted or {}).get(prices.symbol, ())}
        faults = [f for f in faults_of(stretch, series) if f.problem.date not in right]
        if keep_single and len(series) == 1:
            faults, doubted = _of_units(stretch, faults)
            if doubted:
                _warn(stretch, doubted)
        begins = max((fault.sound_from for fault in faults), default=0)
        if faults:
            faulty.add(prices.symbol)
            last = max(faults, key=lambda fault: fault.sound_from)
            more = f" (the last of {len(faults)} faults)" if len(faults) > 1 else ""
            reasons = [f"{last.problem}{more}"]
        if begins >= len(stretch):
            left_out[prices.symbol] = f"{reasons[0]}; no close follows"
            continue
        sound = stretch.rows(begins, None)
        kept.append(sound)
        if reasons:
            left_out[prices.symbol] = (
                f"closes before {sound.sessions[0]} left out, {len(sound):,} follow: {reasons[0]}"
            )
    return SoundCloses(tuple(kept), left_out, frozenset(faulty))


def _of_units(prices: Prices, faults: Sequence[Fault]) -> tuple[list[Fault], list[Fault]]:
    """Faults of a size that no news has, and the others."""
    moves = np.concatenate([[0.0], np.abs(np.diff(prices.log_closes))])
    certain: list[Fault] = []
    doubted: list[Fault] = []
    for fault in faults:
        row = int(np.searchsorted(prices.sessions, np.datetime64(fault.problem.date)))
        beyond = moves[row] > np.log(UNIT_RATIO) or fault.problem.rule == "unit_error"
        (certain if beyond else doubted).append(fault)
    return certain, doubted


def _warn(prices: Prices, faults: Sequence[Fault]) -> None:
    reason = "; ".join(str(fault.problem) for fault in faults[:3])
    begins = max(fault.sound_from for fault in faults)
    if begins < len(prices):
        reason += f"; --start {prices.sessions[begins]} learns from the closes since then"
    log.warning("suspicious closes", extra={"symbol": prices.symbol, "reason": reason})
