"""``DriftDetector``: judges windows of closes; each gets a ``Verdict``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import get_args

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.core.dataset import long_run_volatility
from closecast.core.verdict import Channel, Code, Finding, Verdict
from closecast.drift.baseline import Baseline
from closecast.drift.context import Context, ContextFinding, check_dates, check_volume
from closecast.drift.context_checks import KnownContext, compare_with_known
from closecast.drift.features import WindowFeatures, WindowReturns, features_of
from closecast.drift.market_check import (
    check_market,
    dates_of,
    may_be_explained,
    shared_or_not,
    without_market,
)
from closecast.drift.messages import sentence
from closecast.drift.move_evidence import evidence_on
from closecast.drift.native import COVERED, Prefilter
from closecast.drift.reference import still_share_of
from closecast.drift.statistics import STATISTICS, Cause, Statistic, keys_measured
from closecast.drift.statistics.ratios import UNITS
from closecast.drift.thresholds import TAIL, Threshold

LEAST = 10
"""Closes without which nothing is measured."""

SUFFICIENT = 20
"""Closes from which on the statistics mean something."""

_Before = tuple[FloatArray | None, FloatArray | None, FloatArray | None]

_Measured = tuple[int, Statistic, Threshold]
"""A statistic with its place among those of the baseline, and its threshold there."""

_Beyond = tuple[int, Statistic, Threshold, WindowFeatures, int, int, float]
"""A value beyond its threshold: statistic, features, row in the features and in the batch."""

_ORDER = {code: rank for rank, code in enumerate(get_args(Code))}


@dataclass(frozen=True)
class DriftDetector:
    """Compares a window with the baseline of its model. Deterministic, stateless."""

    baseline: Baseline

    def check(self, window: FloatArray, context: Context | None = None) -> Verdict:
        """Judge one window: findings with faults first, one per cause.

        Parameters
        ----------
        window : array, shape (n,)
            Positive, finite closes, oldest first; at least 2.
        context : Context, optional
            Closes, dates and volume known beside the window.
        """
        return self.check_batch(np.asarray(window, dtype=np.float64)[None], [context])[0]

    def check_batch(self, windows: FloatArray, contexts: Sequence[Context | None]) -> list[Verdict]:
        """:meth:`check` of windows, shape (m, n), each with its context."""
        returns = WindowReturns.of(windows)
        memories = compare_with_known(returns, contexts)
        findings: list[list[Finding]] = [[] for _ in windows]
        if windows.shape[1] >= LEAST:
            for known in (False, True):
                rows = [i for i, m in enumerate(memories) if (m.before is not None) is known]
                # Windows of other symbols than the baseline's are measured by their own levels.
                strange = [i for i in rows if _is_strange(memories[i], contexts[i])]
                for i in strange:
                    own = memories[i].own
                    moves = returns.returns[i] if own is None else np.diff(own.log_closes)
                    judge = self._scaled_to(moves)
                    judge._measure(returns, [i], memories, contexts, findings)
                if strange:
                    rows = [i for i in rows if i not in strange]
                if rows:
                    self._measure(returns, rows, memories, contexts, findings)
        sufficient = windows.shape[1] >= SUFFICIENT
        for i, (context, memory) in enumerate(zip(contexts, memories, strict=True)):
            if context is not None:
                facts: list[ContextFinding] = [
                    *check_dates(context, None if context.by_own_levels else memory.own),
                    *check_volume(windows[i], context.volume),
                    *memory.facts,
                ]
                if context.market is not None and memory.own is None:
                    facts += self._beside_the_market(returns, i, memory, context, findings[i])
                findings[i] += [_of_fact(fact) for fact in facts]
        return [
            Verdict(_sorted(found) if found else (), sufficient, memory.provenance)
            for found, memory in zip(findings, memories, strict=True)
        ]

    def _beside_the_market(
        self,
        windows: WindowReturns,
        i: int,
        memory: KnownContext,
        context: Context,
        found: list[Finding],
    ) -> list[ContextFinding]:
        """Call moves news that the market shared, and find a crash of it on the newest day."""
        n = windows.closes.shape[1]
        dates = dates_of(context, memory.sessions, n)
        if dates is None or context.market is None:
            return []
        if any(may_be_explained(finding) for finding in found):
            moves, times = context.market.at(dates[1:])
            left = without_market(windows.returns[i], moves, times)
            if (left != windows.returns[i]).any():
                closes = np.exp(np.append(0.0, left.cumsum()))
                without: list[list[Finding]] = [[]]
                self._measure(WindowReturns.of(closes[None]), [0], [memory], [context], without)
                judged = [shared_or_not(f, without[0], moves, times) for f in found]
                found[:] = [finding for finding in judged if finding is not None]
        return check_market(float(windows.returns[i, -1]), n - 1, dates[-1], context.market)

    def _scaled_to(self, moves: FloatArray) -> DriftDetector:
        """Detector with the levels of another symbol, by its log returns, shape (n,)."""
        own = replace(
            self.baseline,
            volatility=long_run_volatility(moves),
            still_share=still_share_of(moves),
            wildness=1.0,
        )
        return DriftDetector(own)

    def _read(self, windows: WindowReturns, came_before: _Before) -> WindowFeatures:
        own, n = self.baseline, len(windows)
        volatility, still = np.full(n, own.volatility), np.full(n, own.still_share)
        level = np.full(n, own.wildness * own.volatility)
        plausible = np.full(n, own.volatility if came_before[0] is not None else own.plausible)
        return features_of(windows, volatility, still, *came_before, level, plausible)

    def _before(self, memories: Sequence[KnownContext]) -> _Before:
        """Volatility before each window, its gap and the gap's scale, as ``WindowFeatures``."""
        # Years of calm or one frozen feed before the window are no scale.
        least = 0.2 * self.baseline.volatility
        before = np.array([max(memory.before or 0.0, least) for memory in memories])
        scale = before * np.sqrt([memory.gap_sessions for memory in memories])
        return before, np.array([memory.gap or 0.0 for memory in memories]) / scale, scale

    def _measure(
        self,
        windows: WindowReturns,
        rows: Sequence[int],
        memories: Sequence[KnownContext],
        contexts: Sequence[Context | None],
        findings: Sequence[list[Finding]],
    ) -> None:
        """Add the findings of statistics on some rows: all with known closes before, or none."""
        known = memories[rows[0]].before is not None
        came_before = self._before([memories[i] for i in rows]) if known else (None,) * 3
        returns = windows.returns if len(rows) == len(windows) else windows.returns[rows]
        kept = self._screens[known].suspicious(returns, *came_before[:2])
        covered, others = self._measured[known]
        beyond: list[_Beyond] = []
        reading: WindowFeatures | None = None
        for measured, places in ((covered, kept), (others, range(len(rows)))):
            if measured and places:  # usually there are neither
                some = [rows[place] for place in places]
                if reading is None or len(reading) != len(places):
                    before, gap, scale = (None if a is None else a[places] for a in came_before)
                    reading = self._read(windows.rows(some), (before, gap, scale))
                beyond += _beyond(measured, reading, some)
        # In the baseline's order of statistics, as if all had been measured at once.
        for _, statistic, threshold, reading, row, i, value in sorted(beyond, key=itemgetter(0)):
            findings[i].append(
                _finding(statistic, threshold, reading, row, value, memories[i], contexts[i])
            )

    @cached_property
    def _measured(self) -> tuple[tuple[list[_Measured], list[_Measured]], ...]:
        """Statistics and thresholds for windows alone, and for windows with known closes before.

        For each, first those that the prefilter covers, then those measured on every window.
        """
        found = []
        for known, thresholds in enumerate((self.baseline.alone, self.baseline.with_before)):
            measurable = keys_measured(known=bool(known))
            own = [
                (rank, STATISTICS[key], threshold)
                for rank, (key, threshold) in enumerate(thresholds.items())
                # Others are of a bundle that another version of this code made.
                if key in measurable
            ]
            found.append(
                (
                    [one for one in own if one[1].key in COVERED],
                    [one for one in own if one[1].key not in COVERED],
                )
            )
        return tuple(found)

    @cached_property
    def _screens(self) -> tuple[Prefilter, ...]:
        own = self.baseline
        return tuple(
            Prefilter(
                own.volatility,
                own.wildness * own.volatility,
                own.still_share,
                own.volatility if known else own.plausible,
                {statistic.key: _limit(threshold) for _, statistic, threshold in covered},
            )
            for known, (covered, _) in enumerate(self._measured)
        )


