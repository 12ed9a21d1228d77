"""Drift statistics: each measures one way in which a window may be unusual.

A new one needs a file, a line in ``STATISTICS`` and a contract test.
"""

from __future__ import annotations

from closecast.drift.statistics.base import Cause, Statistic
from closecast.drift.statistics.jump import Jump
from closecast.drift.statistics.level_gap import LevelGap
from closecast.drift.statistics.repeats import FilledDays, FrozenFeed
from closecast.drift.statistics.shock import LargeMove, Shock
from closecast.drift.statistics.spike import Spike
from closecast.drift.statistics.trend import MonthTrend, WeekTrend
from closecast.drift.statistics.volatility import (
    VolatileWeek,
    VolatilityFall,
    VolatilityHigh,
    VolatilityLow,
    VolatilityRise,
)

STATISTICS: dict[str, Statistic] = {
    statistic.key: statistic
    for statistic in (
        *(Jump(), FrozenFeed(), FilledDays(), Spike(), LevelGap()),
        *(VolatilityHigh(), VolatilityRise(), VolatileWeek(), VolatilityLow(), VolatilityFall()),
        *(WeekTrend(), MonthTrend(), Shock(), LargeMove()),
    )
}


def keys_measured(*, known: bool) -> frozenset[str]:
    """Keys of the statistics of a window whose closes before are known, or of a window alone."""
    return frozenset(key for key, statistic in STATISTICS.items() if statistic.weights[known])


__all__ = ["STATISTICS", "Cause", "Statistic", "keys_measured"]
