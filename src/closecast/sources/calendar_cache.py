"""The calendars of exchanges as small files that numpy alone can read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closecast.core.calendars import SessionTable, session_table
from closecast.core.symbols import EVERY_DAY
from closecast.infra.npz_folder import NpzFolder


class CalendarCache:
    """Files ``<folder>/<exchange>.npz``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = NpzFolder(folder, "calendar of", _parse)

    def path(self, exchange: str) -> Path:
        """Path of an exchange's sessions."""
        return self.folder / f"{exchange.replace('/', '-')}.npz"

    def put(self, table: SessionTable) -> Path | None:
        """Replace what is stored for the exchange; ``24/7`` is arithmetic and needs no file.

        Raises
        ------
        StorageFailed
            If the folder cannot be written; the earlier file stays.
        """
        if table.exchange == EVERY_DAY:
            return None
        arrays = {
            "exchange": np.array(table.exchange),
            "sessions": table.sessions.astype("int64"),
            "final_at": table.final_at.astype("int64"),
        }
        return self._files.put(self.path(table.exchange), arrays)

    def get(self, exchange: str) -> SessionTable | None:
        """Sessions stored last, or ``None``. Cheap when nothing changed.

        Raises
        ------
        StorageFailed
            If the file is damaged or cannot be read.
        """
        if exchange == EVERY_DAY:
            return session_table(EVERY_DAY)
        return self._files.get(self.path(exchange), exchange)


def _parse(exchange: str, file: Mapping[str, Any]) -> SessionTable:
    if (stored := str(file["exchange"])) != exchange:
        raise ValueError(f"it holds {stored}")
    return SessionTable(
        exchange,
        file["sessions"].astype("datetime64[D]"),
        file["final_at"].astype("datetime64[s]"),
    )
