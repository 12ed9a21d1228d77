"""What may be known beside a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.calendars import SessionTable
from closecast.core.prices import Prices
from closecast.drift.return_index import OtherSymbols

Dates = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Everything is optional, and makes the verdict sharper.

    Attributes
    ----------
    known : Prices
        The symbol's own closes, as far as the service has collected them.
    others : OtherSymbols
        Of other symbols; looked through only where the window is not among ``known``.
    symbol_named : bool
        Whether the caller named the symbol. Without that, "not this symbol's closes" is no more
        than ``regime``.
    level_known : bool
        Whether levels compare: whether ``known`` is of the model's price basis, and recent enough
        that its adjusted levels were not rewritten since.
    as_of : datetime64[D]
        Date of the window's last close.
    sessions : array of datetime64[D], shape (n,)
        Date of each close, as it was sent: perhaps not in order.
    volume : array, shape (n,)
        What was traded on each day, in any unit.
    calendar : SessionTable
        Of the symbol's exchange.
    """

    known: Prices | None = None
    others: OtherSymbols | None = None
    symbol_named: bool = True
    level_known: bool = True
    as_of: np.datetime64 | None = None
    sessions: Dates | None = None
    volume: FloatArray | None = None
    calendar: SessionTable | None = None

    @property
    def last_session(self) -> np.datetime64 | None:
        """The date that the caller gives the newest close."""
        if self.sessions is not None:
            return np.datetime64(self.sessions.max(), "D")
        return self.as_of
