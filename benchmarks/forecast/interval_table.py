"""What 90 % intervals are judged by, and the table that says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.forecast.methods import METHODS, REFERENCE
from benchmarks.forecast.methods.gaussian import LEVEL
from benchmarks.forecast.methods.scale import ewma
from benchmarks.forecast.panel import BoolArray, Bounds, Panel
from closecast.core.arrays import FloatArray

SPAN = ("2007-01-01", "2022-12-28")
"""Sessions that are forecast."""

CRISES = (("2008-09-15", "2008-12-31"), ("2020-02-20", "2020-04-30"))

RUN = 250
"""Sessions of the worst run: a year in which somebody relied on the interval."""


@dataclass(frozen=True)
class IntervalRow:
    """Scores of one method over the symbols that it was computed for.

    Attributes
    ----------
    symbols : int
    coverage : float
    terciles : tuple of 3 floats
        Coverage in each symbol's calm, middle and wild third of sessions.
    crises : tuple of 2 floats
        Coverage in :data:`CRISES`.
    worst_run : float
        Lowest coverage over :data:`RUN` successive sessions of one symbol.
    width, winkler : float
        Means in per cent of the last close, as ratios to the reference's on the same symbols.
    infinite, empty : int
        Sets that had to be replaced.
    """

    name: str
    symbols: int
    coverage: float
    terciles: tuple[float, float, float]
    crises: tuple[float, float]
    worst_run: float
    width: float
    winkler: float
    infinite: int
    empty: int

    @property
    def spread(self) -> float:
        """Largest less smallest coverage of the terciles."""
        return max(self.terciles) - min(self.terciles)


def interval_score(
    actual: FloatArray, lower: FloatArray, upper: FloatArray, level: float
) -> FloatArray:
    """Winkler's score of a central interval (width plus 2/alpha times the overshoot)."""
    alpha = 1 - level
    below, above = np.maximum(lower - actual, 0), np.maximum(actual - upper, 0)
    return np.asarray(upper - lower + 2 / alpha * (below + above))


def replace_unusable(bounds: Bounds, volatility: FloatArray) -> tuple[Bounds, BoolArray, BoolArray]:
    """Put the widest finite set so far in the place of infinite and of empty ones.

    "Widest" per symbol, in units of the EWMA volatility, symmetric around the last close (three
    volatilities before the first finite set).

    Returns
    -------
    bounds : pair of arrays, shape (T, S), finite
    infinite, empty : arrays of bool, shape (T, S)
    """
    lower, upper = bounds
    infinite = np.isinf(lower) | np.isinf(upper)
    empty = ~infinite & ~(lower <= upper)
    unusable = infinite | empty
    reach = np.where(unusable, 0.0, np.maximum(np.abs(lower), np.abs(upper)) / volatility)
    widest = np.maximum.accumulate(reach, axis=0)
    half = np.where(widest > 0, widest, 3.0) * volatility
    found = np.where(unusable, -half, lower), np.where(unusable, half, upper)
    return found, infinite, empty


class Judge:
    """Scores methods on one panel, all on the same rows."""

    def __init__(self, panel: Panel, span: tuple[str, str] = SPAN) -> None:
        self.rows = panel.origins(*span)
        if not len(self.rows):
            raise ValueError(f"no session of the panel is within {span}")
        self.target = panel.future_returns(1)[self.rows, :, 0]
        self.volatility = ewma(panel.returns, 0.94)
        sessions = panel.sessions[self.rows + 1]
        self.crises = [
            (sessions >= np.datetime64(first)) & (sessions <= np.datetime64(last))
            for first, last in CRISES
        ]
        rank = self.volatility[self.rows].argsort(axis=0, kind="stable").argsort(axis=0)
        self.tercile = 3 * rank // len(self.rows)
        self.reference = self._losses(METHODS[REFERENCE](panel.returns))

    def _losses(self, bounds: Bounds) -> tuple[FloatArray, FloatArray]:
        """Width and Winkler score per row and symbol, in per cent of the last close."""
        lower, upper = (100 * np.expm1(bound[self.rows]) for bound in bounds)
        actual = 100 * np.expm1(self.target)
        return upper - lower, interval_score(actual, lower, upper, LEVEL)

    @property
    def reference_losses(self) -> tuple[float, float]:
        """The reference's mean width and Winkler score, per cent of the last close."""
        width, winkler = self.reference
        return float(width.mean()), float(winkler.mean())

    def score(self, name: str, bounds: Bounds) -> IntervalRow:
        """Judge one method; symbols that are nan throughout were not computed and do not count."""
        done = ~np.isnan(bounds[0][self.rows]).all(axis=0)
        usable, infinite, empty = replace_unusable(bounds, self.volatility)
        lower, upper = (bound[self.rows] for bound in usable)
        hit = ((lower <= self.target) & (self.target <= upper))[:, done]
        width, winkler = self._losses(usable)
        first, second, third = (
            float(hit[self.tercile[:, done] == third].mean()) for third in range(3)
        )
        crises = [float(hit[rows].mean()) if rows.any() else np.nan for rows in self.crises]
        total = np.cumsum(np.vstack([np.zeros(hit.shape[1]), hit]), axis=0)
        run = min(RUN, len(hit))
        return IntervalRow(
            name=name,
            symbols=int(done.sum()),
            coverage=float(hit.mean()),
            terciles=(first, second, third),
            crises=(crises[0], crises[1]),
            worst_run=float((total[run:] - total[:-run]).min() / run),
            width=float(width[:, done].mean() / self.reference[0][:, done].mean()),
            winkler=float(winkler[:, done].mean() / self.reference[1][:, done].mean()),
            infinite=int(infinite[self.rows][:, done].sum()),
            empty=int(empty[self.rows][:, done].sum()),
        )


def table(rows: Iterable[IntervalRow], missing: Mapping[str, str]) -> str:
    """One line per method, then one per method that could not be run, with the reason."""
    lines = [
        f"{'method':<36}{'symbols':>8}{'cover':>8}{'by volatility tercile':>24}{'spread':>8}"
        f"{'Q4 2008':>9}{'Feb-Apr 20':>12}{'worst 250':>11}{'width':>8}{'Winkler':>9}"
        f"{'infinite':>10}{'empty':>7}"
    ]
    for row in rows:
        terciles = "/".join(f"{share:.3f}" for share in row.terciles)
        lines.append(
            f"{row.name:<36}{row.symbols:>8}{row.coverage:>8.3f}{terciles:>24}{row.spread:>8.3f}"
            f"{row.crises[0]:>9.3f}{row.crises[1]:>12.3f}{row.worst_run:>11.3f}{row.width:>8.3f}"
            f"{row.winkler:>9.4f}{row.infinite:>10}{row.empty:>7}"
        )
    lines += [f"{name:<36} {reason}" for name, reason in missing.items()]
    return "\n".join(lines)
