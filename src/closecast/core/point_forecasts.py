"""Notes on a model's point forecast: the reason why its prices are the last close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAIVE_BY_DESIGN = "the location is the naive one as it is"
"""Reason beside the shares of a location that is the last close at every step."""

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def flat_path_note(location: Mapping[str, Any]) -> str | None:
    """One sentence on a model whose prices are the last close; ``None`` where none of them is.

    Parameters
    ----------
    location : mapping
        Of a bundle's manifest: ``factor``, the share of the predicted location that is used at
        each step, and ``reason``. Empty in old bundles.

    Examples
    --------
    >>> flat_path_note({"factor": [0.0, 0.4], "reason": ""})[-36:]
    'to that at 1 of 2 sessions ahead (1)'
    """
    factors = [float(share) for share in location.get("factor", ())]
    if not factors:
        return None
    if location.get("reason") == NAIVE_BY_DESIGN:
        return f"its point forecast is today's close by design{_alike(len(factors))}"
    unearned = [step for step, share in enumerate(factors, start=1) if share == 0]
    sentence = "its point forecast was no better than today's close, so it was set to that"
    if len(unearned) == len(factors):
        return f"{sentence}{_alike(len(factors))}"
    if unearned:
        steps = ", ".join(map(str, unearned))
        return f"{sentence} at {len(unearned)} of {len(factors)} sessions ahead ({steps})"
    return None


def is_unearned(location: Mapping[str, Any]) -> bool:
    """Check that a learned point forecast was set to the last close at every step."""
    factors = location.get("factor", ())
    return bool(factors) and not any(factors) and location.get("reason") != NAIVE_BY_DESIGN


def _alike(steps: int) -> str:
    if steps == 1:
        return ""
    if steps == 2:
        return ": both prices are the same"
    return f": all {_WORDS[steps] if steps < len(_WORDS) else steps} prices are the same"
