"""``DriftDetector``: one window in, a ``Verdict`` out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import get_args

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.core.verdict import Channel, Code, Finding, Verdict
from closecast.drift.baseline import Baseline
from closecast.drift.context import (
    Context,
    ContextFinding,
    check_dates,
    check_volume,
    news_speaks,
)
from closecast.drift.context_checks import KnownContext, recall
from closecast.drift.features import WindowFeatures, WindowReturns, read
from closecast.drift.messages import sentence
from closecast.drift.native import COVERED, Prefilter
from closecast.drift.statistics import STATISTICS, Cause, Statistic, keys_measured
from closecast.drift.thresholds import TAIL, Threshold

LEAST = 10
"""Closes without which nothing is measured."""

SUFFICIENT = 20
"""Closes from which on the statistics mean something."""

_Before = tuple[FloatArray | None, FloatArray | None, FloatArray | None]

_Measured = tuple[int, Statistic, Threshold]
"""A statistic with its place among those of the baseline, and its threshold there."""

_Beyond = tuple[int, Statistic, Threshold, WindowFeatures, int, int, float]
"""A value beyond its threshold: what was measured, the row of the reading, that of the batch."""

_ORDER = {code: rank for rank, code in enumerate(get_args(Code))}


@dataclass(frozen=True)
class DriftDetector:
    """Compares a window with the baseline of its model. Deterministic, stateless."""

    baseline: Baseline

    def check(self, window: FloatArray, context: Context | None = None) -> Verdict:
        """Findings about one window, faults first, one per cause.

        Parameters
        ----------
        window : array, shape (n,)
            Positive, finite closes, oldest first; at least 2.
        context : Context, optional
            What is known beside the window.
        """
        return self.check_batch(np.asarray(window, dtype=np.float64)[None], [context])[0]

    def check_batch(self, windows: FloatArray, contexts: Sequence[Context | None]) -> list[Verdict]:
        """:meth:`check` of windows, shape (m, n), each with its context."""
        moves = WindowReturns.of(windows)
        memories = recall(moves, contexts)
        findings: list[list[Finding]] = [[] for _ in windows]
        if windows.shape[1] >= LEAST:
            for known in (False, True):
                rows = [i for i, m in enumerate(memories) if (m.before is not None) is known]
                if rows:
                    self._measure(moves, rows, memories, contexts, findings)
        sufficient = windows.shape[1] >= SUFFICIENT
        for i, (context, memory) in enumerate(zip(contexts, memories, strict=True)):
            if context is not None:
                facts = [
                    *check_dates(context),
                    *check_volume(windows[i], context.volume),
                    *memory.facts,
                ]
                findings[i] += [_of_fact(fact) for fact in facts]
        return [
            Verdict(_sorted(found) if found else (), sufficient, memory.provenance)
            for found, memory in zip(findings, memories, strict=True)
        ]

    def _read(self, moves: WindowReturns, came_before: _Before) -> WindowFeatures:
        own, n = self.baseline, len(moves)
        volatility, still = np.full(n, own.volatility), np.full(n, own.still_share)
        level = np.full(n, own.wildness * own.volatility)
        return read(moves, volatility, still, *came_before, level)

    def _before(self, memories: Sequence[KnownContext]) -> _Before:
        """Volatility before each window, its gap, and the scale of that; as in a reading."""
        # Years of calm or one frozen feed before the window are no scale.
        least = 0.2 * self.baseline.volatility
        before = np.array([max(memory.before or 0.0, least) for memory in memories])
        scale = before * np.sqrt([memory.gap_sessions for memory in memories])
        return before, np.array([memory.gap or 0.0 for memory in memories]) / scale, scale

    def _measure(
        self,
        moves: WindowReturns,
        rows: Sequence[int],
        memories: Sequence[KnownContext],
        contexts: Sequence[Context | None],
        findings: Sequence[list[Finding]],
    ) -> None:
        """Add what statistics say of some rows; all know the closes before them, or none."""
        known = memories[rows[0]].before is not None
        came_before = self._before([memories[i] for i in rows]) if known else (None,) * 3
        returns = moves.returns if len(rows) == len(moves) else moves.returns[rows]
        kept = self._screens[known].suspicious(returns, *came_before[:2])
        covered, others = self._measured[known]
        beyond: list[_Beyond] = []
        reading: WindowFeatures | None = None
        for measured, places in ((covered, kept), (others, range(len(rows)))):
            if measured and places:  # nearly always there are neither
                some = [rows[place] for place in places]
                if reading is None or len(reading) != len(places):
                    before, gap, scale = (None if a is None else a[places] for a in came_before)
                    reading = self._read(moves.rows(some), (before, gap, scale))
                beyond += _beyond(measured, reading, some)
        # In the baseline's order of statistics, as if all had been measured at once.
        for _, statistic, threshold, reading, row, i, value in sorted(beyond, key=itemgetter(0)):
            findings[i].append(
                _finding(statistic, threshold, reading, row, value, memories[i], contexts[i])
            )

    @cached_property
    def _measured(self) -> tuple[tuple[list[_Measured], list[_Measured]], ...]:
        """Statistics with their thresholds: of windows alone, and with what came before them.

        Of both, those that a screen covers, and those that are measured on every window.
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
                {statistic.key: _limit(threshold) for _, statistic, threshold in covered},
            )
            for covered, _ in self._measured
        )


