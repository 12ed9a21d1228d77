"""``DriftDetector``: one window in, a ``Verdict`` out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

import numpy as np

from closecast.drift.baseline import Baseline
from closecast.drift.context import Context
from closecast.drift.dates import check_dates, check_volume, news_speaks
from closecast.drift.memory import Fact, Memory, recall
from closecast.drift.reading import FloatArray, Reading, read
from closecast.drift.sentences import sentence
from closecast.drift.statistics import STATISTICS, Cause
from closecast.drift.thresholds import TAIL
from closecast.verdict import Channel, Code, Finding, Verdict

LEAST = 10
"""Closes without which nothing is measured."""

SUFFICIENT = 20
"""Closes from which on the statistics mean something."""

_ORDER = {code: rank for rank, code in enumerate(get_args(Code))}
_NOTHING = Memory()


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
        window = np.asarray(window, dtype=np.float64)
        memory = _NOTHING if context is None else recall(window, context)
        findings = []
        if len(window) >= LEAST:
            findings = self._statistical(self._read(window, memory), memory, context)
        if context is not None:
            still = np.diff(window) == 0
            facts = [*check_dates(context), *check_volume(still, context.volume), *memory.facts]
            findings += [_of_fact(fact) for fact in facts]
        return Verdict(_sorted(findings), len(window) >= SUFFICIENT, memory.provenance)

    @cached_property
    def _levels(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        own = self.baseline
        level = own.wildness * own.volatility
        return np.array([own.volatility]), np.array([own.still_share]), np.array([level])

    def _read(self, window: FloatArray, memory: Memory) -> Reading:
        volatility, still, level = self._levels
        if memory.before is None:
            return read(window[None], volatility, still, level=level)
        # Years of calm or one frozen feed before the window are no scale.
        before = np.array([max(memory.before, 0.2 * self.baseline.volatility)])
        scale = before * np.sqrt(memory.gap_sessions)
        gap = np.array([memory.gap or 0.0]) / scale
        return read(window[None], volatility, still, before, gap, scale, level)

    def _statistical(
        self, reading: Reading, memory: Memory, context: Context | None
    ) -> list[Finding]:
        known = reading.before is not None
        thresholds = self.baseline.with_before if known else self.baseline.alone
        findings = []
        for key, threshold in thresholds.items():
            statistic = STATISTICS.get(key)
            if statistic is None or not statistic.weights[known]:
                continue  # a bundle of another version of this code
            value = round(float(statistic.measure(reading)[0]), 6)
            if not value > threshold.value:
                continue
            level, cause = _judged(
                statistic.channel, statistic.cause(reading, 0, value), reading, memory, context
            )
            if key == "level_gap" and not memory.gap_sure:
                level, cause = "regime", replace(cause, code="level_gap", alternatives=())
            findings.append(
                Finding(
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
            )
        return findings


def _judged(
    level: Channel, cause: Cause, reading: Reading, memory: Memory, context: Context | None
) -> tuple[Channel, Cause]:
    """A split, once more: volume, or the days that follow, may say that the move was real."""
    if cause.code != "split" or not cause.row:
        return level, cause
    volume = None if context is None else context.volume
    real = news_speaks(reading.returns[0], cause.row, str(cause.facts["ratio"]), volume)
    if real:
        about = {key: value for key, value in cause.facts.items() if key != "ratio"}
        return "regime", Cause("shock", cause.row, about)
    return level, cause if real is None else replace(cause, alternatives=())


def _of_fact(fact: Fact) -> Finding:
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
