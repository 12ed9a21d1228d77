"""Drift statistics. A new one: one file, one line in ``STATISTICS``, one contract test."""

from __future__ import annotations

from closecast.drift.statistics.base import Context, Statistic
from closecast.drift.statistics.largest_shock import LargestShock
from closecast.drift.statistics.level_gap import LevelGap
from closecast.drift.statistics.repeated_closes import RepeatedCloses
from closecast.drift.statistics.volatility import HighVolatility, LowVolatility

STATISTICS: dict[str, Statistic] = {
    statistic.code: statistic
    for statistic in (
        RepeatedCloses(),
        LevelGap(),
        LargestShock(),
        HighVolatility(),
        LowVolatility(),
    )
}

__all__ = ["STATISTICS", "Context", "Statistic"]
