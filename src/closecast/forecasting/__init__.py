"""Dated forecasts: one row per session, committed to the ledger before anybody reads them."""

from closecast.forecasting.answering import Forecasting, Living
from closecast.forecasting.answers import DatedAnswer, DatedRow, Freshness
from closecast.forecasting.living import LedgerLiving
from closecast.forecasting.refresh import UPDATE
from closecast.forecasting.saying import checked_levels

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
