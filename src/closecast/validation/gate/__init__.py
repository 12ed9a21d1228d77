"""May a candidate become current? Evidence in, one of three outcomes out. Pure.

Held against each other on the same rows: the candidate, what serves now, and the baselines.
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
