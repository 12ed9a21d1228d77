"""Where a model's calibration is now: in the ledger once a close was absorbed, else its bundle."""

from __future__ import annotations

from closecast.intervals import LiveState
from closecast.ledger import Ledger
from closecast.serving import Snapshot


class LedgerLiving:
    """The newest stored state; before the first update, the one that the bundle came with."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def state(self, snapshot: Snapshot) -> LiveState:
        """The state in force.

        Raises
        ------
        StorageFailed
            If the ledger cannot be read.
        DamagedBundle
            If what it holds is no state.
        """
        stored = self._ledger.calibrations.newest(snapshot.version, snapshot.symbol)
        return snapshot.first_state if stored is None else LiveState.from_parts(stored.parts)
