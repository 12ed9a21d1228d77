"""What a drift statistic is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from closecast.core.arrays import FloatArray
from closecast.core.verdict import Channel, Code
from closecast.drift.features import WindowFeatures


@dataclass(frozen=True, slots=True)
class Cause:
    """What a value beyond its threshold means.

    Attributes
    ----------
    row : int or None
        Of the window, 0 is the oldest close.
    facts : mapping
        What the sentence about it says.
    """

    code: Code
    row: int | None = None
    facts: Mapping[str, int | float | str] = field(default_factory=dict)
    alternatives: tuple[Code, ...] = ()


class Statistic(ABC):
    """One number per window, large where something is odd. Stateless."""

    key: ClassVar[str]
    """Stable: its name in ``baseline_stats.json``."""

    channel: ClassVar[Channel]
    name: ClassVar[str]
    """In words."""

    weights: ClassVar[tuple[float, float]]
    """Its share of the channel's false alarms, relative to the others': for a window alone, and
    where the closes just before it are known. Zero: not measured."""

    least_threshold: ClassVar[float] = 0.0
    """The threshold never falls below this, however tame the reference is."""

    @abstractmethod
    def measure(self, reading: WindowFeatures) -> FloatArray:
        """The statistic of each window, shape (m,); free of the price level, never NaN."""

    @abstractmethod
    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        """What a value beyond the threshold means for window ``i``."""
