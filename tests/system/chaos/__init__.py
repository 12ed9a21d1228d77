"""Chaos: what survives kill -9, a full disk, a wrong clock and a byte that changed.

``python -m tests.system.chaos [--kills 100] [--seed 0] [--minutes 12]``, or ``make chaos``.
"""
