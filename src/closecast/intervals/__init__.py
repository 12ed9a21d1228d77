"""Calibration of a forecast's quantiles by the errors that such forecasts really made."""

from closecast.intervals.day import Base, PanelDay, Scored
from closecast.intervals.files import StatesFile, dump_states, load_state
from closecast.intervals.live import LiveState
from closecast.intervals.panel import Member, advance, follow
from closecast.intervals.quantiles import LEAST_SCORES, MEMORY, half_quantiles, needed_scores
from closecast.intervals.static import Calibration

__all__ = [
    "LEAST_SCORES",
    "MEMORY",
    "Base",
    "Calibration",
    "LiveState",
    "Member",
    "PanelDay",
    "Scored",
    "StatesFile",
    "advance",
    "dump_states",
    "follow",
    "half_quantiles",
    "load_state",
    "needed_scores",
]
