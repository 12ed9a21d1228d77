"""``Prices``: what was. Closes of one symbol with their sessions, checked once, never changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import Dates, Floats, read_only
from closecast.core.shown_prices import price_text
from closecast.core.symbols import canonical
from closecast.errors import InvalidPrices, PriceProblem, TooFewCloses

MIN_PRICE, MAX_PRICE = 1e-9, 1e12
"""Bounds of a believable close; within them no growth of a forecast overflows a double."""

UNIT_RATIO = 15.0
"""A close this many times the one before it, or one such part of it, is in another unit where a
later close leads back: no share or coin moves so far within a session and returns. The largest
genuine there-and-back moves in the 20 sample stocks stay below 1.3."""

Basis = Literal["raw", "adjusted", "unknown"]
"""Price basis: restated for splits and dividends or not. Levels compare only on one basis."""


@dataclass(frozen=True, eq=False)
class Prices:
    """Closes of one symbol, oldest first.

    Attributes
    ----------
    symbol : str
        Canonical symbol.
    sessions : array of datetime64[D], shape (n,)
        Strictly increasing.
    closes : array of float64, shape (n,)
        Positive, finite, in the symbol's currency, read-only.
    source : str
        Name of the source they came from.
    basis : {"raw", "adjusted", "unknown"}
        Price basis.
    notes : tuple of PriceProblem
        What the source dropped or found remarkable; never an error.

    Raises
    ------
    InvalidPrices
        If any close breaks a rule; all offences are listed.
    """

    symbol: str
    sessions: Dates
    closes: Floats
    source: str
    basis: Basis = "unknown"
    notes: tuple[PriceProblem, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbol", canonical(self.symbol))
        object.__setattr__(self, "sessions", read_only(self.sessions, "datetime64[D]"))
        object.__setattr__(self, "closes", read_only(self.closes))
        object.__setattr__(self, "notes", tuple(self.notes))
        if problems := list(find_problems(self.sessions, self.closes)):
            raise InvalidPrices(
                f"{self.symbol} from {self.source}",
                problems,
                "Correct these rows, or choose a span without them (start, end).",
            )

    def __len__(self) -> int:
        return len(self.closes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prices) and self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over symbol, basis, sessions and closes (not over source and notes)."""
        digest = hashlib.sha256(f"{self.symbol}|{self.basis}|".encode())
        digest.update(self.sessions.astype("<i8").tobytes())
        digest.update(self.closes.astype("<f8").tobytes())
        return digest.hexdigest()

    @cached_property
    def log_closes(self) -> NDArray[np.float64]:
        """Natural logarithms of the closes, shape (n,)."""
        return read_only(np.log(self.closes))

    @property
    def span(self) -> tuple[str, str]:
        """First and last session, ISO dates."""
        return str(self.sessions[0]), str(self.sessions[-1])

    def rows(self, start: int | None, stop: int | None) -> Prices:
        """The rows ``[start:stop]`` as prices of their own."""
        return replace(self, sessions=self.sessions[start:stop], closes=self.closes[start:stop])

    def between(self, start: object = None, end: object = None) -> Prices:
        """The rows from ``start`` to ``end`` (dates, both included, ``None`` is open).

        Raises
        ------
        TooFewCloses
            If no row is left.
        """
        low = (
            0
            if start is None
            else int(np.searchsorted(self.sessions, np.datetime64(str(start), "D")))
        )
        high = (
            len(self)
            if end is None
            else int(np.searchsorted(self.sessions, np.datetime64(str(end), "D"), side="right"))
        )
        if low >= high:
            first, last = self.span
            raise TooFewCloses(
                f"{self.symbol}: no close between {start} and {end}; "
                f"{self.source} has {first} to {last}"
            )
        return self.rows(low, high)


def find_problems(
    sessions: NDArray[np.datetime64], closes: NDArray[np.float64]
) -> Iterator[PriceProblem]:
    """Every offence against the rules of :class:`Prices`, in row order by rule.

    Rules: ``shape``, ``empty``, ``not_finite``, ``not_positive``, ``out_of_bounds``,
    ``missing_date``, ``duplicate``, ``unsorted``.
    """
    if sessions.ndim != 1 or sessions.shape != closes.shape:
        yield PriceProblem("shape", f"{sessions.shape} sessions for {closes.shape} closes")
        return
    if not len(closes):
        yield PriceProblem("empty", "no closes at all")
        return
    for i in np.flatnonzero(~(np.isfinite(closes) & (closes >= MIN_PRICE) & (closes <= MAX_PRICE))):
        value = float(closes[i])
        if not np.isfinite(value):
            rule, text = "not_finite", f"close {value} is not a finite number"
        elif value <= 0:
            rule, text = "not_positive", f"close {price_text(value)} is not positive"
        else:
            rule, text = (
                "out_of_bounds",
                f"close {price_text(value)} is outside {price_text(MIN_PRICE)} to "
                f"{price_text(MAX_PRICE)}",
            )
        yield PriceProblem(rule, text, str(sessions[i]), value if np.isfinite(value) else None)
    for i in np.flatnonzero(np.isnat(sessions)):
        yield PriceProblem("missing_date", f"row {i} has no date", None, float(closes[i]))
    dated = ~np.isnat(sessions)
    step = np.diff(sessions).astype("int64")
    for i in np.flatnonzero((step <= 0) & dated[1:] & dated[:-1]) + 1:
        day, close = str(sessions[i]), float(closes[i])
        if sessions[i] == sessions[i - 1]:
            yield PriceProblem("duplicate", "the date appears twice", day, close)
        else:
            yield PriceProblem(
                "unsorted", f"comes after {sessions[i - 1]}; sort by date, oldest first", day, close
            )
