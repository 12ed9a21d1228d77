"""Honest forecasts of the next closing prices."""

__version__ = "0.1.0"
