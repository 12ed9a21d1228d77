"""The closes that the interval benchmarks run over: several symbols on one calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.sources.sample import SampleSource

BoolArray = NDArray[np.bool_]

Bounds = tuple[FloatArray, FloatArray]
"""Lower and upper bound of the next session's log return, each of shape (T, S).

Row ``t`` is said after the close of session ``t`` and speaks of session ``t + 1``. An infinite
set is (-inf, inf), an empty one (nan, nan); a column of nan throughout was not computed.
"""


@dataclass(frozen=True, eq=False)
class Panel:
    """Closes of several symbols, all on the same sessions.

    Attributes
    ----------
    symbols : tuple of str, length S
    sessions : array of dates, shape (T,)
        Session of each row of returns: after its close the row is known.
    log_closes : array, shape (T + 1, S)
        Row ``t + 1`` is the close of ``sessions[t]``.
    """

    symbols: tuple[str, ...]
    sessions: NDArray[np.datetime64]
    log_closes: FloatArray

    @property
    def returns(self) -> FloatArray:
        """Log returns, shape (T, S)."""
        return np.diff(self.log_closes, axis=0)

    def origins(self, first: str, last: str) -> NDArray[np.int64]:
        """Rows whose *next* session lies within ``first`` .. ``last`` (ISO dates, inclusive)."""
        ahead = self.sessions[1:]
        inside = (ahead >= np.datetime64(first)) & (ahead <= np.datetime64(last))
        return np.flatnonzero(inside)

    def future_returns(self, horizon: int) -> FloatArray:
        """Log return over the next 1 .. ``horizon`` sessions, (T, S, horizon); nan at the end."""
        future = np.full((*self.returns.shape, horizon), np.nan)
        rows = len(future)
        for h in range(1, horizon + 1):
            future[: rows - h, :, h - 1] = (
                self.log_closes[1 + h :] - self.log_closes[1 : rows + 1 - h]
            )
        return future


def sample_panel(symbols: Sequence[str] = ()) -> Panel:
    """The symbols of the sample source (all of them by default), from its first session on."""
    source = SampleSource()
    names = tuple(symbols) or source.symbols()
    rows = [source.read(name, None, None) for name in names]
    log_closes = np.log(np.stack([r.closes for r in rows], axis=1))
    return Panel(names, rows[0].dates[1:], log_closes)
