"""The closes that a bundle was made from, as one file: exact, and nothing executes on load.

Adjusted history is rewritten at its source with every dividend. To rebuild a
bundle years later the closes are needed as they were.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from closecast.core.prices import Prices
from closecast.errors import DamagedBundle
from closecast.registry.documents import CLOSES_FILE, DataSpan


def dump_closes(series: Sequence[Prices]) -> bytes:
    """All series, float64 as they are; read them with :func:`load_closes`."""
    arrays: dict[str, Any] = {}
    for prices in series:
        about = {"source": prices.source, "basis": prices.basis}
        arrays |= {
            f"{prices.symbol}/about": np.frombuffer(json.dumps(about).encode(), np.uint8),
            f"{prices.symbol}/sessions": prices.sessions.astype("<i8"),
            f"{prices.symbol}/closes": prices.closes.astype("<f8"),
        }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def load_closes(content: bytes, spans: Sequence[DataSpan]) -> list[Prices]:
    """The series in their order: those of ``spans``, and others that were too short to learn from.

    Raises
    ------
    DamagedBundle
        If the file is something else, or does not hold exactly the closes that the spans name.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            symbols = [name.removesuffix("/about") for name in file.files if name[-6:] == "/about"]
            found = [
                Prices(
                    symbol,
                    file[f"{symbol}/sessions"].astype("datetime64[D]"),
                    file[f"{symbol}/closes"],
                    **json.loads(file[f"{symbol}/about"].tobytes()),
                )
                for symbol in symbols
            ]
    except Exception as error:  # numpy's and zip's readers raise a dozen kinds on wrong bytes
        raise DamagedBundle(f"{CLOSES_FILE} cannot be read: {error!r}") from error
    hashes = {prices.symbol: prices.content_hash for prices in found}
    for span in spans:
        if hashes.get(span.symbol) != span.content_hash:
            raise DamagedBundle(
                f"{CLOSES_FILE} does not hold the {span.closes} closes of {span.symbol} that the "
                "manifest names"
            )
    return found
