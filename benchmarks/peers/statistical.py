"""AutoARIMA, AutoETS and conformal intervals of the library ``statsforecast``: bounds.

``python statistical.py QUESTION.npz ANSWER.npz``, in the environment of ``statistical.txt``;
imports nothing of closecast. Hyndman and Khandakar (2008); Hyndman et al. (2002).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Maker = tuple[Callable[[], Any], bool]

FloatArray = NDArray[np.float64]
LEVEL = 90  # per cent
LEAST = 250  # closes before the first model
NAMES = ("statsforecast AutoARIMA", "statsforecast AutoETS", "statsforecast Naive, conformal")


def models() -> dict[str, Maker]:
    """Makers of the models by name, and whether one is chosen yearly and forwarded daily.

    The naive forecast has nothing to choose: it and its two windows are computed every day.
    """
    from statsforecast.models import AutoARIMA, AutoETS, Naive  # type: ignore[import-not-found]
    from statsforecast.utils import ConformalIntervals  # type: ignore[import-not-found]

    windows = ConformalIntervals(n_windows=2, h=1)  # the library's default
    makers: tuple[Maker, ...] = (
        (lambda: AutoARIMA(season_length=1), True),
        (lambda: AutoETS(season_length=1), True),
        (lambda: Naive(prediction_intervals=windows), False),
    )
    return dict(zip(NAMES, makers, strict=True))


def roll(
    log_closes: FloatArray,
    origins: NDArray[np.int64],
    years: NDArray[np.int64],
    make: Callable[[], Any],
    chosen_yearly: bool,
) -> tuple[FloatArray, int, int]:
    """Bounds of the next log close less the last one, from closes up to each origin alone.

    Parameters
    ----------
    log_closes : array, shape (T + 1,)
        Row ``t + 1`` is the close of origin ``t``.
    origins, years : arrays of int, shape (n,)
        Successive origins and the calendar year of each.

    Returns
    -------
    bounds : array, shape (2, n)
    tries, failures : int
        Fits and forecasts. A fit that fails leaves the last model in place; a forecast that
        fails leaves nan.
    """
    found = np.full((2, len(origins)), np.nan)
    model, tries, failures = None, 0, 0
    for i, t in enumerate(origins):
        past = np.ascontiguousarray(log_closes[: t + 2])
        if len(past) < LEAST:
            continue
        try:
            if chosen_yearly and (model is None or years[i] != years[i - 1]):
                tries += 1
                model = make().fit(past)
        except Exception as error:  # whatever one fit does, the run goes on and says so
            print(f"row {t}: fit {error!r}")
            failures += 1
        if chosen_yearly and model is None:
            continue
        tries += 1
        try:
            said = (
                model.forward(past, h=1, level=[LEVEL])
                if model is not None
                else make().forecast(y=past, h=1, level=[LEVEL])
            )
            pair = [float(np.asarray(said[f"{end}-{LEVEL}"]).ravel()[0]) for end in ("lo", "hi")]
            found[:, i] = np.array(pair) - past[-1]
        except Exception as error:
            print(f"row {t}: forecast {error!r}")
            failures += 1
    return found, tries, failures


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Bounds for every origin, per model."""
    log_closes, origins, years = question["log_closes"], question["origins"], question["years"]
    columns = question["columns"]
    makers = models()
    out: dict[str, Any] = {"names": np.array(list(makers))}
    for name, (make, yearly) in makers.items():
        bounds = np.full((2, len(log_closes) - 1, log_closes.shape[1]), np.nan)
        tries = failures = 0
        for s in columns:
            found, tried, failed = roll(log_closes[:, s], origins, years, make, yearly)
            tries, failures = tries + tried, failures + failed
            bounds[:, origins, s] = found
            print(f"{name}, column {s}: {tried} fits and forecasts, {failed} failed", flush=True)
        out |= {f"{name}/bounds": bounds, f"{name}/fits": np.array([tries, failures])}
    return out


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # a model that warns is judged by what it answers
    np.savez(sys.argv[2], allow_pickle=False, **answer(dict(np.load(sys.argv[1]))))
