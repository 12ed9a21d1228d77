"""Does the input still look like what the model learned from? Pure: no stores, no clock."""

from closecast.drift.baseline import Baseline
from closecast.drift.detector import DriftDetector
from closecast.drift.statistics import Context

__all__ = ["Baseline", "Context", "DriftDetector"]
