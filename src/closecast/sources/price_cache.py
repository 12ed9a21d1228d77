"""The last collected closes of each symbol, one file each, readable with numpy alone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from closecast.core.prices import Prices
from closecast.core.symbols import canonical, folder_name, former_names, present_name, quoted
from closecast.errors import InvalidSymbol, PriceProblem
from closecast.infra.npz_folder import NpzFolder


class PriceCache:
    """Files ``<folder>/<symbol>.npz``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = NpzFolder(folder, "price cache of", _parse)
        self._paths: dict[str, tuple[Path, ...]] = {}

    def path(self, symbol: str) -> Path:
        """Path of a symbol's closes."""
        return self.folder / f"{folder_name(symbol)}.npz"

    def stamp(self) -> int | None:
        """Another one after a file was stored or removed; ``None`` where no folder can be read.

        Two that are stored within one tick of the file system's clock may leave the same.
        """
        try:
            return os.stat(self.folder).st_mtime_ns
        except OSError:
            return None

    def symbols(self) -> list[str]:
        """Symbols with stored closes, in alphabetical order."""
        stems = (path.stem for path in self.folder.glob("*.npz"))
        return sorted({symbol for stem in stems if (symbol := _symbol_of(stem)) is not None})

    def put(self, prices: Prices, edition: str | None = None) -> Path:
        """Replace what is stored for the symbol.

        Parameters
        ----------
        edition : str, optional
            State of the source, if these are all its closes: ``closecast.sources.source_edition``.

        Raises
        ------
        StorageFailed
            If the folder cannot be written; the earlier file stays.
        """
        about = {
            "symbol": prices.symbol,
            "source": prices.source,
            "basis": prices.basis,
            "notes": [asdict(note) for note in prices.notes],
            "edition": edition,
        }
        arrays = {
            "sessions": prices.sessions.astype("int64"),
            "closes": prices.closes,
            "about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
        }
        return self._files.put(self.path(prices.symbol), arrays)

    def get(self, symbol: str) -> Prices | None:
        """Closes collected last, or ``None``. Cheap when nothing changed.

        Those that an earlier version stored under another spelling are found as well.

        Raises
        ------
        StorageFailed
            If the file is damaged or cannot be read.
        """
        found = self._find(symbol)
        return None if found is None else found[0]

    def edition(self, symbol: str) -> str | None:
        """State of the source that closes were collected from last; ``None`` where unknown.

        Raises
        ------
        StorageFailed
            If the file is damaged or cannot be read.
        """
        found = self._find(symbol)
        return None if found is None else found[1]

    def _find(self, symbol: str) -> tuple[Prices, str | None] | None:
        symbol = canonical(symbol)
        if symbol not in self._paths:  # needed for each prediction, and slow to put together
            names = (symbol, *former_names(symbol))
            self._paths[symbol] = tuple(self.folder / f"{quoted(name)}.npz" for name in names)
        for path in self._paths[symbol]:
            if (found := self._files.get(path, symbol)) is not None:
                return found
        return None


def _symbol_of(stem: str) -> str | None:
    name = unquote(stem)
    try:
        symbol = canonical(name)
    except InvalidSymbol:
        return None
    known = quoted(name) == stem and name in (symbol, *former_names(symbol))
    return symbol if known else None


def _parse(symbol: str, file: Mapping[str, Any]) -> tuple[Prices, str | None]:
    about = json.loads(file["about"].tobytes())
    if present_name(about["symbol"]) != symbol:
        raise ValueError(f"it holds {about['symbol']}")
    prices = Prices(
        symbol,
        file["sessions"].astype("datetime64[D]"),
        file["closes"],
        about["source"],
        about["basis"],
        tuple(PriceProblem(**note) for note in about["notes"]),
    )
    return prices, about.get("edition")
