"""How often clean windows are warned of, on symbols and years that calibration did not see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from benchmarks.drift.cases import KNOWN, LENGTH, Case, clean_case
from benchmarks.drift.crossfit import STEP, CrossFit, alarms
from benchmarks.drift.data import traded
from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices
from closecast.core.verdict import Channel
from closecast.drift import Baseline, DriftDetector

BoolArray = NDArray[np.bool_]

RATES = (0.01, 0.05)
CHANNELS: tuple[Channel, ...] = ("fault", "regime")
MOST_FALSE = 1.5
"""Times the nominal rate: what issue 5 allows."""


@dataclass(frozen=True, eq=False)
class FalseAlarms:
    """Verdicts on clean windows.

    Attributes
    ----------
    last_sessions : array of datetime64[D], shape (n,)
    found : mapping
        What is known, and the nominal rate, to an array of bool, shape (n, 2): whether there was
        a finding of each of :data:`CHANNELS`.
    causes : mapping
        The same key to how often each code was found.
    """

    last_sessions: NDArray[np.datetime64]
    found: Mapping[tuple[str, float], BoolArray]
    causes: Mapping[tuple[str, float], Counter[str]]

    def rate(self, known: str, rate: float, channel: Channel) -> float:
        """Share of windows with a finding."""
        return float(self.found[known, rate][:, CHANNELS.index(channel)].mean())


Judged = Iterable[tuple[Case, Mapping[float, DriftDetector]]]


def false_alarms(
    judged: Judged, others: Sequence[Prices], known: Sequence[str] = tuple(KNOWN)
) -> FalseAlarms:
    """Judge clean windows, each by the detectors that it comes with, one per rate."""
    sessions: list[np.datetime64] = []
    found: dict[tuple[str, float], list[tuple[bool, bool]]] = {}
    causes: dict[tuple[str, float], Counter[str]] = {}
    for case, detectors in judged:
        sessions.append(case.as_of)
        for what in known:
            context = KNOWN[what](case, others)
            for rate, detector in detectors.items():
                verdict = detector.check(case.closes, context)
                found.setdefault((what, rate), []).append(alarms(verdict))
                codes = causes.setdefault((what, rate), Counter())
                codes.update(f"{f.level} {f.code}" for f in verdict.findings)
    return FalseAlarms(
        np.array(sessions, dtype="datetime64[D]"),
        {key: np.array(rows) for key, rows in found.items()},
        causes,
    )


def crossfitted(
    fit: CrossFit, cases: Iterable[Case], rates: Sequence[float] = RATES
) -> Iterator[tuple[Case, dict[float, DriftDetector]]]:
    """Windows with detectors that saw neither their symbol nor their year."""
    for case in cases:
        yield case, {rate: fit.detector(case, rate) for rate in rates}


def adjusted_strangers() -> Iterator[tuple[Case, dict[float, DriftDetector]]]:
    """IBM and GOOG, adjusted: not in the sample. The default reference up to each year's end."""
    for symbol, first_year in (("IBM", 2004), ("GOOG", 2006)):
        prices = traded()[symbol].adjusted
        for year in range(first_year, 2014):
            start, stop = _rows_of(prices, year)
            yield from _with_default(prices, prices.rows(0, start), start, stop)


def raw_strangers(news: bool) -> Iterator[tuple[Case, dict[float, DriftDetector]]]:
    """AAPL, MSFT and IBM, raw, 2000 to 2004, calibrated on 2005-03 and later.

    Windows with a split inside are left out, and those with the fall of AAPL by half on
    2000-09-29 unless ``news``.
    """
    left_out = ["2000-06-21", "2003-02-18", *([] if news else ["2000-09-29"])]
    for symbol in ("AAPL", "MSFT", "IBM"):
        prices = traded()[symbol].raw
        stop = _rows_of(prices, 2005)[0]
        later = prices.between("2005-03-01")
        for case, detectors in _with_default(prices, later, LENGTH, stop):
            inside = np.isin(np.array(left_out, dtype="datetime64[D]"), case.sessions)
            returns = np.abs(np.diff(np.log(case.closes)))
            if not (inside.any() and returns.max() > 0.5):
                yield case, detectors


