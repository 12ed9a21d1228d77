"""Prices in sentences: a coin keeps its digits, and no price has an exponent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.prices import MAX_PRICE, MIN_PRICE
from closecast.core.shown_prices import price_text
from closecast.errors import InvalidPrices
from closecast.serving.snapshot import _refuse_impossible


@pytest.mark.parametrize(
    ("price", "shown"),
    [
        (0.00001234, "0.00001234"),
        (0.000012345678, "0.0000123457"),
        (0.0789, "0.0789"),
        (1.083412345, "1.08341"),
        (33.333333333, "33.3333"),
        (201.0, "201"),
        (94211.6251, "94211.63"),
        (1234567.891, "1234567.89"),
        (0.0, "0"),
        (-3.0, "-3"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_a_price_is_rounded_by_its_size(price: float, shown: str) -> None:
    assert price_text(price) == shown


@given(st.floats(MIN_PRICE, MAX_PRICE))
def test_every_close_is_written_out_and_stays_what_it_is(price: float) -> None:
    text = price_text(price)
    assert "e" not in text
    assert float(text) == pytest.approx(price, rel=1e-5)


def test_bounds_in_a_message_are_written_out() -> None:
    with pytest.raises(InvalidPrices) as caught:
        _refuse_impossible(np.array([1.0, 0.0]))
    assert "element 1 is 0; a close lies between 0.000000001 and 1000000000000" in str(caught.value)
