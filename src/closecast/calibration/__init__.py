"""Calibration of a forecast's quantiles by the errors that such forecasts really made."""

from closecast.calibration.adaptive import LiveState
from closecast.calibration.files import StatesFile, dump_states, load_state
from closecast.calibration.observations import Base, PanelDay, Scored
from closecast.calibration.panel import Member, advance, follow
from closecast.calibration.quantiles import LEAST_SCORES, MEMORY, half_quantiles, needed_scores
from closecast.calibration.split_conformal import Calibration

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
