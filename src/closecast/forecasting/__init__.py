"""Dated forecasts: one row per session, committed to the ledger before anybody reads them."""

from closecast.forecasting.answering import Forecasting, Living, checked_levels
from closecast.forecasting.answers import DatedAnswer, DatedRow, Freshness
from closecast.forecasting.living import LedgerLiving
from closecast.forecasting.refresh import UPDATE

__all__ = [
    "UPDATE",
    "DatedAnswer",
    "DatedRow",
    "Forecasting",
    "Freshness",
    "LedgerLiving",
    "Living",
    "checked_levels",
]
