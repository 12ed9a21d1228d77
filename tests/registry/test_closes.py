"""The closes in a bundle: exact, and those of its manifest or none."""

from __future__ import annotations

import io

import numpy as np
import pytest

from closecast.core.prices import Prices
from closecast.errors import DamagedBundle
from closecast.registry.closes import dump_closes, load_closes
from closecast.registry.documents import DataSpan
from tests.support.synthetic_prices import garch

SERIES = [garch(50, seed=1, symbol="^GSPC"), garch(40, seed=2, symbol="VALE3.SA")]


def span(prices: Prices) -> DataSpan:
    first, last = prices.span
    return DataSpan(
        symbol=prices.symbol,
        source=prices.source,
        basis=prices.basis,
        first_session=first,
        last_session=last,
        closes=len(prices),
        content_hash=prices.content_hash,
        valid_start=first,
        test_start=last,
    )


def test_they_come_back_to_the_last_bit() -> None:
    found = load_closes(dump_closes(SERIES), [span(prices) for prices in SERIES])
    for prices, again in zip(SERIES, found, strict=True):
        assert again.content_hash == prices.content_hash
        assert (again.source, again.basis) == (prices.source, prices.basis)
        assert again.closes.tobytes() == prices.closes.tobytes()


def test_series_too_short_to_learn_from_come_along() -> None:
    found = load_closes(dump_closes(SERIES), [span(SERIES[1])])
    assert [prices.symbol for prices in found] == ["^GSPC", "VALE3.SA"]


def test_the_same_closes_are_the_same_bytes() -> None:
    assert dump_closes(SERIES) == dump_closes(SERIES)


@pytest.mark.parametrize("stored", [SERIES[:1], [SERIES[0], SERIES[1].rows(0, 39)], []])
def test_other_closes_than_the_manifest_names_are_refused(stored: list[Prices]) -> None:
    with pytest.raises(DamagedBundle, match=r"the 40 closes of VALE3\.SA"):
        load_closes(dump_closes(stored), [span(SERIES[1])])


def test_one_altered_close_is_refused() -> None:
    closes = SERIES[0].closes.copy()
    closes[7] = np.nextafter(closes[7], 0)
    altered = Prices("^GSPC", SERIES[0].sessions, closes, "made", SERIES[0].basis)
    with pytest.raises(DamagedBundle, match="GSPC"):
        load_closes(dump_closes([altered]), [span(SERIES[0])])


def test_a_file_of_something_else_is_refused() -> None:
    pickled = io.BytesIO()
    np.savez(pickled, **{"A/about": np.array([{}], dtype=object)})  # type: ignore[arg-type]
    whole = dump_closes(SERIES)
    for content in (b"", b"PK\x03\x04", whole[: len(whole) // 2], pickled.getvalue()):
        with pytest.raises(DamagedBundle, match="cannot be read"):
            load_closes(content, [])
