"""Prices as people are shown them: rounded, on pages, in tables and in sentences."""

from __future__ import annotations

import math

_DECIMALS = 2
_DIGITS = 6
_WRITTEN_OUT = 1e-12, 1e15
"""Beyond these a number is no price, and its zeros would fill a line."""


def rounded_price(price: float) -> float:
    """Round a price to two decimals, or to six significant digits where that keeps more.

    Answers in JSON are never rounded: a replay compares them bit for bit.

    >>> rounded_price(0.1 + 0.2), rounded_price(233.43399047851562), rounded_price(1.0831549)
    (0.3, 233.434, 1.08315)
    >>> rounded_price(94211.6251), rounded_price(0.0000123456789)
    (94211.63, 1.23457e-05)
    """
    if not price or not math.isfinite(price):
        return price
    magnitude = math.floor(math.log10(abs(price)))
    return round(price, max(_DECIMALS, _DIGITS - 1 - magnitude))


def price_text(price: float) -> str:
    """Write a price for people: rounded, without an exponent, without zeros that say nothing.

    >>> price_text(0.00001234), price_text(67012.349), price_text(1234567.0), price_text(201.0)
    ('0.00001234', '67012.35', '1234567', '201')
    >>> price_text(-3.5), price_text(1e-9), price_text(1e30)
    ('-3.5', '0.000000001', '1e+30')
    """
    if not price or not _WRITTEN_OUT[0] <= abs(price) <= _WRITTEN_OUT[1]:
        return f"{price:g}"
    decimals = max(_DECIMALS, _DIGITS - 1 - math.floor(math.log10(abs(price))))
    return f"{price:.{decimals}f}".rstrip("0").rstrip(".")
