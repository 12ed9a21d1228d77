"""Raw closes, volumes and adjusted closes of AAPL, GOOG, IBM and MSFT, 2000 to 2013.

Where they come from is said in ``ATTRIBUTION.md``.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from closecast.core.prices import Prices

FILE = Path(__file__).parent / "raw_closes.csv.xz"


@dataclass(frozen=True, eq=False)
class Traded:
    """What is known of one symbol.

    Attributes
    ----------
    raw, adjusted : Prices
        The same sessions on two bases.
    volume : array, shape (n,)
        Shares traded, as counted on the day: not restated for splits.
    """

    raw: Prices
    adjusted: Prices
    volume: NDArray[np.float64]


@lru_cache(maxsize=1)
def traded() -> dict[str, Traded]:
    """By symbol."""
    _, *lines = lzma.decompress(FILE.read_bytes()).decode().splitlines()
    cells = np.array([line.split(",") for line in lines])
    found = {}
    for symbol in np.unique(cells[:, 0]):
        _, dates, closes, volume, adjusted = cells[cells[:, 0] == symbol].T
        days = dates.astype("datetime64[D]")
        found[str(symbol)] = Traded(
            Prices(str(symbol), days, closes.astype(float), "bokeh_sampledata", "raw"),
            Prices(str(symbol), days, adjusted.astype(float), "bokeh_sampledata", "adjusted"),
            volume.astype(float),
        )
    return found
