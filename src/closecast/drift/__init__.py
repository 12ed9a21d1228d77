"""Drift detection: compares inputs and outcomes with those of the training data.

Pure: reads no files, no database and no clock.
"""

from closecast.drift.baseline import LEVELS, RATES, Baseline
from closecast.drift.context import Context
from closecast.drift.detector import DriftDetector
from closecast.drift.messages import Language, in_language
from closecast.drift.monitor import ARL0, Monitor, discoveries, tail_probability
from closecast.drift.reference import sample_reference
from closecast.drift.return_index import OtherSymbols
from closecast.drift.unmeasured import warn_of_unmeasured

__all__ = [
    "ARL0",
    "LEVELS",
    "RATES",
    "Baseline",
    "Context",
    "DriftDetector",
    "Language",
    "Monitor",
    "OtherSymbols",
    "discoveries",
    "in_language",
    "sample_reference",
    "tail_probability",
    "warn_of_unmeasured",
]
