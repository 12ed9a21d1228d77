"""Evidence on a large move: volume and the days after it may show news, or a split."""

from __future__ import annotations

from typing import Literal

import numpy as np

from closecast.core.arrays import FloatArray

Evidence = Literal["news", "split"]

_NEWS_VOLUME = 5.0  # times the usual; splits of AAPL and MSFT had 0.6 to 1.3, news of AAPL 22
_PER_RATIO = 2.5  # a split by itself multiplies the number of shares
_USUAL_VOLUME = 1.5  # NVDA fell by 31 % on news of 2008-07-03, half a session, at 3.8 times
_NEWS_DAYS = 4.0  # times the usual move, over the days that follow
_DAYS, _MANY_DAYS = 5, 12


def evidence_on(
    returns: FloatArray, row: int, ratio: str, volume: FloatArray | None
) -> Evidence | None:
    """Decide whether a large move was news or a split, by volume or volatility.

    Usual volume is evidence of a split, as no news of that size leaves it usual. Between the two
    limits volume is no evidence. Neither are calm days after the move.

    Parameters
    ----------
    returns : array, shape (n - 1,)
        Log returns of the window.
    row : int
        Of the close after the move.
    ratio : str
        Of the split that the move is nearest to, new shares for old.
    volume : array, shape (n,), or None

    Returns
    -------
    {"news", "split"} or None
        ``None`` if nothing decides: in closes alone, real news and a split look the same.
    """
    times = None if volume is None else _times_usual(volume, row)
    if times is not None:
        new, old = (float(part) for part in ratio.split(":"))
        if times >= max(_NEWS_VOLUME, _PER_RATIO * new / old):
            return "news"
        if times <= _USUAL_VOLUME:
            return "split"
    before, after = np.abs(returns[: row - 1]), np.abs(returns[row:])
    if min(len(before), len(after)) >= _MANY_DAYS:
        usual = float(before[-20:].mean())
        if usual > 0 and float(after[:20].mean()) >= _NEWS_DAYS * usual:
            return "news"
    return None


def _times_usual(volume: FloatArray, row: int) -> float | None:
    """Volume of a day over the median of the 20 before it; ``None`` where too few are known."""
    before = volume[max(0, row - 20) : row]
    traded = before[before > 0]
    if volume[row] <= 0 or len(traded) < _DAYS:
        return None
    return float(volume[row] / np.median(traded))
