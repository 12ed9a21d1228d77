"""Dated forecasts: one row per session, committed to the ledger before they are returned."""

from closecast.serving.dated.answers import DatedAnswer, DatedRow, Freshness, UpdateAttempt
from closecast.serving.dated.refresh import UPDATE, submit_update
from closecast.serving.dated.rows import checked_levels
from closecast.serving.dated.service import DatedForecastService

__all__ = [
    "UPDATE",
    "DatedAnswer",
    "DatedForecastService",
    "DatedRow",
    "Freshness",
    "UpdateAttempt",
    "checked_levels",
    "submit_update",
]
