"""The sample that ships with the package."""

from __future__ import annotations

import pytest

from closecast.errors import UnknownName
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


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("prices/KO.csv", "file:prices/{symbol}.csv"),
        ("https://host/p", "'file:' before it"),
        ("sample:daily", "'sample' has no variant 'daily'"),
        ("yaho", "did you mean 'yahoo'?"),
    ],
)
def test_a_name_that_is_no_source_says_how_one_is_written(name: str, named: str) -> None:
    with pytest.raises(UnknownName) as caught:
        make_source(name, Settings(_env_file=None))
    assert named in str(caught.value)
    assert "file:URL" in str(caught.value)
