"""The last collected closes of each symbol, one file each, readable with numpy alone."""

from __future__ import annotations

import io
import json
import os
from dataclasses import asdict
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from closecast.atomic import write_atomically
from closecast.errors import Problem, StorageFailed
from closecast.prices import Prices
from closecast.symbols import canonical, folder_name


class PriceCache:
    """Files ``<folder>/<symbol>.npz``; written whole or not at all, never pickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[str, tuple[tuple[int, int, int], Prices]] = {}

    def path(self, symbol: str) -> Path:
        """Where a symbol's closes lie."""
        return self.folder / f"{folder_name(symbol)}.npz"

    def put(self, prices: Prices) -> Path:
        """Replace what is stored for the symbol.

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
        }
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            sessions=prices.sessions.astype("int64"),
            closes=prices.closes,
            about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
        )
        path = self.path(prices.symbol)
        write_atomically(path, buffer.getvalue())
        return path

    def get(self, symbol: str) -> Prices | None:
        """What was collected last, or ``None``. Cheap when nothing changed.

        Raises
        ------
        StorageFailed
            If the file is damaged or cannot be read.
        """
        symbol = canonical(symbol)
        path = self.path(symbol)
        try:
            status = os.stat(path)
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            seen = self._seen.get(symbol)
            if seen is not None and seen[0] == stamp:
                return seen[1]
            content = path.read_bytes()  # numpy leaves a file open that it cannot read
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageFailed(
                f"the price cache of {symbol} cannot be read: {error}; check {self.folder}"
            ) from error
        try:
            prices = _read(content)
            if prices.symbol != symbol:
                raise ValueError(f"it holds {prices.symbol}")
        except Exception as error:  # numpy's and zip's readers raise a dozen kinds on wrong bytes
            raise StorageFailed(
                f"the price cache of {symbol} is damaged ({error!r}); "
                f"delete {path.name} and collect again"
            ) from error
        self._seen[symbol] = (stamp, prices)
        return prices


def _read(content: bytes) -> Prices:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        # numpy stops reading before the end of a member, where its checksum is compared.
        if damaged := file.zip.testzip():
            raise BadZipFile(f"{damaged} is not what was written")
        about = json.loads(file["about"].tobytes())
        return Prices(
            about["symbol"],
            file["sessions"].astype("datetime64[D]"),
            file["closes"],
            about["source"],
            about["basis"],
            tuple(Problem(**note) for note in about["notes"]),
        )
