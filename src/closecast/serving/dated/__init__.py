"""Dated forecasts: one row per session, committed to the ledger before anybody reads them."""

from closecast.serving.dated.answers import DatedAnswer, DatedRow, Freshness
from closecast.serving.dated.calibration_state import StoredCalibrationState
from closecast.serving.dated.refresh import UPDATE
from closecast.serving.dated.rows import checked_levels
from closecast.serving.dated.service import CalibrationSource, DatedForecastService

__all__ = [
    "UPDATE",
    "CalibrationSource",
    "DatedAnswer",
    "DatedForecastService",
    "DatedRow",
    "Freshness",
    "StoredCalibrationState",
    "checked_levels",
]