def _rows_of(prices: Prices, year: int) -> tuple[int, int]:
    days = np.array([f"{year}-01-01", f"{year + 1}-01-01"], "datetime64[D]")
    start, stop = np.searchsorted(prices.sessions, days)
    return int(start), int(stop)


def _with_default(
    prices: Prices, train: Prices, start: int, stop: int
) -> Iterator[tuple[Case, dict[float, DriftDetector]]]:
    detectors = {
        rate: DriftDetector(Baseline.fit(train, LENGTH, {"fault": rate, "regime": rate}))
        for rate in RATES
    }
    for last in range(start, stop, STEP):
        if last >= LENGTH:
            yield clean_case(prices, last - LENGTH + 1), detectors


def exact_interval(count: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Clopper and Pearson 1934), as if windows were independent."""
    lower = beta.ppf(0.025, count, n - count + 1) if count else 0.0
    upper = beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return float(lower), float(upper)


def quarter_interval(alarm: BoolArray, last_sessions: NDArray[np.datetime64]) -> FloatArray:
    """95 % interval of a share by a bootstrap of quarters: all symbols share a crisis."""
    quarters = last_sessions.astype("datetime64[M]").astype(int) // 3
    blocks, group = np.unique(quarters, return_inverse=True)
    counts, sizes = np.bincount(group, alarm, len(blocks)), np.bincount(group)
    drawn = np.random.default_rng(0).integers(0, len(blocks), (2000, len(blocks)))
    rates = counts[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return np.asarray(np.quantile(rates, (0.025, 0.975)))


def false_alarm_table(title: str, found: FalseAlarms) -> str:
    """Per channel, rate and what is known; then what was called."""
    n = len(found.last_sessions)
    lines = [
        f"{title}: {n} windows",
        f"{'known beside the window':<24}{'nominal':>8}{'channel':>9}{'rate':>8}"
        f"{'exact 95 %':>16}{'by quarters':>16}",
    ]
    for (known, rate), rows in found.found.items():
        for channel, alarm in zip(CHANNELS, rows.T, strict=True):
            exact = _pair(exact_interval(int(alarm.sum()), n))
            quarters = _pair(quarter_interval(alarm, found.last_sessions))
            high = "" if alarm.mean() <= MOST_FALSE * rate else f"  over {MOST_FALSE} x nominal"
            lines.append(
                f"{known:<24}{rate:>8.0%}{channel:>9}{alarm.mean():>8.2%}{exact:>16}{quarters:>16}"
                f"{high}"
            )
    for (known, rate), codes in found.causes.items():
        said = ", ".join(f"{code} {count / n:.2%}" for code, count in codes.most_common())
        lines.append(f"{known}, {rate:.0%}: {said}")
    return "\n".join(lines)


def yearly_table(found: FalseAlarms, known: Sequence[str]) -> str:
    """Per year, in per cent: fault at 1 % and 5 %, regime at 1 % and 5 %."""
    years = found.last_sessions.astype("datetime64[Y]").astype(int) + 1970
    lines = [
        "false alarms by year, % of windows: FAULT at 1 % / 5 %, REGIME at 1 % / 5 %",
        f"{'year':<6}{'windows':>8}" + "".join(f"{what:>32}" for what in known),
    ]
    for year in np.unique(years):
        inside = years == year
        line = f"{year:<6}{inside.sum():>8}"
        for what in known:
            shares = [100 * found.found[what, rate][inside].mean(axis=0) for rate in RATES]
            cells = [f"{share:.1f}" for channel in zip(*shares, strict=True) for share in channel]
            line += f"{'{}/{} {}/{}'.format(*cells):>32}"
        lines.append(line)
    return "\n".join(lines)


def _pair(ends: Sequence[float] | FloatArray) -> str:
    return f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f}"
