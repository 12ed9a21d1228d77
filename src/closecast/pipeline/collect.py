"""Step 1: fetch closes and keep them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date

from joblib import Parallel, delayed

from closecast.core.calendars import session_table
from closecast.core.prices import Prices
from closecast.core.symbols import canonical, exchange_of
from closecast.errors import ClosecastError, PriceProblem
from closecast.pipeline.known_closes import remember_closes
from closecast.pipeline.workspace import Workspace
from closecast.settings import Settings
from closecast.sources import make_source, source_edition
from closecast.sources.calendar_cache import CalendarCache

log = logging.getLogger(__name__)


def collect(
    settings: Settings,
    symbol: str,
    source: str | None = None,
    start: date | None = None,
    end: date | None = None,
    *,
    for_steps: bool = True,
) -> Prices:
    """Fetch one symbol's closes and keep them.

    Parameters
    ----------
    source : str, optional
        Name of a source (``file:URL`` for a file); the setting's by default.
    start, end : date, optional
        Both included.
    for_steps : bool
        Also hand them to the next steps of a training; else only forecasts start from them, and
        a training that runs keeps those that it has.

    Raises
    ------
    InvalidPrices, NoPrices, UnknownSymbol, SourceUnavailable, StorageFailed
    """
    name = source or settings.source
    edition = source_edition(name, settings, canonical(symbol)) if end is None else None
    prices = make_source(name, settings).fetch(symbol, start, end)
    for rule, notes in _by_rule(prices).items():  # a line per rule, not one per row
        more = f"; and {len(notes) - 1:,} more, the last: {notes[-1]}" if len(notes) > 1 else ""
        log.log(
            logging.INFO if rule == "read_as" else logging.WARNING,
            "closes read" if rule == "read_as" else "remarkable closes",
            extra={"symbol": prices.symbol, "rule": rule, "note": f"{notes[0]}{more}"},
        )
    calendars = CalendarCache(settings.data_dir / "calendars")
    calendars.put(session_table(exchange_of(prices.symbol)))
    workspace = Workspace(settings, [prices.symbol])
    if for_steps:
        workspace.put_prices(prices, edition)
    else:
        remember_closes(workspace.cache, prices, edition)
    return prices


def _by_rule(prices: Prices) -> dict[str, list[PriceProblem]]:
    found: dict[str, list[PriceProblem]] = {}
    for note in prices.notes:
        found.setdefault(note.rule, []).append(note)
    return found


def collect_many(
    settings: Settings,
    symbols: Sequence[str],
    source: str | None = None,
    start: date | None = None,
    end: date | None = None,
    *,
    for_steps: bool = True,
) -> list[Prices | ClosecastError]:
    """:func:`collect` for several symbols at once; one that fails does not stop the others."""

    def attempt(symbol: str) -> Prices | ClosecastError:
        try:
            return collect(settings, symbol, source, start, end, for_steps=for_steps)
        except ClosecastError as error:
            return error

    workers = min(8, len(symbols))  # waiting for a network, not computing
    return list(Parallel(workers, prefer="threads")(delayed(attempt)(s) for s in symbols))
