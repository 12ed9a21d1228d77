"""Benchmarks of the service: speed, reloads, latency, memory."""
