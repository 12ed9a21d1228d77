"""Serving: immutable snapshots of bundles, each swapped for the next by one assignment."""

from closecast.serving.answers import BatchForecast, Prediction
from closecast.serving.fallback_policy import COLLECT_AGAIN, FallbackPolicy
from closecast.serving.fleet import Fleet, FleetReporter, ServingProcess
from closecast.serving.follower import PointerFollower
from closecast.serving.market_context import MarketContext
from closecast.serving.model_manager import ModelManager, Reload
from closecast.serving.snapshot import Snapshot

__all__ = [
    "COLLECT_AGAIN",
    "BatchForecast",
    "FallbackPolicy",
    "Fleet",
    "FleetReporter",
    "MarketContext",
    "ModelManager",
    "PointerFollower",
    "Prediction",
    "Reload",
    "ServingProcess",
    "Snapshot",
]
