"""The look-ahead check: cut the data at t, and nothing before t may change.

It runs on the bundle's own data before publication, and its outcome is in the manifest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from closecast.dataset import (
    FLOOR_SHARE,
    Examples,
    Processed,
    Split,
    log_returns,
    long_run_volatility,
    make_examples,
    split_by_share,
    standardise,
)
from closecast.evaluation import roll
from closecast.forecasters import Predictor
from closecast.intervals import Calibration
from closecast.prices import Prices

CUTS = 8


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """What was compared, and whether all of it was equal."""

    passed: bool
    cuts: tuple[str, ...]
    compared_origins: int
    failures: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return asdict(self)


def check_leaks(
    prices: Prices,
    split: Split,
    train_size: float,
    processed: Processed,
    predictor: Predictor,
    calibration: Calibration,
    seed: int,
) -> LeakCheck:
    """Look for anything before a cut that depends on something after it.

    At each of eight random cuts: features, forecasts (also with history) and the split are
    made again from the data up to the cut, and from data whose future is replaced by noise;
    they must equal what was processed from the whole data, bit for bit. The purge between the
    parts, the rows that the volatility's floor was learned from and the number of those that
    calibration saw are checked as well. What ``fit`` did is not made again here: it was never
    given the test part.

    Parameters
    ----------
    train_size : float
        The share that the split was made with.
    processed : Processed
        What the preprocessing step really wrote.
    """
    rng = np.random.default_rng(seed)
    length, horizon = predictor.seq_length, predictor.horizon
    failures: list[str] = []

    def compare(what: str, cut: str, left: object, right: object) -> None:
        if not np.array_equal(np.asarray(left), np.asarray(right)):
            failures.append(f"{what} before {cut} depend on what came after")

    cuts = np.sort(rng.integers(length + horizon, len(prices), size=CUTS))
    compared = 0
    for cut in cuts:
        day = str(prices.sessions[cut - 1])
        noise = prices.closes[cut:] * np.exp(rng.normal(0, 0.5, len(prices) - cut))
        changed = Prices(
            prices.symbol,
            prices.sessions,
            np.concatenate([prices.closes[:cut], np.clip(noise, 1e-6, 1e9)]),
            prices.source,
            prices.basis,
        )
        for what, other in (("features", prices.rows(0, int(cut))), ("noisy features", changed)):
            again = make_examples(other, length, horizon)
            n = int(cut) - length - horizon + 1
            compared += n
            x, v = standardise(again.windows[:n], processed.floor)
            compare(what, day, x, processed.inputs[:n])
            compare("volatilities", day, v, processed.volatility[:n])
            compare("targets", day, again.targets[:n], processed.targets[:n])
        near = slice(max(0, int(cut) - length - horizon - 8), int(cut) - length + 1)
        # Without calibration, which would replace the predictor's own quantiles; what it makes
        # of a location and a scale depends on nothing else.
        of_whole, of_changed = (
            roll(predictor, None, _windows(p, length, near), p.closes) for p in (prices, changed)
        )
        for part in ("location", "scale", "quantiles"):
            compare("forecasts", day, getattr(of_whole, part), getattr(of_changed, part))
        moved = split_by_share(changed, train_size, length, horizon)
        for name in ("train", "valid", "test"):
            compare("splits", day, getattr(moved, name).sessions, getattr(split, name).sessions)
    if processed.floor != FLOOR_SHARE * long_run_volatility(log_returns(split.train.closes)):
        failures.append("the floor under the volatility was not learned from training alone")
    failures += _boundary_failures(prices, split, predictor, calibration)
    days = tuple(str(prices.sessions[cut - 1]) for cut in cuts)
    return LeakCheck(not failures, days, compared, tuple(failures))


def _boundary_failures(
    prices: Prices, split: Split, predictor: Predictor, calibration: Calibration
) -> list[str]:
    failures = []
    length, horizon = predictor.seq_length, predictor.horizon
    for earlier, later in ((split.train, split.valid), (split.valid, split.test)):
        ends = [earlier.sessions[-1], later.sessions[0]]
        last, first = (int(row) for row in np.searchsorted(prices.sessions, ends))
        last_origin, first_origin = last - horizon, first + length - 1
        if first_origin - last_origin < length + horizon:
            failures.append(f"fewer than {length + horizon} rows of purge at {later.sessions[0]}")
    if sum(len(part) for part in (split.train, split.valid, split.test)) != len(prices):
        failures.append("the parts are not the data")
    available = len(split.valid) - length - horizon + 1
    if calibration.scores.shape[1] > available:
        failures.append(
            f"calibration used more than the {available} origins of the validation part"
        )
    return failures


def _windows(prices: Prices, length: int, origins: slice) -> Examples:
    """Windows alone, also those whose targets are not known yet (their targets are empty)."""
    rows = np.arange(origins.start, origins.stop) + length - 1
    windows = np.stack([prices.closes[row - length + 1 : row + 1] for row in rows])
    return Examples(rows, windows, np.empty((len(rows), 0)))
