"""Alarms of the library ``river``: its detectors of change in a stream, all at defaults.

``python drift_river.py QUESTION.npz ANSWER.npz``, in the environment of ``drift_river.txt``;
imports nothing of closecast. Each is fed the reference and then the window; an alarm is a change
that is detected within the window.
"""

from __future__ import annotations

import copy
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
METHODS = ("river ADWIN", "river KSWIN", "river PageHinkley")
FEATURES = ("closes", "returns")


def series(before: FloatArray, window: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Reference and current values: closes, and log returns from the last close before on."""
    returns = np.diff(np.log(np.append(before, window)))
    n = len(window)
    return {"closes": (before[1:], window), "returns": (returns[:-n], returns[-n:])}


def fed(detector: Any, values: FloatArray) -> bool:
    """Whether a change is detected while the values are fed."""
    found = False
    for value in values:
        detector.update(float(value))
        found |= bool(detector.drift_detected)
    return found


def detectors() -> list[Any]:
    """In the order of :data:`METHODS`; KSWIN draws at random, so its seed is fixed."""
    from river import drift  # type: ignore[import-not-found]

    return [drift.ADWIN(), drift.KSWIN(seed=0), drift.PageHinkley()]


def warmed(reference: FloatArray) -> list[Any]:
    """Detectors that have seen the reference; KSWIN remembers 100 values, and sees 200."""
    made = detectors()
    for method, detector in zip(METHODS, made, strict=True):
        fed(detector, reference[-200:] if method == "river KSWIN" else reference)
    return made


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Alarms, shape (bases, variants) per method and feature; NaN where there is no window."""
    windows = question["windows"]
    out = {f"{m}/{f}": np.full(windows.shape[:2], np.nan) for m in METHODS for f in FEATURES}
    for b, before in enumerate(question["before"]):
        warm: dict[str, list[Any]] = {}
        for v in np.flatnonzero(np.isfinite(windows[b, :, 0])):
            for feature, (reference, current) in series(before, windows[b, v]).items():
                if feature not in warm:
                    warm[feature] = warmed(reference)
                for method, detector in zip(METHODS, warm[feature], strict=True):
                    out[f"{method}/{feature}"][b, v] = fed(copy.deepcopy(detector), current)
    return out


if __name__ == "__main__":
    np.savez(sys.argv[2], **answer(dict(np.load(sys.argv[1]))))
