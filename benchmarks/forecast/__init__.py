"""Benchmarks of forecasts, intervals, the gate and retraining."""
