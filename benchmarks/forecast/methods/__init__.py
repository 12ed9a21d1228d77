"""Methods to compare with: each takes returns (T, S) and answers 90 % bounds of the next one.

Row ``t`` of an answer depends on rows up to ``t`` of the returns alone (tested).
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.forecast.methods import adaptive, conformal, gaussian
from benchmarks.forecast.panel import Bounds
from closecast.core.arrays import FloatArray

Method = Callable[[FloatArray], Bounds]

REFERENCE = "EWMA Gaussian"
"""The method whose width and Winkler score are 1."""

METHODS: dict[str, Method] = {
    "Gaussian, sd of 2005-2006": gaussian.training_gaussian,
    "Gaussian, sd of all past": gaussian.expanding_gaussian,
    "split conformal, last 250": conformal.split_conformal,
    REFERENCE: gaussian.ewma_gaussian,
    "errors / EWMA, conformal 500": conformal.ewma_conformal,
    "three EWMAs, half 750": conformal.half_conformal,
    "errors / EWMA + ACI .005": adaptive.aci_slow,
    "errors / EWMA + ACI .02": adaptive.aci_quick,
    "errors / EWMA + DtACI": adaptive.dtaci,
    "errors / EWMA + PID": adaptive.pid_on_scores,
    "PID, EWMA as scorecaster": adaptive.pid_with_scorecaster,
    "EWMA x fast factor + ACI .02": adaptive.fast_factor_aci,
    "EWMA x fast factor, half + ACI .02": adaptive.fast_factor_half_aci,
}
"""By the names that the table prints."""
