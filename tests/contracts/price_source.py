"""What every price source must do. Subclass it in the source's own tests, name the two fixtures."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from closecast.core.prices import Basis
from closecast.core.symbols import canonical
from closecast.errors import ClosecastError, NoPrices, TooFewCloses, UnknownSymbol
from closecast.sources import SOURCES, PriceSource

LONG_AFTER = datetime(2026, 1, 1, tzinfo=UTC)
"""A moment at which every bar of the test data is finished."""


class PriceSourceContract:
    """The checks. ``symbol`` needs closes of ten sessions or more before 2026, none in May 1999.

    A source that has closes of every symbol refuses one whose exchange is unknown:
    ``unknown_symbol = "MSFT.QQ"``, ``unknown_error = InvalidSymbol``.
    """

    unknown_symbol = "NOSUCH"
    unknown_error: type[ClosecastError] | tuple[type[ClosecastError], ...] = (
        UnknownSymbol,
        NoPrices,
    )
    basis: Basis

    @pytest.fixture
    def source(self) -> PriceSource:
        raise NotImplementedError("a source that knows `symbol`")

    @pytest.fixture
    def symbol(self) -> str:
        raise NotImplementedError("a symbol that the source knows")

    def test_is_registered_under_its_name(self, source: PriceSource) -> None:
        assert SOURCES[source.name].source() is type(source)

    def test_says_where_prices_come_from(self, source: PriceSource, symbol: str) -> None:
        prices = source.fetch(symbol, now=LONG_AFTER)
        assert (prices.source, prices.basis) == (source.name, self.basis)

    def test_takes_any_spelling_and_answers_the_canonical_one(
        self, source: PriceSource, symbol: str
    ) -> None:
        prices = source.fetch(f" {symbol.lower()} ", now=LONG_AFTER)
        assert prices.symbol == canonical(symbol)
        assert prices == source.fetch(canonical(symbol), now=LONG_AFTER)

    def test_sessions_increase_and_closes_are_positive(
        self, source: PriceSource, symbol: str
    ) -> None:
        prices = source.fetch(symbol, now=LONG_AFTER)
        assert len(prices) >= 10
        assert prices.sessions.dtype == np.dtype("datetime64[D]")
        assert (np.diff(prices.sessions) > np.timedelta64(0, "D")).all()
        assert prices.closes.dtype == np.float64
        assert (np.isfinite(prices.closes) & (prices.closes > 0)).all()

    def test_arrays_are_read_only(self, source: PriceSource, symbol: str) -> None:
        prices = source.fetch(symbol, now=LONG_AFTER)
        for array in (prices.sessions, prices.closes):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = array[1]

    def test_start_and_end_are_included(self, source: PriceSource, symbol: str) -> None:
        every = source.fetch(symbol, now=LONG_AFTER)
        start, end = every.sessions[3].item(), every.sessions[7].item()
        for asked, expected in (
            ((start, end), slice(3, 8)),
            ((start, None), slice(3, None)),
            ((None, end), slice(None, 8)),
            ((start, start), slice(3, 4)),
        ):
            prices = source.fetch(symbol, *asked, now=LONG_AFTER)
            assert prices.sessions.tolist() == every.sessions[expected].tolist(), asked
            assert prices.closes.tolist() == every.closes[expected].tolist(), asked

    def test_same_call_same_prices(self, source: PriceSource, symbol: str) -> None:
        first, second = (source.fetch(symbol, now=LONG_AFTER) for _ in range(2))
        assert first.content_hash == second.content_hash

    def test_unknown_symbol(self, source: PriceSource) -> None:
        with pytest.raises(self.unknown_error, match=self.unknown_symbol):
            source.fetch(self.unknown_symbol, now=LONG_AFTER)

    def test_span_without_a_bar(self, source: PriceSource, symbol: str) -> None:
        with pytest.raises((NoPrices, TooFewCloses), match=canonical(symbol)):
            source.fetch(symbol, date(1999, 5, 3), date(1999, 5, 7), now=LONG_AFTER)

    def test_start_after_end(self, source: PriceSource, symbol: str) -> None:
        with pytest.raises(TooFewCloses, match="2022-03-02 is after end 2022-03-01"):
            source.fetch(symbol, date(2022, 3, 2), date(2022, 3, 1), now=LONG_AFTER)

    def test_unfinished_bars_are_left_out_and_named(self, source: PriceSource, symbol: str) -> None:
        every = source.fetch(symbol, now=LONG_AFTER)
        last: date = every.sessions[-1].item()
        morning = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(hours=6)
        prices = source.fetch(symbol, now=morning)
        assert prices.sessions.tolist() == every.sessions[:-1].tolist()
        assert (str(last), "unfinished_bar") in [(note.date, note.rule) for note in prices.notes]

    def test_every_row_left_out_is_named(self, source: PriceSource, symbol: str) -> None:
        prices = source.fetch(symbol, now=LONG_AFTER)
        rows = source.read(canonical(symbol), None, None)
        left_out = set(rows.dates.astype(str)) - set(prices.sessions.astype(str))
        assert left_out <= {note.date for note in prices.notes}

    def test_lists_symbols_it_can_fetch_or_none(self, source: PriceSource, symbol: str) -> None:
        listed = source.symbols()
        if listed is not None:
            assert canonical(symbol) in listed
            assert list(listed) == [canonical(name) for name in listed]
