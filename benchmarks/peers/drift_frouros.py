"""Alarms of the library ``frouros``: its tests, distances and detectors, all at defaults.

``python drift_frouros.py QUESTION.npz ANSWER.npz``, in the environment of ``drift_frouros.txt``;
imports nothing of closecast. The library leaves levels to its users: KS at .01 as its README has
it, distances at what is in common use. Detectors of a stream are fed the reference and then the
window. Its ADWIN takes no negative number, and so no returns.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Judge = Callable[[FloatArray], bool]

METHODS = (
    "frouros KSTest, p < .01",
    "frouros PSI >= .2",
    "frouros JS >= .1",
    "frouros ADWIN",
    "frouros KSWIN",
    "frouros PageHinkley",
)
FEATURES = ("closes", "returns")


def series(before: FloatArray, window: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Reference and current values: closes, and log returns from the last close before on."""
    returns = np.diff(np.log(np.append(before, window)))
    n = len(window)
    return {"closes": (before[1:], window), "returns": (returns[:-n], returns[-n:])}


def fed(detector: Any, values: FloatArray) -> bool:
    """Whether a change is detected while the values are fed; after one it begins anew."""
    found = False
    for value in values:
        detector.update(value=float(value))
        if detector.drift:
            found = True
            detector.reset()
    return found


def stream(make: Callable[[], Any], reference: FloatArray) -> Judge:
    """A copy, for each window, of one detector that has seen the reference."""
    warm = make()
    fed(warm, reference)
    return lambda current: fed(copy.deepcopy(warm), current)


def judges(reference: FloatArray) -> dict[str, Judge]:
    """By method; those that take such values."""
    from frouros.detectors import concept_drift, data_drift  # type: ignore[import-not-found]

    test, psi, js = data_drift.KSTest(), data_drift.PSI(), data_drift.JS()
    for detector in (test, psi, js):
        detector.fit(X=reference)
    seeded = concept_drift.KSWINConfig
    makers: tuple[Callable[[], Any], ...] = (
        concept_drift.ADWIN,
        lambda: concept_drift.KSWIN(config=seeded(seed=0)),  # it draws at random
        concept_drift.PageHinkley,
    )
    found: dict[str, Judge] = {
        METHODS[0]: lambda current: bool(test.compare(X=current)[0].p_value < 0.01),
        METHODS[1]: lambda current: bool(psi.compare(X=current)[0].distance >= 0.2),
        METHODS[2]: lambda current: bool(js.compare(X=current)[0].distance >= 0.1),
    }
    for method, make in zip(METHODS[3:], makers, strict=True):
        if method != "frouros ADWIN" or reference.min() >= 0:
            recent = reference[-200:] if method == "frouros KSWIN" else reference  # it holds 100
            found[method] = stream(make, recent)
    return found


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Alarms, shape (bases, variants) per method and feature; NaN where there is no window."""
    windows = question["windows"]
    out = {f"{m}/{f}": np.full(windows.shape[:2], np.nan) for m in METHODS for f in FEATURES}
    for b, before in enumerate(question["before"]):
        made: dict[str, dict[str, Judge]] = {}
        for v in np.flatnonzero(np.isfinite(windows[b, :, 0])):
            for feature, (reference, current) in series(before, windows[b, v]).items():
                if feature not in made:
                    made[feature] = judges(reference)
                for method, judge in made[feature].items():
                    out[f"{method}/{feature}"][b, v] = judge(current)
    return out


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    np.savez(sys.argv[2], **answer(dict(np.load(sys.argv[1]))))
