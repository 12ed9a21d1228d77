"""The gate: decide from losses on the same rows whether a candidate becomes current.

Pure functions. The candidate is compared with the model that is current and with the baselines.
"""

from closecast.validation.gate.comparison import Comparison
from closecast.validation.gate.decision import (
    CURRENT,
    LEAST_ORIGINS,
    SIGNIFICANCE,
    SUSPICIOUS_GAIN,
    TOLERANCE,
    Decision,
    GatePolicy,
    Outcome,
    ServingVersion,
    choose,
    decide,
)

__all__ = [
    "CURRENT",
    "LEAST_ORIGINS",
    "SIGNIFICANCE",
    "SUSPICIOUS_GAIN",
    "TOLERANCE",
    "Comparison",
    "Decision",
    "GatePolicy",
    "Outcome",
    "ServingVersion",
    "choose",
    "decide",
]
