"""How often the gate decides rightly, on made data whose truth is known.

Returns with a slowly wandering volatility; every model knows it up to an error of its own, which
also wanders, as the scales of two real models do. From the size of that error follows exactly what
a model's CRPS is expected to be, so that a candidate can be made a wanted share better or worse
than what serves.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
from scipy.optimize import brentq
from scipy.signal import lfilter

from closecast.core.arrays import FloatArray
from closecast.core.forecast import PROBABILITIES
from closecast.evaluation import Losses, Mode
from closecast.metrics.scores import crps_from_quantiles
from closecast.validation.gate import CURRENT, Decision, ServingVersion, decide

HORIZON = 10
OF_CURRENT = 0.35
"""Size of the error of what serves, in log scale: 3.1 % above the best CRPS there is."""

_NORMAL = np.array([NormalDist().inv_cdf(p) for p in PROBABILITIES])
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)


def expected_crps(error: float) -> float:
    """Of a normal law whose scale is off by ``exp(error * z)``, z standard normal; truth is 1."""
    scale = np.exp(error * _NODES)
    crps = np.sqrt(2 * (1 + scale**2) / np.pi) - scale / np.sqrt(np.pi)
    return float(_WEIGHTS @ crps / _WEIGHTS.sum())


def error_for(ratio: float) -> float:
    """The size of error with which a model's expected CRPS is ``ratio`` times the current one's."""
    wanted = ratio * expected_crps(OF_CURRENT)
    return float(brentq(lambda error: expected_crps(error) - wanted, 0.0, 2.0))


def made_losses(
    ratio: float, days: int, seed: int, persistence: float = 0.9
) -> dict[tuple[str, Mode], Losses]:
    """Losses of naive, of what serves and of a candidate whose true CRPS ratio is ``ratio``."""
    rng = np.random.default_rng(seed)
    volatility = 0.015 * np.exp(_wandering(rng, days + HORIZON, 0.98, 0.7))
    returns = volatility * rng.normal(size=days + HORIZON)
    sums = np.lib.stride_tricks.sliding_window_view(returns, HORIZON)[1 : days + 1]
    targets = sums.cumsum(axis=1)
    roots = np.sqrt(np.arange(1, HORIZON + 1))
    # What the h-step law really is, given today: models err around the truth.
    true_scale = np.lib.stride_tricks.sliding_window_view(volatility**2, HORIZON)[1 : days + 1]
    truth = np.sqrt(true_scale.cumsum(axis=1))
    scales = {
        "naive": np.broadcast_to(volatility.mean() * roots, truth.shape),
        CURRENT: truth * np.exp(_wandering(rng, days, persistence, OF_CURRENT))[:, None],
        "candidate": truth * np.exp(_wandering(rng, days, persistence, error_for(ratio)))[:, None],
    }
    sessions = np.datetime64("2020-01-01") + np.arange(days)
    return {
        (name, "window only"): Losses(
            sessions,
            crps_from_quantiles(targets, scale[:, :, None] * _NORMAL, PROBABILITIES),
            np.abs(targets),
        )
        for name, scale in scales.items()
    }


def decisions(ratio: float, days: int, repetitions: int) -> Iterator[Decision]:
    """What the gate says of that many candidates of the same truth."""
    standing = ServingVersion("20260101T000000Z-00000000", age_days=0)
    for seed in range(repetitions):
        losses = {"MADE": made_losses(ratio, days, seed)}
        yield decide(losses, "candidate", standing)["MADE"]


def _wandering(rng: np.random.Generator, n: int, persistence: float, size: float) -> FloatArray:
    """A stationary AR(1) of a given standard deviation, begun long before."""
    noise = rng.normal(size=n + 300)
    path = lfilter([size * np.sqrt(1 - persistence**2)], [1, -persistence], noise)
    return np.asarray(path[300:])


def main() -> None:
    """Prints a table: one line per truth and number of days."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repetitions", type=int, default=500)
    arguments = parser.parse_args()
    n = arguments.repetitions
    print(f"{n} candidates per line; steps 1 to {HORIZON}; what is promoted goes live at once")
    print(f"{'true CRPS':>10}{'days':>6}{'promoted':>10}{'rejected':>10}{'no evidence':>13}")
    for days in (250, 600):
        for ratio in (1.03, 1.01, 1.0, 0.99, 0.97):
            found = Counter(d.outcome for d in decisions(ratio, days, n))
            shares = [found[o] / n for o in ("promoted", "rejected", "not_enough_evidence")]
            columns = "".join(
                f"{share:>{w}.1%}" for share, w in zip(shares, (10, 10, 13), strict=True)
            )
            print(f"{ratio - 1:>+10.0%}{days:>6}{columns}", flush=True)


if __name__ == "__main__":
    main()
