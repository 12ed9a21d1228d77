"""The sample that ships with the package."""

from __future__ import annotations

import pytest

from closecast.settings import Settings
from closecast.sources import make_source
from closecast.sources.sample import SampleSource
from tests.contracts.price_source import LONG_AFTER, PriceSourceContract


class TestSampleContract(PriceSourceContract):
    basis = "adjusted"

    @pytest.fixture
    def source(self) -> SampleSource:
        return SampleSource()

    @pytest.fixture
    def symbol(self) -> str:
        return "MSFT"


def test_twenty_symbols_over_the_same_sessions() -> None:
    source = make_source("sample", Settings(_env_file=None))
    symbols = source.symbols()
    assert symbols is not None
    assert len(symbols) == len(set(symbols)) == 20
    spans = {source.fetch(symbol, now=LONG_AFTER).span for symbol in symbols}
    assert spans == {("2005-01-03", "2022-12-28")}


@pytest.mark.parametrize("symbol", ["MSFT", "AAPL"])
def test_no_session_is_missing(symbol: str) -> None:
    notes = SampleSource().fetch(symbol, now=LONG_AFTER).notes
    assert not [note for note in notes if note.rule == "missing_sessions"]
