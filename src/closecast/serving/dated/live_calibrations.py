"""Live calibrations: the interval calibration of a model, with the closes since its training."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from closecast.calibration import AdaptiveState
from closecast.core.prices import Prices
from closecast.database import Database
from closecast.errors import ClosecastError, DamagedBundle
from closecast.serving import Snapshot
from closecast.sources.price_cache import PriceCache

log = logging.getLogger(__name__)

# How long `recent` relies on the last reading. A state that has absorbed the newest close changes
# with the next close, and the file of closes shows that; any other may change at any moment.
_ABSORBED_S, _BEHIND_S = 60.0, 1.0

_Served = tuple[str, int]  # version and generation


class LiveCalibrations:
    """Reads the calibrations that the worker updates with each close."""

    def __init__(self, database: Database, prices: PriceCache) -> None:
        self._database = database
        self._prices = prices
        self._recent: dict[str, tuple[_Served, Prices | None, float, AdaptiveState | None]] = {}

    def state(self, snapshot: Snapshot) -> AdaptiveState:
        """Read the state in force; before the first update, the one in the bundle.

        The bundle's state also stands in for a damaged one: its age brings about an update, which
        computes the state anew.

        Raises
        ------
        StorageFailed
            If the database cannot be read.
        """
        try:
            stored = self._database.calibrations.newest(snapshot.version, snapshot.symbol)
            if stored is not None:  # a state that was rebuilt counts on from the one before
                return replace(AdaptiveState.from_parts(stored.parts), revision=stored.revision)
        except DamagedBundle as error:
            log.error(
                "stored calibration damaged; the next update makes it again",
                extra={"symbol": snapshot.symbol, "reason": str(error)},
            )
        return snapshot.first_state

    def newest(self, snapshot: Snapshot) -> AdaptiveState | None:
        """Read the state, if it has absorbed the newest collected close of its symbol."""
        prices = newest = None
        try:
            prices = self._prices.get(snapshot.symbol)
            state = self.state(snapshot)
        except ClosecastError as error:  # a window can be answered without it
            log.warning("live calibration unreadable", extra={"reason": str(error)})
        else:
            if prices is not None and state.session == prices.sessions[-1]:
                newest = state
        served = snapshot.version, snapshot.generation
        self._recent[snapshot.symbol] = served, prices, time.monotonic(), newest
        return newest

    def recent(self, snapshot: Snapshot) -> tuple[bool, AdaptiveState | None]:
        """Return the last result of :meth:`newest` without reading the database.

        Reads only the time stamp of the symbol's closes, and the closes where they changed.

        Returns
        -------
        holds, state
            Whether the last result is still good; if not, ``state`` is ``None``.
        """
        last = self._recent.get(snapshot.symbol)
        if last is None or last[0] != (snapshot.version, snapshot.generation):
            return False, None
        holds_s = _BEHIND_S if last[3] is None else _ABSORBED_S
        if time.monotonic() - last[2] > holds_s:
            return False, None
        try:
            same = self._prices.get(snapshot.symbol) is last[1]
        except ClosecastError:
            return False, None
        return same, last[3] if same else None
