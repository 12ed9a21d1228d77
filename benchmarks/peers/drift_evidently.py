"""Alarms of the library ``evidently``: its drift test of a column, all at defaults.

``python drift_evidently.py QUESTION.npz ANSWER.npz``, in the environment of
``drift_evidently.txt``; imports nothing of closecast. With 1,000 rows of reference the default is
Kolmogorov and Smirnov's test at .05. The preset for data drift asks the same of every column, and
draws a table on top that takes as long again.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
METHODS = ("Evidently ValueDrift",)
FEATURES = ("closes", "returns")


def series(before: FloatArray, window: FloatArray, feature: str) -> tuple[FloatArray, FloatArray]:
    """Reference and current values: closes, or log returns from the last close before on."""
    if feature == "closes":
        return before[1:], window
    returns = np.diff(np.log(np.append(before, window)))
    return returns[: -len(window)], returns[-len(window) :]


def drifted(reference: dict[str, FloatArray], current: dict[str, FloatArray]) -> dict[str, bool]:
    """Whether the test of each column fails."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report  # type: ignore[import-not-found]
    from evidently.metrics import ValueDrift  # type: ignore[import-not-found]

    definition = DataDefinition(numerical_columns=list(reference))
    then, now = (
        Dataset.from_pandas(pd.DataFrame(values), data_definition=definition)
        for values in (reference, current)
    )
    report = Report([ValueDrift(column=name) for name in reference], include_tests=True)
    return {
        test["metric_config"]["params"]["column"]: str(test["status"].value) == "FAIL"
        for test in report.run(now, then).dict()["tests"]
    }


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Alarms, shape (bases, variants) per method and feature; NaN where there is no window.

    All windows on one reference are columns of one report: each column has a test of its own.
    """
    windows = question["windows"]
    out = {f"{METHODS[0]}/{feature}": np.full(windows.shape[:2], np.nan) for feature in FEATURES}
    for b, before in enumerate(question["before"]):
        reference, current = {}, {}
        for v in np.flatnonzero(np.isfinite(windows[b, :, 0])):
            for feature in FEATURES:
                name = f"{feature}/{v}"
                reference[name], current[name] = series(before, windows[b, v], feature)
        for name, alarm in drifted(reference, current).items():
            feature, variant = name.split("/")
            out[f"{METHODS[0]}/{feature}"][b, int(variant)] = alarm
    return out


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    np.savez(sys.argv[2], **answer(dict(np.load(sys.argv[1]))))
