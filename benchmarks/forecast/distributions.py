"""CRPS 1, 5 and 10 sessions ahead on the last quarter: GARCH-t beside the three EWMAs."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist

import numpy as np

from benchmarks.forecast.methods.conformal import half_quantiles
from benchmarks.forecast.methods.scale import three_ewmas
from benchmarks.forecast.panel import Panel
from benchmarks.forecast.peer_methods import STEPS, late_origins
from closecast.core.arrays import FloatArray
from closecast.core.forecast import PROBABILITIES
from closecast.metrics.scores import crps_from_quantiles

MEMORY = 750

BASELINE = "three EWMAs, half 750"


def constant_gaussian(panel: Panel) -> FloatArray:
    """Normal quantiles with the standard deviation of each symbol before the last quarter."""
    origins = late_origins(panel)
    sd = panel.returns[: origins[0] + 1].std(axis=0)
    normal = np.array([NormalDist().inv_cdf(p) for p in PROBABILITIES])
    one = sd[:, None, None] * np.sqrt(STEPS)[:, None] * normal
    return np.broadcast_to(one, (len(origins), *one.shape))


def three_ewma_half(panel: Panel) -> FloatArray:
    """Half quantiles of the newest 750 scores per step; a score counts once it is known."""
    origins, future = late_origins(panel), panel.future_returns(max(STEPS))
    scale = three_ewmas(panel.returns)
    found = np.empty((len(origins), len(panel.symbols), len(STEPS), len(PROBABILITIES)))
    for k, h in enumerate(STEPS):
        wide = scale * np.sqrt(h)
        scores = future[:, :, h - 1] / wide
        for i, t in enumerate(origins):
            known = scores[max(0, t - h + 1 - MEMORY) : t - h + 1]
            found[i, :, k] = half_quantiles(known, PROBABILITIES).T * wide[t][:, None]
    return found


def without_drift(quantiles: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Each law moved to median zero, under a name that says so.

    GARCH's constant mean is worth more ten sessions ahead than its variance: with both rows
    beside each other nobody takes the one for the other.
    """
    middle = len(PROBABILITIES) // 2
    return {
        f"{name}, no drift": found - found[..., middle : middle + 1]
        for name, found in quantiles.items()
    }


def crps_ratios(panel: Panel, quantiles: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """CRPS of each method as a ratio to naive + constant Gaussian, shape (S, steps).

    Parameters
    ----------
    panel : Panel
    quantiles : dict name -> array, shape (n, S, steps, 39)
        Log returns over the next ``STEPS`` sessions, one row per origin of
        :func:`benchmarks.forecast.peer_methods.late_origins`.
    """
    actual = panel.future_returns(max(STEPS))[late_origins(panel)][:, :, np.array(STEPS) - 1]

    def crps(found: FloatArray) -> FloatArray:
        return np.asarray(
            np.nanmean(crps_from_quantiles(actual, found, PROBABILITIES), axis=0), np.float64
        )

    reference = crps(constant_gaussian(panel))
    everything = {BASELINE: three_ewma_half(panel), **quantiles}
    return {name: crps(found) / reference for name, found in everything.items()}


def crps_table(ratios: Mapping[str, FloatArray]) -> str:
    """Mean over symbols per step, the worst symbol in brackets, and against the baseline."""
    heads = "".join(f"{f'{h} ahead (worst)':>20}{'to EWMAs':>10}" for h in STEPS)
    lines = [f"{'CRPS / constant Gaussian':<34}{heads}"]
    for name, ratio in ratios.items():
        cells = "".join(
            f"{ratio[:, k].mean():>11.4f} ({ratio[:, k].max():.4f})"
            f"{100 * (ratio[:, k] / ratios[BASELINE][:, k] - 1).mean():>+9.2f}%"
            for k in range(len(STEPS))
        )
        lines.append(f"{name:<34}{cells}")
    return "\n".join(lines)
