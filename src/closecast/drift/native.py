"""The two inner loops of drift, compiled from ``native.c`` where there was a C compiler.

One finds windows among known closes; the other, used by :class:`Prefilter`, skips usual windows.

The NumPy code defines the results. The compiled loops answer the common cases faster: usual
windows, and windows whose place is beyond doubt. Without them the answers are the same, but slower.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping
from ctypes import PyDLL, Structure, addressof, c_double, c_int64, c_void_p
from math import inf, log10
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.drift import features as reading
from closecast.drift.features import WindowReturns
from closecast.drift.statistics.jump import least_jump
from closecast.drift.statistics.one_move import LEAST_UNSURE
from closecast.drift.statistics.ratios import LEAST_CLEAR, UNITS
from closecast.drift.statistics.repeats import FROZEN, rounded_share, surprises
from closecast.drift.statistics.shock import FADE, OLD, PART_OF_CLEAR
from closecast.drift.statistics.volatility import LEAST_RATIO

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_suffix(".c")
LIBRARY = Path(__file__).with_name("_native.so")

MOST_RETURNS = 1024
"""Largest number of returns per window; the C code keeps them on its stack."""

MatchKind = Literal["nowhere", "exact", "reversed", "unsure", "agrees"]
MATCHES: tuple[MatchKind, ...] = ("nowhere", "exact", "reversed", "unsure", "agrees")

STATISTICS = (
    *("jump", "frozen_feed", "filled_days", "spike", "level_gap"),
    *("volatility_high", "volatility_high_before", "volatility_high_week"),
    *("volatility_low", "volatility_low_before", "trend_week", "trend_month"),
    *("shock_lately", "large_move"),
)
"""Keys of the statistics that ``native.c`` knows, in its order."""

COVERED = frozenset(STATISTICS)
"""Keys of the statistics that the prefilter bounds. Others are measured on every window."""


def checksum() -> int:
    """Checksum of the C source; a library compiled from another source is not used."""
    return zlib.crc32(SOURCE.read_bytes())


class _Numbers(Structure):
    """A C structure that keeps the arrays that it points to alive."""

    def __init__(self, **values: Any) -> None:
        self._arrays = {
            name: np.ascontiguousarray(value)
            for name, value in values.items()
            if isinstance(value, np.ndarray)
        }
        pointers = {name: array.ctypes.data for name, array in self._arrays.items()}
        super().__init__(**values | pointers)

    @property
    def address(self) -> int:
        """Memory address for a C function; valid as long as this object exists."""
        return addressof(self)


class Index(_Numbers):
    """Arrays of a :class:`closecast.drift.return_index.ReturnIndex`, contiguous and fixed."""

    _fields_ = [
        *((name, c_void_p) for name in ("returns", "sorted", "order", "ends")),
        *((name, c_void_p) for name in ("before", "after", "logs", "error")),
        *((name, c_int64) for name in ("known", "histories")),
    ]


class Rules(_Numbers):
    """Constants of ``provenance.py`` and the modules beside it that decide on a match."""

    _fields_ = [
        *((name, c_double) for name in ("cent", "least", "most", "still", "same")),
        *((name, c_int64) for name in ("enough", "crowd", "most_alike")),
        *((name, c_int64) for name in ("votes", "voters", "spread")),
        *((name, c_int64) for name in ("landmarks", "landmarks_elsewhere")),
        *((name, c_double) for name in ("equal", "finest", "cent_error", "large_error", "single")),
    ]


class Levels(_Numbers):
    """Levels of one symbol, and the constants of ``features.py`` and ``statistics/``."""

    _fields_ = [
        *((name, c_double) for name in ("decay", "around", "floor", "clip", "large")),
        *((name, c_double) for name in ("still", "normal", "least_jump", "unit", "least_ratio")),
        *((name, c_double) for name in ("least_unsure", "least_clear", "part", "fade", "old")),
        ("frozen", c_double),
        *((name, c_double) for name in ("volatility", "level", "surprise")),
        ("filled", c_void_p),
        ("limits", c_double * len(STATISTICS)),
    ]


class NativeLoops:
    """The functions of the compiled library.

    They keep Python's lock: a piece of a batch takes a fraction of a millisecond, and acquiring
    the lock again may take longer.
    """

    def __init__(self, library: Path) -> None:
        """Load a library.

        Raises
        ------
        OSError, AttributeError, ValueError
            If it cannot be loaded, is another one, or is not of this source.
        """
        functions = PyDLL(str(library))
        if c_int64.in_dll(functions, "closecast_source").value != checksum():
            raise ValueError(f"{library.name} was made from other code than {SOURCE.name}")
        self._recognise = functions.closecast_recognise
        self._suspicious = functions.closecast_suspicious
        shape, two = [c_int64, c_int64], [c_void_p, c_void_p]
        self._recognise.argtypes = [*two, *shape, *two, c_void_p, c_int64, *two]
        self._suspicious.argtypes = [c_void_p, *shape, *two, *two]
        self._recognise.restype = self._suspicious.restype = None

    def recognise(
        self, index: Index, rules: Rules, windows: WindowReturns, both_ways: bool
    ) -> list[tuple[MatchKind, int]]:
        """Find windows among known closes.

        Parameters
        ----------
        both_ways : bool
            Whether to search also for windows that are newest first, and for those in pieces.

        Returns
        -------
        list of (match, int)
            Kind of match of each window, and the place where it begins. ``agrees``: all closes
            are the known ones, to rounding. ``exact``: most moves are, and the closes were not
            compared, or do not agree. ``unsure``: it may lie there in pieces, and the place is not
            valid.
        """
        count = len(windows)
        found = (c_int64 * (2 * count))()  # an array of NumPy is slower to give an address of
        self._recognise(
            index.address,
            rules.address,
            *windows.returns.shape,
            windows.closes.ctypes.data,
            windows.logs.ctypes.data,
            windows.returns.ctypes.data,
            both_ways,
            addressof(found),
            addressof(found) + 8 * count,
        )
        places = zip(found[:count], found[count:], strict=True)
        return [(MATCHES[match], start) for match, start in places]

    def suspicious(
        self, levels: Levels, returns: FloatArray, before: FloatArray | None, gap: FloatArray | None
    ) -> list[int]:
        """Find the rows in which a statistic may be beyond its limit, and few others.

        Parameters
        ----------
        returns : array, shape (m, n - 1)
            Of the windows; contiguous, as ``before`` and ``gap`` are.
        before, gap : arrays, shape (m,), optional
            As in :class:`closecast.drift.features.WindowFeatures`.
        """
        found: NDArray[np.uint8] = np.empty(len(returns), np.uint8)
        self._suspicious(
            levels.address,
            *returns.shape,
            returns.ctypes.data,
            None if before is None else before.ctypes.data,
            None if gap is None else gap.ctypes.data,
            found.ctypes.data,
        )
        return [row for row, flag in enumerate(found.tolist()) if flag]


def _load() -> NativeLoops | None:
    if not LIBRARY.exists():
        return None
    try:
        return NativeLoops(LIBRARY)
    except (OSError, AttributeError, ValueError) as error:
        log.warning("drift without its compiled loops: %s; install closecast again", error)
        return None


loaded = _load()
"""``None`` where there was no compiler, or the library is not of this code."""


def of(returns: FloatArray) -> NativeLoops | None:
    """The compiled loops, if there are any and the windows are not too long for them."""
    return loaded if returns.shape[1] <= MOST_RETURNS else None


class Prefilter:
    """Skips windows of one symbol that are within the thresholds of all :data:`COVERED` keys.

    It uses upper bounds of the statistics. Windows that remain are measured by the definitions in
    NumPy, so that a verdict does not depend on whether there is compiled code.

    Parameters
    ----------
    volatility, level, still_share, plausible : float
        The symbol's; as in :class:`closecast.drift.features.WindowFeatures`.
    limits : mapping of key to float
        Limits of the statistics to be measured. Keys that are not in :data:`COVERED` have no
        effect here.
    """

    def __init__(
        self,
        volatility: float,
        level: float,
        still_share: float,
        plausible: float,
        limits: Mapping[str, float],
    ) -> None:
        self._symbol = volatility, level, rounded_share(still_share)
        self._least_jump = least_jump(plausible)
        self._limits = limits
        self._levels: dict[int, Levels] = {}

    def suspicious(
        self, returns: FloatArray, before: FloatArray | None, gap: FloatArray | None
    ) -> list[int]:
        """Find the rows of windows in which a statistic may be beyond its limit.

        Parameters
        ----------
        returns, before, gap : arrays
            As in :class:`closecast.drift.features.WindowFeatures`.
        """
        fast = of(returns)
        if fast is None:
            return [*range(len(returns))]
        n = returns.shape[1]
        levels = self._levels.get(n)
        if levels is None:
            levels = self._levels[n] = self._of_length(n)
        return fast.suspicious(levels, returns, before, gap)

    def _of_length(self, n: int) -> Levels:
        volatility, level, still_share = self._symbol
        limits = [self._limits.get(key, inf) for key in STATISTICS]
        return Levels(
            decay=reading.DECAY,
            around=reading.AROUND,
            floor=reading.FLOOR,
            clip=reading.CLIP,
            large=reading.LARGE,
            still=reading.STILL,
            normal=reading.NORMAL,
            least_jump=self._least_jump,
            unit=UNITS,
            least_ratio=LEAST_RATIO,
            least_unsure=LEAST_UNSURE,
            least_clear=LEAST_CLEAR,
            part=PART_OF_CLEAR,
            fade=FADE,
            old=OLD,
            frozen=FROZEN,
            volatility=volatility,
            level=level,
            # Ticks may make still closes likelier than this, and so less surprising.
            surprise=-log10(still_share),
            filled=np.array(surprises(n, still_share)),
            limits=tuple(limits),
        )
