"""Bands for a whole ten-session path: coverage of the path, and width against Bonferroni's.

``python -m benchmarks.forecast.paths``; last quarter of the sample, every origin, every symbol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.forecast.methods.conformal import half_quantiles
from benchmarks.forecast.methods.gaussian import LEVEL
from benchmarks.forecast.methods.scale import three_ewmas
from benchmarks.forecast.panel import Panel, sample_panel
from benchmarks.forecast.peer_methods import late_origins
from closecast.core.arrays import FloatArray

HORIZON = 10
MEMORY = 750

Band = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""From scores of past paths (n, H), oldest first, to the lower and upper score per step (H,).

A score is the log return from the origin to a step, divided by the scale that was said for
that step. The paths handed over had all ended when the band is said.
"""


def marginals(scores: FloatArray, level: float = LEVEL) -> tuple[FloatArray, FloatArray]:
    """One interval per step, each at ``level``: what a path band is mistaken for."""
    lower, upper = half_quantiles(scores, np.array([(1 - level) / 2, (1 + level) / 2]))
    return lower, upper


def bonferroni(scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Marginals that share the misses out equally (99 % each for ten steps)."""
    return marginals(scores, 1 - (1 - LEVEL) / scores.shape[1])


def max_statistic(scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The 90 % marginals, widened by one factor until they hold 90 % of past paths.

    The factor is the conformal quantile of each path's largest excursion in units of its
    marginals (Diquigiovanni, Fontana and Vantini 2022, section 3; Wolf and Wunderli 2015,
    section 3). The marginals come from the same scores.
    """
    lower, upper = marginals(scores)
    largest = np.sort(np.maximum(scores / upper, scores / lower).max(axis=1))
    n = len(largest)
    factor = largest[min(n, int(np.ceil((n + 1) * LEVEL - 1e-9))) - 1]
    return factor * lower, factor * upper


REFERENCE = "Bonferroni: ten 99 % marginals"

BANDS: dict[str, Band] = {
    "ten 90 % marginals": marginals,
    REFERENCE: bonferroni,
    "max statistic": max_statistic,
}


@dataclass(frozen=True)
class PathRow:
    """Scores of one band.

    Attributes
    ----------
    coverage : float
        Share of paths inside at every step.
    miss : float
        Mean over symbols of the distance from 90 %, in points.
    width : float
        Mean width in per cent of the last close.
    """

    name: str
    coverage: float
    miss: float
    width: float


def root_time_scale(panel: Panel, horizon: int = HORIZON) -> FloatArray:
    """The three EWMAs times the root of the step, shape (T, S, H)."""
    return np.asarray(three_ewmas(panel.returns)[:, :, None] * np.sqrt(np.arange(1, horizon + 1)))


def score_bands(
    panel: Panel,
    scale: FloatArray,
    bands: Mapping[str, Band] = BANDS,
    origins: Sequence[int] | None = None,
) -> list[PathRow]:
    """Say each band at each origin, from the newest paths that had ended by then.

    Parameters
    ----------
    panel : Panel
    scale : array, shape (T, S, H)
        Scale of the log return over 1 .. H sessions, said at each row.
    bands : dict name -> Band
    origins : sequence of int, optional
        The last quarter by default.
    """
    horizon = scale.shape[2]
    found = panel.future_returns(horizon) / scale
    first = late_origins(panel) if origins is None else np.asarray(origins)
    rows = [t for t in first if t + horizon < len(found)]
    out = []
    for name, band in bands.items():
        inside = np.empty((len(rows), len(panel.symbols)))
        width = np.empty_like(inside)
        for i, t in enumerate(rows):
            ended = t - horizon + 1
            for s in range(len(panel.symbols)):
                lower, upper = band(found[max(0, ended - MEMORY) : ended, s])
                inside[i, s] = np.all((lower <= found[t, s]) & (found[t, s] <= upper))
                low, high = np.expm1(scale[t, s] * lower), np.expm1(scale[t, s] * upper)
                width[i, s] = 100 * (high - low).mean()
        miss = 100 * np.abs(inside.mean(axis=0) - LEVEL).mean()
        out.append(PathRow(name, float(inside.mean()), float(miss), float(width.mean())))
    return out


def path_table(rows: Sequence[PathRow]) -> str:
    """One line per band."""
    reference = next(row.width for row in rows if row.name == REFERENCE)
    lines = [f"{'band for ten sessions':<34}{'paths held':>12}{'miss':>8}{'width/Bonf.':>14}"]
    lines += [
        f"{row.name:<34}{row.coverage:>12.3f}{row.miss:>8.2f}{row.width / reference:>14.3f}"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Run and print."""
    panel = sample_panel()
    print(path_table(score_bands(panel, root_time_scale(panel))))


if __name__ == "__main__":
    main()
