"""Real closes that ship inside the package: 20 US stocks, adjusted, 2005 to 2022."""

from __future__ import annotations

import lzma
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Self

import numpy as np

from closecast.errors import UnknownSymbol
from closecast.settings import Settings
from closecast.sources.base import PriceSource, RawRows


@lru_cache(maxsize=1)
def _table() -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    packed = files("closecast.sources").joinpath("sample_data/closes.csv.xz").read_bytes()
    header, *lines = lzma.decompress(packed).decode().splitlines()
    cells = [line.split(",") for line in lines]
    dates = np.array([row[0] for row in cells], dtype="datetime64[D]")
    closes = np.array([row[1:] for row in cells], dtype=np.float64)
    return tuple(header.split(",")[1:]), dates, closes


class SampleSource(PriceSource):
    """For trying things out without a network; see ``sample_data/ATTRIBUTION.md``."""

    name = "sample"

    @classmethod
    def from_settings(cls, settings: Settings, argument: str) -> Self:
        return cls()

    def symbols(self) -> tuple[str, ...]:
        return _table()[0]

    def read(self, symbol: str, start: date | None, end: date | None) -> RawRows:
        names, dates, closes = _table()
        if symbol not in names:
            raise UnknownSymbol(
                f"the sample has no {symbol}; it has {', '.join(names)}. "
                "For anything else use the source 'yahoo' or 'file:URL'"
            )
        asked = np.ones(len(dates), dtype=bool)
        if start is not None:
            asked &= dates >= np.datetime64(start, "D")
        if end is not None:
            asked &= dates <= np.datetime64(end, "D")
        return RawRows(dates[asked], closes[asked, names.index(symbol)], "adjusted")
