"""Progress as a fraction of the work that is done, and parts of it as fractions of a whole."""

from __future__ import annotations

from collections.abc import Callable

FractionWatch = Callable[[float], None]
"""Receives the fraction of the work that is done, 0 to 1. It may raise to stop the work."""


def ignore_fraction(fraction: float) -> None:
    """Discard a report of progress."""


def part(watch: FractionWatch, start: float, end: float) -> FractionWatch:
    """A receiver of the fraction of one part, which covers ``start`` to ``end`` of a whole.

    >>> part(print, 0.5, 1.0)(0.5)
    0.75
    """
    return lambda fraction: watch(start + (end - start) * fraction)
