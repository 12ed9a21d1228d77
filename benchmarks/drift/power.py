"""What is seen of faults that were put into clean windows, and what it is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.drift.cases import FAULTS, KNOWN, LENGTH, STALE_BY, Case, injected
from benchmarks.drift.crossfit import CrossFit, alarms
from benchmarks.drift.rates import CHANNELS
from closecast.core.verdict import Verdict
from closecast.drift.statistics import STATISTICS

ALONE, DATES, LAST_CLOSE, MEMORY, _ = KNOWN


@dataclass(frozen=True)
class Target:
    """What issue 5 asks of a fault, at 1 % false alarms.

    Attributes
    ----------
    known : str
        What is known beside the window: a key of :data:`KNOWN`.
    least : float
        Share of windows with a finding in the fault's channel.
    """

    fault: str
    known: str
    least: float

    @property
    def least_kept(self) -> float:
        """``least``, or :data:`KEPT` of it where later statistics share the channel."""
        channel = FAULTS[self.fault].channel
        of_channel = {key for key, s in STATISTICS.items() if s.channel == channel}
        return self.least if of_channel <= MEASURED_WITH else KEPT * self.least


TARGETS = (
    *(Target(f"split {ratio}", ALONE, 0.99) for ratio in ("2:1", "10:1", "1:2")),
    Target("x100, whole window", LAST_CLOSE, 0.99),
    Target("x100, last close", ALONE, 0.99),
    *(Target(f"frozen, {days} still days", ALONE, 0.99) for days in (5, 10)),
    Target("wrong symbol", LAST_CLOSE, 0.90),
    Target("wrong symbol", MEMORY, 0.90),
    Target("spike 20 %", ALONE, 0.95),
    Target("spike 10 %", ALONE, 0.75),
    Target("5 days filled", ALONE, 0.75),
    Target("5 days filled", DATES, 1.0),
    Target("volatility x3", LAST_CLOSE, 0.40),
    Target("volatility x3", ALONE, 0.15),
    Target("reversed order", DATES, 1.0),
)
MEASURED_WITH = frozenset(
    (
        *("jump", "frozen_feed", "filled_days", "spike", "level_gap"),
        *("volatility_high", "volatility_high_before", "volatility_high_week"),
        *("volatility_low", "volatility_low_before", "trend_week", "trend_month"),
        *("shock_lately", "large_move"),
    )
)
"""Keys of the statistics that shared the false alarms when :data:`TARGETS` were set."""

KEPT = 0.9
"""Part of a target that must be left where a later statistic takes a share of the false alarms of
the same channel: thresholds of all others rise for it. ``trend_fortnight`` of weights 0.1 and 0.2
took "volatility x3" with its last close from 0.40 to 0.39."""

LEAST_NAMED = 0.9
"""Share of what is caught whose first finding names the right cause."""


@dataclass(frozen=True)
class Power:
    """Verdicts on one fault.

    Attributes
    ----------
    fault, regime : float
        Share of windows with a finding of each channel.
    named : float
        Share of those caught in the fault's own channel whose first finding names the cause.
    said : Counter
        Code of the first finding, or "nothing".
    """

    windows: int
    fault: float
    regime: float
    named: float
    said: Counter[str]

    def caught(self, name: str) -> float:
        """In the channel where the fault belongs."""
        return self.fault if FAULTS[name].channel == "fault" else self.regime


def spoilable(windows: Iterable[Case], every: int) -> list[Case]:
    """Every so many-th clean window of those with more than a year before them."""
    return [case for case in windows if case.first > STALE_BY + LENGTH][::every]


def power(
    fit: CrossFit,
    cases: Sequence[Case],
    wanted: Iterable[tuple[str, str]],
    rate: float = 0.01,
) -> dict[tuple[str, str], Power]:
    """By fault and by what is known, for the pairs that are wanted."""
    pairs = list(wanted)
    names = {name for name, _ in pairs}
    verdicts: dict[tuple[str, str], list[Verdict]] = {pair: [] for pair in pairs}
    for clean in cases:
        detector = fit.detector(clean, rate)
        spoiled = {name: injected(name, clean, fit.series) for name in names}
        for name, known in pairs:
            case = spoiled[name]
            context = KNOWN[known](case, fit.series)
            verdicts[name, known].append(detector.check(case.closes, context))
    return {pair: _summed(pair[0], said) for pair, said in verdicts.items()}


def _summed(name: str, verdicts: Sequence[Verdict]) -> Power:
    fault = FAULTS[name]
    levels = np.array([alarms(verdict) for verdict in verdicts])
    first = [v.findings[0].code if v.findings else "nothing" for v in verdicts]
    caught = levels[:, CHANNELS.index(fault.channel)]
    right = np.isin(first, fault.causes)
    return Power(
        len(verdicts),
        float(levels[:, 0].mean()),
        float(levels[:, 1].mean()),
        float(right[caught].mean()) if caught.any() else float("nan"),
        Counter(first),
    )


def power_table(found: Mapping[tuple[str, str], Power]) -> str:
    """One block per fault, one line per what is known; targets of issue 5 beside."""
    n = next(iter(found.values())).windows
    least = {(target.fault, target.known): target.least for target in TARGETS}
    lines = [
        f"power at 1 % false alarms, {n} windows per fault; "
        "named: of those caught in the fault's channel, first finding right",
        f"{'fault':<26}{'known beside the window':<24}{'FAULT':>8}{'REGIME':>8}{'named':>8}"
        f"{'asked':>8}",
    ]
    for (name, known), row in found.items():
        asked, note = least.get((name, known)), ""
        if asked is not None:
            missed = [
                *(["power"] if row.caught(name) < asked else []),
                *(["cause"] if not row.named >= LEAST_NAMED else []),
            ]
            note = f"{asked:>8.0%}" + (f"  MISSED: {', '.join(missed)}" if missed else "")
        lines.append(
            f"{name:<26}{known:<24}{row.fault:>8.1%}{row.regime:>8.1%}{row.named:>8.1%}{note}"
        )
    return "\n".join(lines)


def confusion_table(found: Mapping[tuple[str, str], Power], known: str) -> str:
    """First finding by fault, in % of windows."""
    rows = {name: row for (name, what), row in found.items() if what == known}
    codes = sorted({code for row in rows.values() for code in row.said} - {"nothing"})
    columns = [*codes, "nothing"]
    lines = [
        f"first finding, % of windows, known beside the window: {known}",
        f"{'':<26}" + "".join(f"{column[:12]:>13}" for column in columns),
    ]
    for name, row in rows.items():
        shares = [100 * row.said[column] / row.windows for column in columns]
        cells = "".join(f"{share:>13.1f}" if share else f"{'.':>13}" for share in shares)
        lines.append(f"{name:<26}{cells}")
    return "\n".join(lines)
