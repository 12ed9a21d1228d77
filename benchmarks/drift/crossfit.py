"""Detectors that were calibrated on neither the symbol nor the year that they judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from benchmarks.drift.cases import LENGTH, Case, clean_case, sample_series
from closecast.core.prices import Prices
from closecast.core.verdict import Verdict
from closecast.drift import Baseline, DriftDetector
from closecast.drift.reference import Reference, measure_reference

YEARS = range(2005, 2023)
GROUPS = 5
STEP = 10
"""Sessions between two windows that are judged."""

_LEAST_BEFORE = 64  # closes before a window, as many as the reference asks for
_LEAST_YEARS = 3  # before the year; else the symbol's own levels come from the years after it


@dataclass(frozen=True)
class Year:
    """Rows of one calendar year, and the first row that a window ending in it holds."""

    first: int
    stop: int

    @property
    def touched(self) -> int:
        return max(0, self.first - LENGTH + 1)


class CrossFit:
    """Detectors by symbol, year and rate.

    The symbols stand in five groups. Thresholds come from windows of the other groups that share
    no session with a window that ends in the year; the symbol's own levels from its closes before
    the first such window, or after the year where fewer than three years lie before it.

    Parameters
    ----------
    series : sequence of Prices
        All on the same sessions.
    """

    def __init__(self, series: Sequence[Prices]) -> None:
        self.series = tuple(series)
        self.sessions = self.series[0].sessions
        if any(not np.array_equal(self.sessions, prices.sessions) for prices in self.series):
            raise ValueError("the symbols must have the same sessions")
        self.reference = measure_reference(list(self.series), LENGTH)
        self._last_rows = np.searchsorted(self.sessions, self.reference.last_sessions)
        self._group = {prices.symbol: i % GROUPS for i, prices in enumerate(self.series)}
        self._pooled: dict[tuple[int, int, float], Baseline] = {}
        self._own: dict[tuple[str, int], Baseline] = {}

    def year(self, year: int) -> Year:
        """Where a year lies."""
        days = np.array([f"{year}-01-01", f"{year + 1}-01-01"], "datetime64[D]")
        first, stop = np.searchsorted(self.sessions, days)
        return Year(int(first), int(stop))

    def windows(self) -> Iterator[Case]:
        """Clean windows of all symbols and years, every ten sessions, oldest first."""
        for year in YEARS:
            rows = self.year(year)
            for last in range(rows.first, rows.stop, STEP):
                first = last - LENGTH + 1
                if first >= _LEAST_BEFORE:
                    for prices in self.series:
                        yield clean_case(prices, first)

    def some_windows(self) -> Iterator[Case]:
        """Two fifths of them: two of the groups in each year, in turn, all alike in the end.

        Each group of each year needs thresholds of its own, which is what takes time.
        """
        for case in self.windows():
            if (self._group[case.symbol] + case.year) % GROUPS < 2:
                yield case

    def pool(self, symbol: str, year: int) -> Reference:
        """Windows of other symbols that share no session with those that end in the year."""
        rows = self.year(year)
        group = [name for name, i in self._group.items() if i == self._group[symbol]]
        apart = (self._last_rows < rows.touched) | (self._last_rows - LENGTH >= rows.stop - 1)
        return self.reference.where(apart & ~np.isin(self.reference.symbols, group))

    def train(self, symbol: str, year: int) -> Prices:
        """The closes that the symbol's own levels come from."""
        prices = next(prices for prices in self.series if prices.symbol == symbol)
        rows = self.year(year)
        if year - YEARS[0] >= _LEAST_YEARS:
            return prices.rows(0, rows.touched)
        return prices.rows(rows.stop, None)

    def detector(self, case: Case, rate: float) -> DriftDetector:
        """For windows of its symbol that end in its year; ``rate`` is wanted of each channel."""
        symbol, year = case.symbol, case.year
        pooled = self._thresholds(symbol, year, rate)
        if (symbol, year) not in self._own:
            few = np.arange(len(self.reference.symbols)) < 200  # its thresholds are not used
            train = self.train(symbol, year)
            own = Baseline.fit(train, LENGTH, reference=self.reference.where(few))
            # That, too, the pool may know of other years only.
            wildness = self.pool(symbol, year).wildness_beside(*train.span)
            self._own[symbol, year] = replace(own, wildness=wildness)
        return DriftDetector(
            replace(
                self._own[symbol, year],
                reference=pooled.reference,
                alone=pooled.alone,
                with_before=pooled.with_before,
                rates=pooled.rates,
            )
        )

    def _thresholds(self, symbol: str, year: int, rate: float) -> Baseline:
        """The same for all symbols of a group."""
        key = (self._group[symbol], year, rate)
        if key not in self._pooled:
            self._pooled[key] = Baseline.fit(
                self.train(symbol, year),
                LENGTH,
                rates={"fault": rate, "regime": rate},
                reference=self.pool(symbol, year),
            )
        return self._pooled[key]


@lru_cache(maxsize=1)
def sample_fit() -> CrossFit:
    """Of the sample symbols, measured once."""
    return CrossFit(sample_series())


def alarms(verdict: Verdict) -> tuple[bool, bool]:
    """Whether there is a finding of each channel: fault, regime."""
    levels = {finding.level for finding in verdict.findings}
    return "fault" in levels, "regime" in levels
