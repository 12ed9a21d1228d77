"""Serving: immutable snapshots of bundles, each swapped for the next by one assignment."""

from closecast.serving.fallback_policy import COLLECT_AGAIN, Policy
from closecast.serving.fleet import Fleet, FleetReporter, Worker
from closecast.serving.follower import PointerFollower
from closecast.serving.market_context import KnownCloses
from closecast.serving.model_manager import Models, Reload, unknown
from closecast.serving.snapshot import LEVELS, Foretold, Interval, Prediction, Snapshot, Step

__all__ = [
    "COLLECT_AGAIN",
    "LEVELS",
    "Fleet",
    "FleetReporter",
    "Foretold",
    "Interval",
    "KnownCloses",
    "Models",
    "PointerFollower",
    "Policy",
    "Prediction",
    "Reload",
    "Snapshot",
    "Step",
    "Worker",
    "unknown",
]
