"""Alarms of the library ``nannyml``: univariate drift in chunks of 60, thresholds at defaults.

``python drift_nannyml.py QUESTION.npz ANSWER.npz``, in the environment of ``drift_nannyml.txt``;
imports nothing of closecast. A chunk alarms beyond the mean and three standard deviations of the
reference's chunks.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
NAMES = {
    "NannyML KS": "kolmogorov_smirnov",
    "NannyML Jensen-Shannon": "jensen_shannon",
    "NannyML Wasserstein": "wasserstein",
}
METHODS = tuple(NAMES)
FEATURES = ("closes", "returns")


def series(before: FloatArray, window: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Reference and current values: closes, and log returns from the last close before on."""
    returns = np.diff(np.log(np.append(before, window)))
    n = len(window)
    return {"closes": (before[1:], window), "returns": (returns[:-n], returns[-n:])}


def alerts(reference: dict[str, FloatArray], current: dict[str, FloatArray], chunk: int) -> Any:
    """A frame with one row per chunk of ``current``."""
    import nannyml  # type: ignore[import-not-found]
    import pandas as pd

    calculator = nannyml.UnivariateDriftCalculator(
        column_names=list(reference),
        continuous_methods=list(NAMES.values()),
        chunk_size=chunk,
    ).fit(pd.DataFrame(reference))
    return calculator.calculate(pd.DataFrame(current)).filter(period="analysis").to_df()


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Alarms, shape (bases, variants) per method and feature; NaN where there is no window.

    All windows on one reference are chunks of one analysis: each chunk is judged by itself.
    """
    windows = question["windows"]
    out = {f"{m}/{f}": np.full(windows.shape[:2], np.nan) for m in METHODS for f in FEATURES}
    for b, before in enumerate(question["before"]):
        there = np.flatnonzero(np.isfinite(windows[b, :, 0]))
        both = [series(before, windows[b, v]) for v in there]
        reference = {feature: both[0][feature][0] for feature in FEATURES}
        current = {f: np.concatenate([values[f][1] for values in both]) for f in FEATURES}
        frame = alerts(reference, current, windows.shape[2])
        for name, method in NAMES.items():
            for feature in FEATURES:
                out[f"{name}/{feature}"][b, there] = frame[feature, method, "alert"].to_numpy()
    return out


if __name__ == "__main__":
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"  # it tells its makers of every call otherwise
    warnings.simplefilter("ignore")
    np.savez(sys.argv[2], **answer(dict(np.load(sys.argv[1]))))
