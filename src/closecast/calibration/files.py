"""The live states of a bundle's symbols as one file that executes nothing on load."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from closecast.calibration.adaptive import AdaptiveState
from closecast.errors import DamagedBundle


def dump_states(states: Mapping[str, AdaptiveState]) -> bytes:
    """All states, exact; read one with :func:`load_state`."""
    arrays = {
        f"{symbol}/{i:02}": np.frombuffer(part, np.uint8)
        for symbol, state in sorted(states.items())
        for i, part in enumerate(state.to_parts())
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


class StatesFile:
    """File of states by :func:`dump_states`; each state is parsed on first access.

    Raises
    ------
    DamagedBundle
        If the file is something else.
    """

    def __init__(self, content: bytes) -> None:
        self._reading = threading.Lock()  # one file position for all
        with _as_damaged():
            self._file = np.load(io.BytesIO(content), allow_pickle=False)
            self._names: dict[str, list[str]] = {}
            for name in sorted(self._file.files):
                self._names.setdefault(name.rpartition("/")[0], []).append(name)

    def get(self, symbol: str) -> AdaptiveState:
        """The state of one symbol.

        Raises
        ------
        DamagedBundle
            If there is none, or it does not parse.
        """
        if symbol not in self._names:
            raise DamagedBundle(f"there is no calibration state of {symbol}")
        with _as_damaged(), self._reading:
            parts = [self._file[name].tobytes() for name in self._names[symbol]]
        return AdaptiveState.from_parts(parts)


def load_state(content: bytes, symbol: str) -> AdaptiveState:
    """The state of one symbol: :meth:`StatesFile.get` of a file that is read once."""
    return StatesFile(content).get(symbol)


@contextmanager
def _as_damaged() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # numpy's and zip's readers raise a dozen kinds on wrong bytes
        raise DamagedBundle(f"the calibration states cannot be read: {error}") from error
