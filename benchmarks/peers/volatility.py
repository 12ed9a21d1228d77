"""GARCH(1,1)-t and GJR-GARCH(1,1,1)-t of the library ``arch``: bounds and quantiles.

``python volatility.py QUESTION.npz ANSWER.npz``, in the environment of ``volatility.txt``;
imports nothing of closecast. Bollerslev (1987); Glosten, Jagannathan and Runkle (1993).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
REFIT_EVERY = 63  # sessions: a quarter
LEAST = 500  # sessions before the first fit
MODELS = {"GARCH(1,1)-t": 0, "GJR-GARCH(1,1,1)-t": 1}  # lags of the asymmetric term


@dataclass(frozen=True)
class Law:
    """Fitted parameters, for returns in per cent, and the variance of the last row fitted to."""

    mean: float
    omega: float
    alpha: float
    gamma: float
    beta: float
    nu: float
    last_variance: float

    def next_variance(self, variance: float, value: float) -> float:
        """Variance of the next session, when this one had ``variance`` and came as ``value``."""
        error = value - self.mean
        news = (self.alpha + self.gamma * (error < 0)) * error**2
        return self.omega + news + self.beta * variance

    def variance_of_sums(self, variance: float, horizon: int) -> FloatArray:
        """Variance of the sum of the next 1 .. ``horizon`` returns, given the next one's."""
        persistence = self.alpha + self.gamma / 2 + self.beta
        ahead = [variance]
        for _ in range(horizon - 1):
            ahead.append(self.omega + persistence * ahead[-1])
        return np.cumsum(ahead)

    def quantiles(self, probabilities: FloatArray) -> FloatArray:
        """Quantiles of the Student-t law with unit variance."""
        found = stats.t.ppf(probabilities, self.nu) * np.sqrt((self.nu - 2) / self.nu)
        return np.asarray(found)


Fit = Callable[[FloatArray, int], Law]


def fit(values: FloatArray, lags: int) -> Law:
    """Maximum likelihood with a constant mean, the library's defaults otherwise.

    Raises
    ------
    ValueError
        If the optimiser says that it did not converge, or answers something not finite.
    """
    from arch import arch_model  # type: ignore[import-not-found]

    model = arch_model(values, mean="Constant", p=1, o=lags, q=1, dist="t", rescale=False)
    found = model.fit(disp="off", show_warning=False)
    p = found.params
    law = Law(
        mean=float(p["mu"]),
        omega=float(p["omega"]),
        alpha=float(p["alpha[1]"]),
        gamma=float(p["gamma[1]"]) if lags else 0.0,
        beta=float(p["beta[1]"]),
        nu=float(p["nu"]),
        last_variance=float(found.conditional_volatility[-1]) ** 2,
    )
    numbers = [law.mean, law.omega, law.alpha, law.gamma, law.beta, law.nu, law.last_variance]
    if found.convergence_flag != 0 or not np.isfinite(numbers).all() or law.nu <= 2:
        raise ValueError(f"no convergence (flag {found.convergence_flag})")
    return law


def roll(
    returns: FloatArray,
    origins: NDArray[np.int64],
    probabilities: FloatArray,
    horizon: int,
    lags: int,
    fit: Fit = fit,
) -> tuple[FloatArray, int, int]:
    """Quantiles of one symbol's sums of returns, said at each origin from rows up to it alone.

    Refitted every :data:`REFIT_EVERY` origins on all rows so far; in between the variance
    follows each return with the parameters as they are. A fit that fails leaves the last
    parameters in place (nan before the first).

    Parameters
    ----------
    returns : array, shape (T,)
    origins : array of int, shape (n,)
        Successive rows.

    Returns
    -------
    quantiles : array, shape (n, horizon, q)
    fits, failures : int
    """
    percent = 100 * returns
    law, variance, fits, failures = None, np.nan, 0, 0
    found = np.full((len(origins), horizon, len(probabilities)), np.nan)
    for i, t in enumerate(origins):
        if t + 1 < LEAST:
            continue
        renewed = False
        if law is None or i % REFIT_EVERY == 0:
            fits += 1
            try:
                law = fit(percent[: t + 1], lags)
                renewed = True
            except Exception as error:  # whatever one fit does, the run goes on and says so
                print(f"row {t}: {error!r}")
                failures += 1
        if law is None:
            continue
        variance = law.next_variance(law.last_variance if renewed else variance, percent[t])
        spread = np.sqrt(law.variance_of_sums(variance, horizon))[:, None]
        drift = law.mean * np.arange(1, horizon + 1)[:, None]
        found[i] = (drift + spread * law.quantiles(probabilities)) / 100
    return found, fits, failures


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Bounds for every origin, and the quantiles of the later ones, per model."""
    returns, origins = question["returns"], question["origins"]
    probabilities, steps = question["probabilities"], question["steps"]
    late = origins >= question["late"]
    ends = [int(np.argmin(np.abs(probabilities - p))) for p in question["ends"]]
    out: dict[str, Any] = {"names": np.array(list(MODELS))}
    for name, lags in MODELS.items():
        bounds = np.full((2, *returns.shape), np.nan)
        shape = (int(late.sum()), returns.shape[1], len(steps), len(probabilities))
        quantiles = np.empty(shape)
        fits = failures = 0
        for s in range(returns.shape[1]):
            found, tried, failed = roll(
                returns[:, s], origins, probabilities, int(steps.max()), lags
            )
            fits, failures = fits + tried, failures + failed
            bounds[:, origins, s] = found[:, 0, ends].T
            quantiles[:, s] = found[late][:, steps - 1]
            print(f"{name}, symbol {s}: {tried} fits, {failed} failed", flush=True)
        out |= {f"{name}/bounds": bounds, f"{name}/quantiles": quantiles}
        out[f"{name}/fits"] = np.array([fits, failures])
    return out


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # a fit that warns is judged by what it answers
    np.savez(sys.argv[2], allow_pickle=False, **answer(dict(np.load(sys.argv[1]))))
