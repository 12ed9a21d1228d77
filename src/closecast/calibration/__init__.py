"""Calibration of a forecast's quantiles by the errors that such forecasts really made."""

from closecast.calibration.adaptive import AdaptiveState
from closecast.calibration.files import StatesFile, dump_states, load_state
from closecast.calibration.observations import OriginForecast, PanelObservation, ScoredClose
from closecast.calibration.panel import PanelMember, advance, follow
from closecast.calibration.quantiles import LEAST_SCORES, MEMORY, half_quantiles, needed_scores
from closecast.calibration.split_conformal import SplitConformal

__all__ = [
    "LEAST_SCORES",
    "MEMORY",
    "AdaptiveState",
    "OriginForecast",
    "PanelMember",
    "PanelObservation",
    "ScoredClose",
    "SplitConformal",
    "StatesFile",
    "advance",
    "dump_states",
    "follow",
    "half_quantiles",
    "load_state",
    "needed_scores",
]
