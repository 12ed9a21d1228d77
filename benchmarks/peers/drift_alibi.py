"""Alarms of the library ``alibi-detect``: its tests of two samples, all at defaults.

``python drift_alibi.py QUESTION.npz ANSWER.npz``, in the environment of ``drift_alibi.txt``;
imports nothing of closecast. Its licence (Business Source 1.1) forbids use in production; here it
is evaluated.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
METHODS = ("alibi-detect KSDrift", "alibi-detect CVMDrift")
FEATURES = ("closes", "returns")


def series(before: FloatArray, window: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Reference and current values: closes, and log returns from the last close before on."""
    returns = np.diff(np.log(np.append(before, window)))
    n = len(window)
    return {"closes": (before[1:], window), "returns": (returns[:-n], returns[-n:])}


def detectors(reference: FloatArray) -> list[Any]:
    """In the order of :data:`METHODS`; p-value .05 by default."""
    from alibi_detect.cd import CVMDrift, KSDrift  # type: ignore[import-not-found]

    return [KSDrift(reference[:, None]), CVMDrift(reference[:, None])]


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Alarms, shape (bases, variants) per method and feature; NaN where there is no window."""
    windows = question["windows"]
    out = {f"{m}/{f}": np.full(windows.shape[:2], np.nan) for m in METHODS for f in FEATURES}
    for b, before in enumerate(question["before"]):
        made: dict[str, list[Any]] = {}
        for v in np.flatnonzero(np.isfinite(windows[b, :, 0])):
            for feature, (reference, current) in series(before, windows[b, v]).items():
                if feature not in made:
                    made[feature] = detectors(reference)
                for method, detector in zip(METHODS, made[feature], strict=True):
                    said = detector.predict(current[:, None])["data"]["is_drift"]
                    out[f"{method}/{feature}"][b, v] = said
    return out


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    np.savez(sys.argv[2], **answer(dict(np.load(sys.argv[1]))))
