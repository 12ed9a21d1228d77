"""Where a model's calibration is now: in the ledger once a close was absorbed, else its bundle."""

from __future__ import annotations

import logging

from closecast.calibration import AdaptiveState
from closecast.database import Database
from closecast.errors import DamagedBundle
from closecast.serving import Snapshot

log = logging.getLogger(__name__)


class StoredCalibrationState:
    """The newest stored state; before the first update, the one that the bundle came with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self, snapshot: Snapshot) -> AdaptiveState:
        """The state in force; the bundle's, whose age asks for an update, where it is damaged.

        Raises
        ------
        StorageFailed
            If the ledger cannot be read.
        """
        try:
            stored = self._database.calibrations.newest(snapshot.version, snapshot.symbol)
            return (
                snapshot.first_state if stored is None else AdaptiveState.from_parts(stored.parts)
            )
        except DamagedBundle as error:
            log.error(
                "stored calibration damaged; the next update makes it again",
                extra={"symbol": snapshot.symbol, "reason": str(error)},
            )
            return snapshot.first_state
