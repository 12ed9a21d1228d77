"""Short histories: the largest window and horizon that a few closes can train, judge and calibrate.

The three parts of a split never share a row (see :class:`closecast.core.dataset.Split`), so each
needs a window, a horizon and some origins of its own. Only the *number* of closes decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from closecast.core.dataset import LEAST_JUDGED

SHORT_HISTORY = "short_history"
"""Name of the note in a training's report that says how few closes changed its sizes."""

LEAST_TRAIN_SHARE = 0.3
MOST_VALID_SHARE = 0.5

_SIZES = ((60, 10, 20), (40, 10, 20), (20, 10, 20), (20, 5, 20), (10, 5, 20), (10, 1, LEAST_JUDGED))
"""Window, steps, and origins to judge by at least; tried in this order."""


@dataclass(frozen=True, slots=True)
class ShortHistory:
    """Sizes of a model that a short history allows.

    Attributes
    ----------
    seq_length, horizon : int
        Closes of a window, and sessions ahead.
    train_size, valid_size : float
        Shares of the rows to learn from and to calibrate by; the rest judges.
    """

    seq_length: int
    horizon: int
    train_size: float
    valid_size: float


def fit_short_history(rows: int, seq_length: int, horizon: int, scores: int) -> ShortHistory | None:
    """Choose the largest sizes that a number of closes allows; ``None`` if it allows none.

    Parameters
    ----------
    rows : int
        Closes.
    seq_length, horizon : int
        Sizes that were asked for; none is exceeded.
    scores : int
        Past errors that the calibration needs.

    Examples
    --------
    >>> fit_short_history(300, 60, 10, 39)
    ShortHistory(seq_length=60, horizon=10, train_size=0.3, valid_size=0.3838)
    >>> fit_short_history(100, 60, 10, 39)
    ShortHistory(seq_length=10, horizon=1, train_size=0.3, valid_size=0.5)
    >>> fit_short_history(90, 60, 10, 39) is None
    True
    """
    for window, steps, judged in _SIZES:
        found = _sized(rows, min(window, seq_length), min(steps, horizon), scores, judged)
        if found is not None:
            return found
    return None


def least_closes(seq_length: int, horizon: int, scores: int) -> int:
    """Count the closes without which no model can be made.

    >>> least_closes(60, 10, 39)
    98
    """
    rows = 1
    while fit_short_history(rows, seq_length, horizon, scores) is None:
        rows += 1
    return rows


def _sized(
    rows: int, seq_length: int, horizon: int, scores: int, judged: int
) -> ShortHistory | None:
    around = seq_length + horizon - 1
    valid, test = around + scores, around + judged
    share = round((1 - LEAST_TRAIN_SHARE) * valid / (valid + test), 4)
    share = min(share, MOST_VALID_SHARE)
    first = int(rows * LEAST_TRAIN_SHARE)
    second = first + int(rows * share)
    parts = (first, second - first, rows - second)
    needed = (around + LEAST_JUDGED, valid, test)
    if any(part < least for part, least in zip(parts, needed, strict=True)):
        return None
    return ShortHistory(seq_length, horizon, LEAST_TRAIN_SHARE, share)
