"""Benchmarks of drift warnings."""
