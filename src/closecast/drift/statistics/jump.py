"""Moves of the size of a unit error or of a split that was not adjusted for."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.drift.features import WindowFeatures
from closecast.drift.statistics.base import Cause, Statistic

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

_LN_10 = float(np.log(10))
_LOGS = np.array(list(SPLITS.values()))
_NAMES = list(SPLITS)
_DAYS_MOVE = 4.0  # volatilities that the session itself may have added to the ratio
_NEWS_MOVE = 0.1  # of LLY, MRK and BBY on days of news; crashes are seldom near 2:1
_MOST_DAYS_MOVE = 0.15  # AAPL rose by 0.09 on the day of its split of 2000-06-21
LEAST_JUMP = float(_LOGS[0]) - _MOST_DAYS_MOVE
_UNSURE = 0.58  # a split of 3:2 is no larger than some crashes are
_UNSURE_COST = 7 / 12


class Jump(Statistic):
    """Largest move of the size of a split or of a unit, in volatilities of the days around it.

    Moves of other sizes count as 0, because the market can make them.
    """

    key = "jump"
    channel = "fault"
    name = "move like a split's or a unit's, over the volatility around it"
    weights = 0.15, 0.15
    least_threshold = 7.0

    def measure(self, reading: WindowFeatures) -> FloatArray:
        return np.asarray(_scores(reading).max(axis=1))

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        largest = int(_scores(reading)[i].argmax())
        scale = float(reading.around_one[i, largest])
        back = _way_back(reading.returns[i], largest, scale)
        row = largest if back is None else min(largest, back)
        move = float(reading.returns[i, row])
        facts: dict[str, int | float | str] = {"move": _percent(move), "times": round(value, 1)}
        ratio = like_split(move, scale)
        if back is not None and abs(largest - back) == 1 and abs(move) < UNITS:
            return Cause("spike", row + 1, facts)
        if ratio is None or back is not None:
            return Cause("unit_error", row + 1, {**facts, "factor": _factor(move)})
        # A real fall by half looks the same; only the volume would distinguish them.
        return Cause("split", row + 1, {**facts, "ratio": ratio}, alternatives=("shock",))


class Shock(Statistic):
    """Largest move over the volatility just before it."""

    key = "shock"
    channel = "regime"
    name = "largest move over the volatility before it"
    weights = 0.012, 0.02

    def measure(self, reading: WindowFeatures) -> FloatArray:
        return np.asarray(np.abs(reading.standardised).max(axis=1))

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        row = int(np.abs(reading.standardised[i]).argmax())
        move = _percent(float(reading.returns[i, row]))
        return Cause("shock", row + 1, {"move": move, "times": round(value, 1)})


def like_split(move: float, scale: float) -> str | None:
    """The ratio of a split that a log return looks like, new shares for old; ``None`` if none.

    >>> like_split(-0.71, 0.02), like_split(0.69, 0.02), like_split(-0.55, 0.01)
    ('2:1', '1:2', None)
    """
    distances = np.abs(_LOGS - abs(move))
    nearest = int(distances.argmin())
    if distances[nearest] > _tolerance(scale, abs(move)):
        return None
    name = _NAMES[nearest]
    return name if move < 0 else ":".join(reversed(name.split(":")))


def like_unit(move: float, scale: float) -> str | None:
    """The power of ten, from 100 up, that a log return looks like.

    >>> like_unit(4.6, 0.02), like_unit(-6.9, 0.02), like_unit(2.3, 0.02)
    ('100', '1/1000', None)
    """
    power = round(abs(move) / _LN_10)
    if power < 2 or abs(abs(move) - power * _LN_10) > _tolerance(scale, abs(move)):
        return None
    return _factor(move)


def _scores(reading: WindowFeatures) -> FloatArray:
    sizes, around = reading.sizes, reading.around_one
    scores = np.zeros_like(sizes)
    if sizes.max() < LEAST_JUMP:
        return scores
    for i, j in np.argwhere(sizes > LEAST_JUMP):
        size, scale = float(sizes[i, j]), float(around[i, j])
        if size > UNITS or like_split(size, scale) is not None:
            scores[i, j] = size / scale * (1.0 if size > _UNSURE else _UNSURE_COST)
    return scores


def _tolerance(scale: float, size: float) -> float:
    """Largest distance of a move from a ratio: the move of the session, larger with news."""
    least = _NEWS_MOVE if size > _UNSURE else _DAYS_MOVE * scale
    return min(max(_DAYS_MOVE * scale, least), _MOST_DAYS_MOVE)


def _way_back(returns: FloatArray, row: int, scale: float) -> int | None:
    """Row of a move that reverses the given one, if there is one."""
    size = abs(float(returns[row]))
    undoing = np.abs(returns + returns[row]) <= max(0.2 * size, _tolerance(scale, size))
    found = np.flatnonzero(undoing)
    return int(found[np.abs(found - row).argmin()]) if len(found) else None


def _percent(log_return: float) -> float:
    return round(100 * float(np.expm1(log_return)), 1)


def _factor(log_return: float) -> str:
    """Factor of a unit in words: a power of ten if it is near one, else rounded.

    >>> _factor(4.6), _factor(-6.9), _factor(3.4)
    ('100', '1/1000', '30')
    """
    decimal = 10.0 ** round(abs(log_return) / _LN_10)
    near = abs(abs(log_return) - np.log(decimal)) < 3 * _MOST_DAYS_MOVE
    value = decimal if near else round(float(np.exp(abs(log_return))))
    return f"{value:g}" if log_return > 0 else f"1/{value:g}"
