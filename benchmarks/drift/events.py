"""What the detector says of days that everybody remembers, and of splits as a raw feed has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmarks.drift.cases import KNOWN, LENGTH, clean_case
from benchmarks.drift.crossfit import alarms
from benchmarks.drift.data import traded
from closecast.core.prices import Prices
from closecast.core.verdict import Verdict
from closecast.drift import Baseline, Context, DriftDetector

IMPOSSIBLE = ("split", "unit_error", "frozen_feed")
"""What no crisis is."""

MOST_SESSIONS = 5
MOST_FAULTS = 0.02


@dataclass(frozen=True)
class Crisis:
    """Sessions that are judged by a baseline that ends before them.

    Attributes
    ----------
    trained_to, first, last : str
        ISO dates: end of the training part; span of the symbol-days.
    starts : tuple of str
        Days from which sessions are counted.
    """

    name: str
    trained_to: str
    first: str
    last: str
    starts: tuple[str, ...]


CRISES = (
    Crisis("Lehman", "2007-12-31", "2008-09-02", "2008-12-31", ("2008-09-15", "2008-10-01")),
    Crisis("COVID", "2019-12-31", "2020-02-03", "2020-04-30", ("2020-02-20", "2020-02-24")),
)


@dataclass(frozen=True, eq=False)
class Replay:
    """Verdicts on every symbol and every day of a crisis.

    Attributes
    ----------
    sessions : array of datetime64[D], shape (d,)
    verdicts : list of lists, S symbols of d verdicts
    """

    crisis: Crisis
    sessions: np.ndarray
    verdicts: list[list[Verdict]]

    @property
    def fault_share(self) -> float:
        """Of symbol-days."""
        return float(np.mean([[alarms(v)[0] for v in of_one] for of_one in self.verdicts]))

    @property
    def codes(self) -> Counter[str]:
        """Symbol-days on which each cause was a finding, by level and code."""
        return Counter(
            f"{finding.level} {finding.code}"
            for of_one in self.verdicts
            for verdict in of_one
            for finding in verdict.findings
        )

    def delays(self, start: str) -> list[float]:
        """Per symbol, which session from a day on is the first with REGIME; 1 is that day."""
        begin = int(np.searchsorted(self.sessions, np.datetime64(start)))
        found = []
        for of_one in self.verdicts:
            said = [alarms(verdict)[1] for verdict in of_one[begin:]]
            found.append(said.index(True) + 1.0 if any(said) else np.inf)
        return found

    def already(self, start: str) -> float:
        """Share of symbols that were in REGIME on the session before."""
        eve = int(np.searchsorted(self.sessions, np.datetime64(start))) - 1
        return float(np.mean([alarms(of_one[eve])[1] for of_one in self.verdicts]))


def replay(crisis: Crisis, series: Sequence[Prices], known: str) -> Replay:
    """Judge each day's last 60 closes; ``known`` is a key of :data:`KNOWN`."""
    sessions = series[0].between(crisis.first, crisis.last).sessions
    verdicts = []
    for prices in series:
        detector = DriftDetector(Baseline.fit(prices.between(None, crisis.trained_to), LENGTH))
        said = []
        for last in np.searchsorted(prices.sessions, sessions):
            case = clean_case(prices, int(last) - LENGTH + 1)
            said.append(detector.check(case.closes, KNOWN[known](case, ())))
        verdicts.append(said)
    return Replay(crisis, sessions, verdicts)


def crisis_table(series: Sequence[Prices], known: Sequence[str]) -> str:
    """Delays, faults and causes, per crisis and per what is known."""
    lines = [
        "real crises, 20 symbols, each judged by what was before; sessions until REGIME (1: at "
        "once)",
        f"{'':<10}{'known beside the window':<24}{'from':>12}{'median':>8}{'worst':>7}"
        f"{'in REGIME the day before':>26}",
    ]
    for crisis in CRISES:
        for what in known:
            found = replay(crisis, series, what)
            for start in crisis.starts:
                delays = found.delays(start)
                lines.append(
                    f"{crisis.name:<10}{what:<24}{start:>12}{np.median(delays):>8.1f}"
                    f"{max(delays):>7.0f}{found.already(start):>26.0%}"
                )
            days = sum(len(of_one) for of_one in found.verdicts)
            said = ", ".join(f"{c} {n / days:.2%}" for c, n in found.codes.most_common())
            lines.append(
                f"{'':<10}{crisis.first} to {crisis.last}: FAULT on {found.fault_share:.2%} of "
                f"{days} symbol-days; {said}"
            )
    return "\n".join(lines)


# --- splits and news, raw ------------------------------------------------------------------


@dataclass(frozen=True)
class RawMove:
    """One session of a raw feed."""

    symbol: str
    day: str
    split: bool


RAW_MOVES = (
    RawMove("AAPL", "2000-06-21", split=True),
    RawMove("AAPL", "2005-02-28", split=True),
    RawMove("MSFT", "2003-02-18", split=True),
    RawMove("AAPL", "2000-09-29", split=False),
)
AFTER = (0, 5, 20)
"""Sessions between the move and the window's end."""


def raw_verdict(move: RawMove, after: int, with_volume: bool) -> Verdict:
    """Of the 60 raw closes that end so many sessions after a move."""
    known = traded()[move.symbol]
    last = int(np.searchsorted(known.raw.sessions, np.datetime64(move.day))) + after
    rows = slice(last - LENGTH + 1, last + 1)
    context = Context(volume=known.volume[rows]) if with_volume else None
    return _raw_detector(move.symbol).check(known.raw.closes[rows], context)


@lru_cache(maxsize=4)
def _raw_detector(symbol: str) -> DriftDetector:
    """Of raw closes after the last of the splits: before most of them there are too few."""
    return DriftDetector(Baseline.fit(traded()[symbol].raw.between("2005-03-01"), LENGTH))


def raw_table() -> str:
    """What is said of each move: findings with their alternatives."""
    lines = [
        "raw moves: findings (and what looks the same)",
        f"{'':<18}{'truth':<8}{'sessions after':>15}  {'closes alone':<44}with volume",
    ]
    for move in RAW_MOVES:
        for after in AFTER:
            said = [_said(raw_verdict(move, after, volume)) for volume in (False, True)]
            truth = "split" if move.split else "news"
            lines.append(
                f"{move.symbol} {move.day:<13}{truth:<8}{after:>15}  {said[0]:<44}{said[1]}"
            )
    return "\n".join(lines)


def _said(verdict: Verdict) -> str:
    return (
        "; ".join(
            f"{f.level.upper()} {f.code}"
            + (f" (or {', '.join(f.alternatives)})" * bool(f.alternatives))
            for f in verdict.findings
        )
        or "ok"
    )
