"""``closecast inspect``: how a file of closes is read, and why it would be refused."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from closecast.core.shown_prices import price_text
from closecast.core.symbols import canonical
from closecast.errors import ClosecastError, InvalidSymbol
from closecast.infra.redaction import redacted
from closecast.jobs.supervisor import require_training
from closecast.settings import Settings

_MOST_NOTES = 12
"""Notes that are shown; a file with a filler row on every holiday has hundreds."""


def run_inspect(arguments: argparse.Namespace, _settings: Settings) -> None:
    """Print how a file is read; exit with status 1 where it would be refused."""
    require_training()
    try:
        symbol = canonical(arguments.symbol) if arguments.symbol else None
        for name, value in _findings(arguments.file.removeprefix("file:"), symbol):
            print(redacted(f"{name:<12}{value}"))
    except ClosecastError as error:
        for name, value in getattr(error.__cause__, "seen", ()):
            print(redacted(f"{name:<12}{value}"))
        print(redacted(f"{'refused':<12}{error}"))
        sys.exit(1)


def _findings(url: str, symbol: str | None) -> Iterable[tuple[str, str]]:
    # Not at the top: the serving image has no pandas, and starts without it.
    from closecast.sources.file import FileSource, without_secrets
    from closecast.sources.tables.columns import listed

    source = FileSource(url)
    yield "file", without_secrets(url)
    reading = source.look_into(symbol)
    yield "layout", reading.layout
    yield "read with", ", ".join(reading.details) or "nothing out of the ordinary"
    if reading.symbols:
        yield "symbols", listed(reading.symbols)
    yield "dates", f"column {reading.date_column!r}"
    yield "closes", f"column {reading.close_column!r}, basis {reading.basis}"
    named = symbol or _only(reading.symbols)
    if named is None:
        yield "rows", f"{len(reading.dates)}, of {_shown(reading.symbols)}"
        for date, close in ((reading.dates[i], reading.closes[i]) for i in (0, -1)):
            yield "close", f"{price_text(close)} on {date}"
        yield "not checked", "order, calendar and units: name the symbol with --symbol"
        return
    prices = source.fetch(named)
    first, last = prices.span
    yield "rows", f"{len(prices)} of {prices.symbol}, {first} to {last}"
    yield "first close", f"{price_text(prices.closes[0])} on {first}"
    yield "last close", f"{price_text(prices.closes[-1])} on {last}"
    for note in prices.notes[:_MOST_NOTES]:
        yield "note", str(note)
    if len(prices.notes) > _MOST_NOTES:
        yield "note", f"and {len(prices.notes) - _MOST_NOTES} more"


def _only(symbols: tuple[str, ...]) -> str | None:
    if len(symbols) != 1:
        return None
    try:
        return canonical(symbols[0])
    except InvalidSymbol:
        return None


def _shown(symbols: tuple[str, ...]) -> str:
    return "the file's first symbol" if symbols else "the file, which names no symbol"
