"""Prices as people are shown them: rounded, on pages, in tables and in sentences."""

from __future__ import annotations

import math

_DECIMALS = 2
_DIGITS = 6


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
