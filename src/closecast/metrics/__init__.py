"""Scores of forecasts, tests of their differences, outcomes and live performance."""
