"""The vocabulary: prices, forecasts, verdicts, calendars, symbols. Pure functions and values."""