def _is_strange(memory: KnownContext, context: Context | None) -> bool:
    """Answer True if the baseline is of another symbol than the window."""
    return memory.own is not None or (context is not None and context.by_own_levels)


def _limit(threshold: Threshold) -> float:
    """The threshold minus the most that rounding adds to a value."""
    return threshold.value - 1e-6


def _beyond(
    measured: Sequence[_Measured], reading: WindowFeatures, rows: Sequence[int]
) -> list[_Beyond]:
    """Find values beyond their thresholds; ``rows`` are the places of the windows in the batch."""
    values = np.array([statistic.measure(reading) for _, statistic, _ in measured])
    limits = np.array([[_limit(threshold)] for *_, threshold in measured])
    found: list[_Beyond] = []
    for which, row in np.argwhere(values > limits).tolist():
        rank, statistic, threshold = measured[which]
        value = round(float(values[which, row]), 6)
        if value > threshold.value:
            found.append((rank, statistic, threshold, reading, row, rows[row], value))
    return found


def _finding(
    statistic: Statistic,
    threshold: Threshold,
    reading: WindowFeatures,
    row: int,
    value: float,
    memory: KnownContext,
    context: Context | None,
) -> Finding:
    """Make the finding of a value beyond its threshold in one row of the features."""
    cause = statistic.cause(reading, row, value)
    level, cause = _judged(statistic.channel, cause, reading.returns[row], context)
    if statistic.key == "level_gap" and not memory.gap_sure:
        level, cause = "regime", replace(cause, code="level_gap", alternatives=())
    # Beyond the threshold fewer are left than beyond the table's last entry.
    p_value = round(max(min(threshold.p_value(value), threshold.rate), TAIL[-1]), 6)
    return Finding(
        code=cause.code,
        level=level,
        statistic=statistic.name,
        value=round(value, 4),
        threshold=threshold.value,
        sentence=sentence(cause.code, cause.facts, cause.alternatives),
        p_value=p_value,
        false_alarm_rate=threshold.rate,
        row=cause.row,
        alternatives=cause.alternatives,
        tail_ranks={**cause.ranks, "shock": p_value} if cause.ranks else {},
        facts=cause.facts,
    )


