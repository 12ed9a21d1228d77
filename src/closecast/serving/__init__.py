"""Serving: immutable snapshots of bundles, loaded whole, tried out, swapped by one assignment."""

from closecast.serving.follower import PointerFollower
from closecast.serving.models import Models, Reload
from closecast.serving.snapshot import LEVELS, Interval, Prediction, Snapshot, Step

__all__ = [
    "LEVELS",
    "Interval",
    "Models",
    "PointerFollower",
    "Prediction",
    "Reload",
    "Snapshot",
    "Step",
]