def _limit(threshold: Threshold) -> float:
    """The threshold, less what rounding may add to a value."""
    return threshold.value - 1e-6


def _beyond(
    measured: Sequence[_Measured], reading: WindowFeatures, rows: Sequence[int]
) -> list[_Beyond]:
    """Values of a reading beyond their thresholds; ``rows`` are its windows' in the batch."""
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
    """What a value beyond its threshold means for one row of a reading."""
    cause = statistic.cause(reading, row, value)
    level, cause = _judged(statistic.channel, cause, reading.returns[row], context)
    if statistic.key == "level_gap" and not memory.gap_sure:
        level, cause = "regime", replace(cause, code="level_gap", alternatives=())
    return Finding(
        code=cause.code,
        level=level,
        statistic=statistic.name,
        value=round(value, 4),
        threshold=threshold.value,
        sentence=sentence(cause.code, cause.facts, cause.alternatives),
        # Beyond the threshold fewer are left than beyond the table's last entry.
        p_value=round(min(threshold.p_value(value), threshold.rate), 6),
        false_alarm_rate=threshold.rate,
        row=cause.row,
        alternatives=cause.alternatives,
        facts=cause.facts,
    )


def _judged(
    level: Channel, cause: Cause, returns: FloatArray, context: Context | None
) -> tuple[Channel, Cause]:
    """A split, once more: volume, or the days that follow, may say that the move was real."""
    if cause.code != "split" or not cause.row:
        return level, cause
    volume = None if context is None else context.volume
    real = news_speaks(returns, cause.row, str(cause.facts["ratio"]), volume)
    if real:
        about = {key: value for key, value in cause.facts.items() if key != "ratio"}
        return "regime", Cause("shock", cause.row, about)
    return level, cause if real is None else replace(cause, alternatives=())


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
            continue  # closes in two units say nothing of the market
        if any(finding.code == other.code for other in kept):
            continue
        if finding.code in ("spike", "shock") and any(_same_close(finding, o) for o in kept):
            continue
        kept.append(finding)
    return tuple(kept)


def _rarity(finding: Finding) -> float:
    """Facts first; below what the reference can show, p-values do not compare."""
    return 0.0 if finding.p_value is None else max(finding.p_value, TAIL[-1])


def _same_close(a: Finding, b: Finding) -> bool:
    return (
        a.row is not None
        and b.row is not None
        and b.code in ("split", "unit_error", "spike", "shock")
        and abs(a.row - b.row) <= 1
    )