def _judged(
    level: Channel, cause: Cause, returns: FloatArray, context: Context | None
) -> tuple[Channel, Cause]:
    """Settle a move that is news or a split, where volume or the days after it show which."""
    if "ratio" not in cause.facts or not cause.row or abs(returns[cause.row - 1]) >= UNITS:
        return level, cause
    volume = None if context is None else context.volume
    found = evidence_on(returns, cause.row, str(cause.facts["ratio"]), volume)
    if found is None:
        return level, cause
    open_still = {"unsure"} if found == "split" else {"ratio", "days", "unsure"}
    facts = {key: value for key, value in cause.facts.items() if key not in open_still}
    if found == "split":
        return "fault", Cause("split", cause.row, facts)
    return "regime", Cause("shock", cause.row, facts)


def _of_fact(fact: ContextFinding) -> Finding:
    cause = fact.cause
    return Finding(
        code=cause.code,
        level=fact.level,
        statistic=fact.statistic,
        value=fact.value,
        threshold=fact.threshold,
        sentence=sentence(cause.code, cause.facts, cause.alternatives),
        row=cause.row,
        alternatives=cause.alternatives,
        facts=cause.facts,
    )


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Faults first, then facts, then the least likely; one per cause, and per wrong close."""
    ordered = sorted(
        findings,
        key=lambda f: (f.level != "fault", _rarity(f), _ORDER[f.code], -f.value),
    )
    kept: list[Finding] = []
    torn = any(f.code in ("unit_error", "split") and f.level == "fault" and f.row for f in ordered)
    for finding in ordered:
        if torn and finding.level == "regime":
            continue  # closes in two units give no information on the market
        if any(finding.code == other.code for other in kept):
            continue
        one_move = finding.code in ("spike", "shock") or (
            finding.code == "split" and finding.level == "regime"
        )
        if one_move and any(_same_close(finding, other) for other in kept):
            continue
        kept.append(finding)
    return tuple(kept)


def _rarity(finding: Finding) -> float:
    """Sort key: facts first, then p-values, which below the reference's smallest are equal."""
    return 0.0 if finding.p_value is None else max(finding.p_value, TAIL[-1])


def _same_close(a: Finding, b: Finding) -> bool:
    return (
        a.row is not None
        and b.row is not None
        and b.code in ("split", "unit_error", "spike", "shock", "level_gap")
        and abs(a.row - b.row) <= 1
    )
