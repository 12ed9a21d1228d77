"""Ratios of splits and units, and the log returns that look like one."""

from __future__ import annotations

import numpy as np

SPLITS = {
    name: float(np.log(ratio))
    for name, ratio in (
        *(("3:2", 1.5), ("2:1", 2), ("5:2", 2.5), ("3:1", 3), ("4:1", 4), ("5:1", 5), ("6:1", 6)),
        *(("7:1", 7), ("8:1", 8), ("10:1", 10), ("12:1", 12), ("15:1", 15), ("20:1", 20)),
        *(("25:1", 25), ("30:1", 30), ("40:1", 40), ("50:1", 50)),
    )
}
"""Ratios in use, as log returns. Smaller ones (such as 5:4) cannot be distinguished from news."""

UNITS = float(np.log(15))
"""Log return beyond which a move cannot be news of any kind."""

LEAST_CLEAR = 0.58
"""Log return from which a move is at least as large as that of a split 2:1, with what the session
itself adds; crashes of single stocks are seldom that large."""

_LN_10 = float(np.log(10))
_LOGS = np.array(list(SPLITS.values()))
_NAMES = list(SPLITS)
_DAYS_MOVE = 4.0  # volatilities that the session itself may have added to the ratio
_NEWS_MOVE = 0.1  # of LLY, MRK and BBY on days of news
_MOST_DAYS_MOVE = 0.15  # AAPL rose by 0.09 on the day of its split of 2000-06-21


def nearest_split(move: float) -> tuple[str, float]:
    """The ratio nearest to a log return, new shares for old, and its distance in log returns.

    >>> nearest_split(-0.7), nearest_split(0.6)
    (('2:1', 0.0069), ('1:2', 0.0931))
    """
    distances = np.abs(_LOGS - abs(move))
    nearest = int(distances.argmin())
    name = _NAMES[nearest]
    ratio = name if move < 0 else ":".join(reversed(name.split(":")))
    return ratio, round(float(distances[nearest]), 4)


def like_split(move: float, scale: float) -> str | None:
    """The ratio of a split that a log return looks like, new shares for old; ``None`` if none.

    >>> like_split(-0.71, 0.02), like_split(0.69, 0.02), like_split(-0.55, 0.01)
    ('2:1', '1:2', None)
    """
    ratio, distance = nearest_split(move)
    return ratio if distance <= tolerance(scale, abs(move)) else None


def like_unit(move: float, scale: float) -> str | None:
    """The power of ten, from 100 up, that a log return looks like.

    >>> like_unit(4.6, 0.02), like_unit(-6.9, 0.02), like_unit(2.3, 0.02)
    ('100', '1/1000', None)
    """
    power = round(abs(move) / _LN_10)
    if power < 2 or abs(abs(move) - power * _LN_10) > tolerance(scale, abs(move)):
        return None
    return factor_of(move)


def tolerance(scale: float, size: float) -> float:
    """Largest distance of a move from a ratio: the move of the session, larger with news."""
    least = _NEWS_MOVE if size > LEAST_CLEAR else _DAYS_MOVE * scale
    return min(max(_DAYS_MOVE * scale, least), _MOST_DAYS_MOVE)


def factor_of(log_return: float) -> str:
    """Factor of a unit in words: a power of ten if it is near one, else rounded.

    >>> factor_of(4.6), factor_of(-6.9), factor_of(3.4)
    ('100', '1/1000', '30')
    """
    decimal = 10.0 ** round(abs(log_return) / _LN_10)
    near = abs(abs(log_return) - np.log(decimal)) < 3 * _MOST_DAYS_MOVE
    value = decimal if near else round(float(np.exp(abs(log_return))))
    return f"{value:g}" if log_return > 0 else f"1/{value:g}"
