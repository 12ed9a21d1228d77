"""The live states of a bundle's symbols as one file that executes nothing on load."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from zipfile import BadZipFile

import numpy as np

from closecast.errors import DamagedBundle
from closecast.intervals.live import LiveState


def dump_states(states: Mapping[str, LiveState]) -> bytes:
    """All states, exact; read one with :func:`load_state`."""
    arrays = {
        f"{symbol}/{i:02}": np.frombuffer(part, np.uint8)
        for symbol, state in sorted(states.items())
        for i, part in enumerate(state.to_parts())
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def load_state(content: bytes, symbol: str) -> LiveState:
    """The state of one symbol.

    Raises
    ------
    DamagedBundle
        If there is none, or the file is something else.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            names = sorted(name for name in file.files if name.startswith(f"{symbol}/"))
            parts = [file[name].tobytes() for name in names]
    except (ValueError, EOFError, OSError, BadZipFile, zlib.error) as error:
        raise DamagedBundle(f"the calibration states cannot be read: {error}") from error
    if not parts:
        raise DamagedBundle(f"there is no calibration state of {symbol}")
    return LiveState.from_parts(parts)
