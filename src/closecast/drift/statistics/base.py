"""The base class of drift statistics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar

from closecast.core.arrays import FloatArray
from closecast.core.verdict import Channel, Code
from closecast.drift.features import WindowFeatures


@dataclass(frozen=True, slots=True)
class Cause:
    """Cause of a value beyond its threshold.

    Attributes
    ----------
    row : int or None
        Row of the window that it is about; 0 is the oldest close.
    facts : mapping
        Values for the placeholders of the sentence in ``drift/messages.py``.
    alternatives : tuple of str
        Causes that look the same: the others, or all of them where it is unsure which it is.
    ranks : mapping
        Of causes that look the same, the share of usual values that are as odd.
    """

    code: Code
    row: int | None = None
    facts: Mapping[str, int | float | str] = field(default_factory=dict)
    alternatives: tuple[Code, ...] = ()
    ranks: Mapping[Code, float] = field(default_factory=dict)


class Statistic(ABC):
    """A number per window that is large if the window is unusual in one way. Stateless."""

    key: ClassVar[str]
    """Stable: its name in ``baseline_stats.json``."""

    channel: ClassVar[Channel]
    name: ClassVar[str]
    """A description in words, shown in findings."""

    weights: ClassVar[tuple[float, float]]
    """Its share of the channel's false alarms, relative to the others': for a window alone, and
    where the closes just before it are known. Zero: not measured."""

    least_threshold: ClassVar[float] = 0.0
    """The threshold never falls below this, however tame the reference is."""

    least_elsewhere: ClassVar[float] = 0.0
    """The same for kinds of market other than stocks."""

    most_threshold: ClassVar[float] = inf
    """The threshold never rises above this, however wild the reference is."""

    @abstractmethod
    def measure(self, reading: WindowFeatures) -> FloatArray:
        """The statistic of each window, shape (m,); free of the price level, never NaN."""

    @abstractmethod
    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        """Name the cause of a value beyond the threshold in window ``i``."""
