"""Clean windows of real closes, and the faults that are put into them. Seeds are fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.calendars import session_table
from closecast.core.prices import Prices
from closecast.core.verdict import Channel, Code
from closecast.drift import Context, OtherSymbols
from closecast.sources.sample import SampleSource

Dates = NDArray[np.datetime64]
Sent = tuple[FloatArray, Dates]
"""Closes and their dates, as a caller sends them."""

LENGTH = 60
STALE_BY = 250
SEED = 5


@dataclass(frozen=True, eq=False)
class Case:
    """One window as it is sent, and what is true.

    Attributes
    ----------
    name : str
        Of the fault, or "clean".
    prices : Prices
        All true closes of the symbol.
    first : int
        Row of ``prices`` at which the window truly begins.
    closes : array, shape (60,)
        As they are sent, oldest first.
    sessions : array of datetime64[D], shape (60,)
        Their dates, as they are sent.
    channel : {"fault", "regime"}
        Where it should be found.
    causes : tuple of str
        Codes that name what is wrong; none for a clean window.
    """

    name: str
    prices: Prices
    first: int
    closes: FloatArray
    sessions: Dates
    channel: Channel = "fault"
    causes: tuple[Code, ...] = ()

    @property
    def symbol(self) -> str:
        """Whose closes these are said to be."""
        return self.prices.symbol

    @property
    def before(self) -> Prices:
        """The closes before the window."""
        return self.prices.rows(0, self.first)

    @property
    def known(self) -> Prices:
        """The true closes up to the window's end; a market that changed is the truth."""
        truth = self.prices.rows(0, self.first + LENGTH)
        if self.channel == "fault":
            return truth
        return replace(truth, closes=np.append(truth.closes[: self.first], self.closes))

    @property
    def as_of(self) -> np.datetime64:
        """Session that the newest close is said to be of."""
        return np.datetime64(self.prices.sessions[self.first + LENGTH - 1], "D")

    @property
    def year(self) -> int:
        """Of that session."""
        return int(str(self.as_of)[:4])


def clean_case(prices: Prices, first: int) -> Case:
    """The window of true closes that begins at a row."""
    rows = slice(first, first + LENGTH)
    return Case("clean", prices, first, prices.closes[rows], prices.sessions[rows])


@lru_cache(maxsize=1)
def sample_series() -> tuple[Prices, ...]:
    """The 20 symbols of the embedded sample, all on the same sessions."""
    source = SampleSource()
    return tuple(source.fetch(symbol) for symbol in source.symbols())


# --- what may be known beside the window ---------------------------------------------------


def _memory(case: Case, others: Sequence[Prices]) -> Context:
    rest = [prices for prices in others if prices.symbol != case.symbol]
    return Context(known=case.known, others=OtherSymbols(rest), as_of=case.as_of)


def _dated(case: Case, others: Sequence[Prices]) -> Context:
    return Context(sessions=case.sessions, calendar=session_table("XNYS"))


def _all(case: Case, others: Sequence[Prices]) -> Context:
    memory = _memory(case, others)
    return replace(memory, as_of=None, sessions=case.sessions, calendar=session_table("XNYS"))


KNOWN: Mapping[str, Callable[[Case, Sequence[Prices]], Context | None]] = {
    "60 closes alone": lambda case, others: None,
    "dates": _dated,
    "last close before": lambda case, others: Context(known=case.before, as_of=case.as_of),
    "memory": _memory,
    "memory and dates": _all,
}
"""Contexts by name, made of a case and of all symbols' closes.

"last close before": the symbol's closes up to the session before the window, and the date of the
window's last close. "memory": the same up to that date, and other symbols' closes.
"""


