"""Requests, gauges and the machine, as metrics."""
