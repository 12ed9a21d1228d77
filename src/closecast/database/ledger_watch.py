"""The ledger watched from outside: a new one in place of an old one, and damage inside its file."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
import threading
import time
import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout

from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA, Clock, Engine
from closecast.errors import StorageFailed
from closecast.infra.files import write_atomically
from closecast.infra.trouble import Trouble

log = logging.getLogger(__name__)

NEWS = timedelta(days=1)
"""Time for which a ledger that took the place of another one is shown as a trouble."""

CHECK_S = 120.0
"""Longest check of a file at the start, in seconds; a larger file is checked in part."""

AGAIN_S = 10.0
"""Longest check of a damaged file that has changed since, in seconds."""

_STEPS = 200_000  # of SQLite's machine, between two looks at the clock

_identity = sa.Table(
    "ledger_identity",
    METADATA,
    sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.String(32), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)


class LedgerWatch:
    """Compares the ledger with a note about it, and shares what one process found with all.

    Parameters
    ----------
    note : Path
        File in the data folder; it holds the identity of the ledger that was used last.
    """

    def __init__(self, engine: Engine, note: Path, clock: Clock) -> None:
        self._engine, self._note, self._clock = engine, note, clock
        self._thread = threading.Thread(target=self._check_file, name="ledger-check", daemon=True)

    def start(self) -> None:
        """Look, then check the file, in the background; of all processes here, one checks it."""
        self._thread.start()

    def look(self) -> list[Trouble]:
        """The troubles of the ledger; a new one is logged once.

        Raises
        ------
        StorageFailed
            If the ledger cannot be used at all.
        """
        shown = self._engine.shown_url
        try:
            found = self._own_id()
        except StorageFailed:
            if self._engine.damage is None:
                raise
            return self._damaged({"damage": self._engine.damage})
        note = self._read()
        if note.get("id") != found:
            before = note.get("id") if note.get("ledger") == shown else None
            is_back = found == note.get("former")  # from a backup
            note = {"ledger": shown, "id": found}
            if before is not None and not is_back:
                note["former"] = before
                note["new_since"] = self._clock().isoformat()
                log.warning("the ledger is new; its history is gone", extra={"ledger": shown})
            self._write(note)
        self._note_damage(note)
        return [*self._new(note), *self._damaged(note)]

    def _note_damage(self, note: dict[str, Any]) -> None:
        """Share damage that this process met; forget what a repair of the file has removed."""
        path, stamp = self._engine.sqlite_file, self._engine.stamp()
        damage = self._engine.damage or note.get("damage")
        if damage is None or path is None:
            return
        if stamp != (note.get("damaged_stamp") or self._engine.damaged_stamp):
            damage = damage_in(path, AGAIN_S)
            self._engine.damage, self._engine.damaged_stamp = damage, stamp
        if (damage, stamp) != (note.get("damage"), note.get("damaged_stamp")):
            note |= {"damage": damage, "damaged_stamp": stamp}
            self._write(note)

    def _new(self, note: dict[str, Any]) -> list[Trouble]:
        try:
            since = datetime.fromisoformat(note["new_since"])
        except (KeyError, TypeError, ValueError):
            return []
        if self._clock() - since > NEWS:
            return []
        return [
            Trouble(
                "ledger_new",
                f"the ledger {self._engine.shown_url} is new since {since:%Y-%m-%dT%H:%M:%SZ}; "
                "its history is gone: forecasts, scores, jobs",
                "Stop the service and put the file back from a backup, or go on with the new one; "
                "this reason is shown for a day",
            )
        ]

    def _damaged(self, note: dict[str, Any]) -> list[Trouble]:
        if not note.get("damage"):
            return []
        return [
            Trouble(
                "ledger_damaged",
                f"the ledger {self._engine.shown_url} is damaged inside: {note['damage']}",
                "Stop the service, save what can be read (`sqlite3 FILE .recover`) or restore a "
                "backup, and start again",
            )
        ]

    def _own_id(self) -> str:
        with self._engine.transaction(read_only=True) as connection:
            found = connection.execute(sa.select(_identity.c.id)).scalar()
        if found is not None:
            return str(found)
        row = {"row": 1, "id": uuid.uuid4().hex, "created_at": self._clock()}
        with suppress(sa.exc.IntegrityError), self._engine.transaction() as connection:
            connection.execute(_identity.insert().values(row))
        with self._engine.transaction(read_only=True) as connection:
            return str(connection.execute(sa.select(_identity.c.id)).scalar_one())

    def _read(self) -> dict[str, Any]:
        try:
            note = json.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def _write(self, note: dict[str, Any]) -> None:
        with suppress(StorageFailed):  # a full disk has a reason of its own
            write_atomically(self._note, json.dumps(note, indent=1).encode())

    def _check_file(self) -> None:
        with suppress(StorageFailed):
            self.look()  # logs a new ledger at the start, before anything is asked for
        path = self._engine.sqlite_file
        if path is None or not path.is_file():
            return
        try:
            with FileLock(self._note.parent / ".ledger-check.lock", timeout=0):
                if sys.platform == "linux":  # of this thread alone
                    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
                damage = damage_in(path, CHECK_S)
                found = self._own_id() if damage is None else None
        except (Timeout, OSError, StorageFailed):
            return  # another process checks, or the ledger cannot be used: another reason says so
        note = self._read()
        if damage is not None:
            log.error("the ledger is damaged", extra={"ledger": str(path), "reason": damage})
        elif note.get("id") != found or "damage" not in note:
            return
        self._write({**note, "damage": damage, "damaged_stamp": self._engine.stamp()})


def damage_in(path: Path, most_s: float) -> str | None:
    """The first fault that SQLite's ``quick_check`` finds in a file; ``None`` if it finds none.

    Reads the whole file, for ``most_s`` seconds at most; what it has not reached counts as sound.
    """
    give_up_at = time.monotonic() + most_s
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            connection.set_progress_handler(lambda: time.monotonic() > give_up_at, _STEPS)
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            log.info("the ledger is large: checked in part", extra={"ledger": str(path)})
        return None  # locked, or not readable: no statement on its content
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found == "ok" else " ".join(str(found).split())[:300]
