"""Which windows need a closer look: few, and compiled code tells which."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, log10

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.drift import features as reading
from closecast.drift import native
from closecast.drift.statistics.jump import LEAST_JUMP
from closecast.drift.statistics.repeats import FROZEN, rounded_share, surprises
from closecast.drift.statistics.volatility import LEAST_RATIO

COVERED = frozenset(native.STATISTICS)
"""Keys of the statistics that a screen knows a bound of. Others are measured on every window."""


class Prefilter:
    """Passes over windows of one symbol that are within every threshold of :data:`COVERED`.

    By upper bounds of the statistics: what is left is measured by their definitions, so that a
    verdict does not depend on whether there is compiled code.

    Parameters
    ----------
    volatility, level, still_share : float
        The symbol's; as in :class:`closecast.drift.features.WindowFeatures`.
    limits : mapping of key to float
        Of the statistics that are measured; beyond them a window is looked at. Those that are not
        in :data:`COVERED` make no window suspicious.
    """

    def __init__(
        self, volatility: float, level: float, still_share: float, limits: Mapping[str, float]
    ) -> None:
        self._symbol = volatility, level, rounded_share(still_share)
        self._limits = limits
        self._levels: dict[int, native.Levels] = {}

    def suspicious(
        self, returns: FloatArray, before: FloatArray | None, gap: FloatArray | None
    ) -> list[int]:
        """Rows of windows in which a statistic may be beyond its limit.

        Parameters
        ----------
        returns, before, gap : arrays
            As in :class:`closecast.drift.features.WindowFeatures`.
        """
        fast = native.of(returns)
        if fast is None:
            return [*range(len(returns))]
        n = returns.shape[1]
        levels = self._levels.get(n)
        if levels is None:
            levels = self._levels[n] = self._of_length(n)
        return fast.suspicious(levels, returns, before, gap)

    def _of_length(self, n: int) -> native.Levels:
        volatility, level, still_share = self._symbol
        limits = [self._limits.get(key, inf) for key in native.STATISTICS]
        return native.Levels(
            decay=reading.DECAY,
            around=reading.AROUND,
            floor=reading.FLOOR,
            clip=reading.CLIP,
            large=reading.LARGE,
            still=reading.STILL,
            normal=reading.NORMAL,
            least_jump=LEAST_JUMP,
            least_ratio=LEAST_RATIO,
            frozen=FROZEN,
            volatility=volatility,
            level=level,
            # Ticks may make still closes likelier than this, and so less surprising.
            surprise=-log10(still_share),
            filled=np.array(surprises(n, still_share)),
            limits=tuple(limits),
        )
