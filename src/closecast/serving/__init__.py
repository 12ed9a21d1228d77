"""Serving: immutable snapshots of bundles, loaded whole, tried out, swapped by one assignment."""

from closecast.serving.fleet import Fleet, FleetReporter, Worker
from closecast.serving.follower import PointerFollower
from closecast.serving.models import Models, Reload
from closecast.serving.policy import COLLECT_AGAIN, Policy
from closecast.serving.snapshot import LEVELS, Foretold, Interval, Prediction, Snapshot, Step

__all__ = [
    "COLLECT_AGAIN",
    "LEVELS",
    "Fleet",
    "FleetReporter",
    "Foretold",
    "Interval",
    "Models",
    "PointerFollower",
    "Policy",
    "Prediction",
    "Reload",
    "Snapshot",
    "Step",
    "Worker",
]