# --- faults --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """How a clean window is spoiled.

    Attributes
    ----------
    inject : callable
        Of the clean window, all symbols' closes and a generator: what is sent instead.
    """

    inject: Callable[[Case, Sequence[Prices], np.random.Generator], Sent]
    causes: tuple[Code, ...]
    channel: Channel = "fault"


def _split(ratio: float) -> Fault:
    def inject(case: Case, others: Sequence[Prices], rng: np.random.Generator) -> Sent:
        closes = case.closes.copy()
        closes[rng.integers(1, LENGTH) :] /= ratio
        return closes, case.sessions

    return Fault(inject, ("split",))


def _times_100(rows: slice) -> Fault:
    def inject(case: Case, others: Sequence[Prices], rng: np.random.Generator) -> Sent:
        closes = case.closes.copy()
        closes[rows] *= 100
        return closes, case.sessions

    return Fault(inject, ("unit_error",))


def _frozen(days: int) -> Fault:
    def inject(case: Case, others: Sequence[Prices], rng: np.random.Generator) -> Sent:
        closes = case.closes.copy()
        closes[-days:] = closes[-days - 1]
        return closes, case.sessions

    return Fault(inject, ("frozen_feed",))


def _filled(case: Case, others: Sequence[Prices], rng: np.random.Generator) -> Sent:
    """Rows for five days that had no session, each with the close before; the oldest go.

    The days are weekday holidays and Saturdays among the window's dates, drawn alike.
    """
    sessions = case.sessions[5:]
    days = np.arange(sessions[0], sessions[-1])
    days = days[~np.isin(days, sessions) & (np.is_busday(days) | np.is_busday(days - 1))]
    filled = np.sort(rng.choice(days, 5, replace=False))
    return _with_rows(case, filled)


def _with_rows(case: Case, days: Dates) -> Sent:
    """The window with a row for each of the days, each with the close before."""
    kept = slice(len(days), None)
    rows = np.searchsorted(case.sessions[kept], days, side="right")
    closes = np.insert(case.closes[kept], rows, case.closes[kept][rows - 1])
    return closes, np.insert(case.sessions[kept], rows, days)


def _duplicate(case: Case, others: Sequence[Prices], rng: np.random.Generator) -> Sent:
    return _with_rows(case, case.sessions[rng.integers(1, LENGTH)][None])


def _wrong_symbol(rescaled: bool) -> Fault:
    def inject(case: Case, others: Sequence[Prices], rng: np.random.Generator) -> Sent:
        rest = [prices for prices in others if prices.symbol != case.symbol]
        other = rest[rng.integers(len(rest))]
        first = int(np.searchsorted(other.sessions, case.sessions[0]))
        closes = other.closes[first : first + LENGTH]
        if rescaled:
            closes = closes * (case.before.closes[-1] / other.closes[first - 1])
        return closes, case.sessions

    return Fault(inject, ("wrong_symbol",))


def _spike(size: float, rows: tuple[int, int] = (1, LENGTH - 1)) -> Fault:
    """One wrong close, with one before it and one after it."""

    def inject(case: Case, others: Sequence[Prices], rng: np.random.Generator) -> Sent:
        closes = case.closes.copy()
        closes[rng.integers(*rows)] *= 1 + size * rng.choice([-1, 1])
        return closes, case.sessions

    return Fault(inject, ("spike",))


def _moved(change: Callable[[FloatArray], FloatArray], causes: tuple[Code, ...]) -> Fault:
    """The returns, changed; the first close stays."""

    def inject(case: Case, others: Sequence[Prices], rng: np.random.Generator) -> Sent:
        returns = change(np.diff(np.log(case.closes)))
        return case.closes[0] * np.exp(np.append(0.0, returns.cumsum())), case.sessions

    return Fault(inject, causes, "regime")


def _falling(returns: FloatArray) -> FloatArray:
    return np.append(returns[:-30], returns[-30:] - 0.005)


def _reversed(case: Case, others: Sequence[Prices], rng: np.random.Generator) -> Sent:
    return case.closes[::-1].copy(), case.sessions[::-1].copy()


def _stale(case: Case, others: Sequence[Prices], rng: np.random.Generator) -> Sent:
    """Old closes that are said to be today's."""
    first = case.first - STALE_BY
    return case.prices.closes[first : first + LENGTH], case.sessions


FAULTS: Mapping[str, Fault] = {
    "split 2:1": _split(2),
    "split 10:1": _split(10),
    "split 1:2": _split(1 / 2),
    "x100, whole window": _times_100(slice(None)),
    "x100, last close": _times_100(slice(-1, None)),
    "frozen, 5 still days": _frozen(5),
    "frozen, 10 still days": _frozen(10),
    "5 days filled": Fault(_filled, ("filled_days",)),
    "wrong symbol": _wrong_symbol(rescaled=False),
    "wrong symbol, rescaled": _wrong_symbol(rescaled=True),
    "spike 20 %": _spike(0.2),
    "spike 10 %": _spike(0.1),
    "volatility x2": _moved(lambda returns: 2 * returns, ("volatility_high",)),
    "volatility x3": _moved(lambda returns: 3 * returns, ("volatility_high",)),
    "-0.5 % a day, 30 days": _moved(_falling, ("trend",)),
    "reversed order": Fault(_reversed, ("reversed_order",)),
    "stale by 250": Fault(_stale, ("stale_window",)),
    "a date twice": Fault(_duplicate, ("filled_days",)),
}
"""By name; what each is called by a verdict that names the cause."""


def injected(name: str, case: Case, others: Sequence[Prices]) -> Case:
    """A clean window with a fault; the same every time.

    Parameters
    ----------
    case : Case
        Clean, and for "stale by 250" with so many closes before it.
    others : sequence of Prices
        All symbols, on the same sessions.
    """
    fault = FAULTS[name]
    seed = [SEED, case.first, crc32(name.encode()), crc32(case.symbol.encode())]
    closes, sessions = fault.inject(case, others, np.random.default_rng(seed))
    return replace(
        case,
        name=name,
        closes=closes,
        sessions=sessions,
        channel=fault.channel,
        causes=fault.causes,
    )


def every_fault(case: Case, others: Sequence[Prices]) -> Iterator[Case]:
    """A clean window with each fault, one at a time."""
    for name in FAULTS:
        yield injected(name, case, others)
