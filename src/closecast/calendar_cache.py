"""The calendars of exchanges as small files that numpy alone can read."""

from __future__ import annotations

import io
import os
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from closecast.atomic import write_atomically
from closecast.errors import StorageFailed
from closecast.sessions import SessionTable, session_table
from closecast.symbols import EVERY_DAY


class CalendarCache:
    """Files ``<folder>/<exchange>.npz``; written whole or not at all, never pickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[str, tuple[tuple[int, int, int], SessionTable]] = {}

    def path(self, exchange: str) -> Path:
        """Where an exchange's sessions lie."""
        return self.folder / f"{exchange}.npz"

    def put(self, table: SessionTable) -> Path | None:
        """Replace what is stored for the exchange; ``24/7`` is arithmetic and needs no file.

        Raises
        ------
        StorageFailed
            If the folder cannot be written; the earlier file stays.
        """
        if table.exchange == EVERY_DAY:
            return None
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            exchange=np.array(table.exchange),
            sessions=table.sessions.astype("int64"),
            final_at=table.final_at.astype("int64"),
        )
        path = self.path(table.exchange)
        write_atomically(path, buffer.getvalue())
        return path

    def get(self, exchange: str) -> SessionTable | None:
        """What was stored last, or ``None``. Cheap when nothing changed.

        Raises
        ------
        StorageFailed
            If the file is damaged or cannot be read.
        """
        if exchange == EVERY_DAY:
            return session_table(EVERY_DAY)
        path = self.path(exchange)
        try:
            status = os.stat(path)
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            seen = self._seen.get(exchange)
            if seen is not None and seen[0] == stamp:
                return seen[1]
            content = path.read_bytes()  # numpy leaves a file open that it cannot read
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageFailed(
                f"the calendar of {exchange} cannot be read: {error}; check {self.folder}"
            ) from error
        try:
            table = _read(content)
            if table.exchange != exchange:
                raise ValueError(f"it holds {table.exchange}")
        except Exception as error:  # numpy's and zip's readers raise a dozen kinds on wrong bytes
            raise StorageFailed(
                f"the calendar of {exchange} is damaged ({error!r}); "
                f"delete {path.name} and collect again"
            ) from error
        self._seen[exchange] = (stamp, table)
        return table


def _read(content: bytes) -> SessionTable:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        # numpy stops reading before the end of a member, where its checksum is compared.
        if damaged := file.zip.testzip():
            raise BadZipFile(f"{damaged} is not what was written")
        return SessionTable(
            str(file["exchange"]),
            file["sessions"].astype("datetime64[D]"),
            file["final_at"].astype("datetime64[s]"),
        )
