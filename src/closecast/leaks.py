"""The look-ahead check: cut the data at t, and nothing before t may change.

It runs on the bundle's own data before publication, and its outcome is in the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from closecast.dataset import (
    FLOOR_SHARE,
    Processed,
    Split,
    log_returns,
    long_run_volatility,
    make_examples,
    split_panel,
    standardise,
)
from closecast.forecasters import Predictor
from closecast.intervals import Calibration, Member, follow
from closecast.prices import Prices

CUTS = 8
_AROUND = 8  # origins before a cut whose forecasts are compared
_LIVE_DAYS = 30  # days of live calibration that are compared
_FUTURE = 40  # sessions of noise after a cut: more would only cost time


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
    processed: Sequence[Processed],
    splits: Sequence[Split],
    train_size: float,
    predictor: Predictor,
    calibrations: Mapping[str, Calibration],
    seed: int,
) -> LeakCheck:
    """Look for anything before a cut that depends on something after it.

    At each of eight random days: features, forecasts from windows, forecasts with history, live
    calibration and the split are made again from the data up to the day, and from data whose
    future is replaced by noise; they must equal each other, and what was processed from the whole
    data, bit for bit. The purge between the parts, the rows that the volatility's floor was learned
    from and the number of those that calibration saw are checked as well. What ``fit`` did is
    not made again here: it was never given the test part.

    Parameters
    ----------
    processed : sequence of Processed
        What the preprocessing step really wrote, one per split.
    train_size : float
        The share that the splits were made with.
    """
    rng = np.random.default_rng(seed)
    length, horizon = predictor.seq_length, predictor.horizon
    whole = [split.whole for split in splits]
    failures: list[str] = []

    def compare(what: str, day: object, left: object, right: object) -> None:
        if not np.array_equal(np.asarray(left), np.asarray(right)):
            failures.append(f"{what} before {day} depend on what came after")

    days = whole[0].sessions
    cuts = np.sort(rng.integers(length + horizon, len(days), size=CUTS))
    compared = 0
    for i, cut in enumerate(cuts):
        day = days[cut - 1]
        known = [_until(prices, day) for prices in whole]
        changed = [_with_noise(prices, day, rng) for prices in whole]
        for one, written, now, noisy in zip(whole, processed, known, changed, strict=True):
            n = len(now) - length - horizon + 1
            if n <= 0:
                continue
            for what, other in (("features", now), ("noisy features", noisy)):
                again = make_examples(other, length, horizon)
                compared += n
                x, v = standardise(again.windows[:n], written.floor)
                compare(f"{what} of {one.symbol}", day, x, written.inputs[:n])
                compare("volatilities", day, v, written.volatility[:n])
                compare("targets", day, again.targets[:n], written.targets[:n])
        pairs = [
            (now, noisy) for now, noisy in zip(known, changed, strict=True) if len(now) >= length
        ]
        if pairs:
            live = i in (0, CUTS // 2, CUTS - 1)
            _compare_forecasts(predictor, pairs, day, compare, live=live)
        moved, _ = split_panel(
            [_with_noise(prices, day, rng, whole=True) for prices in whole],
            train_size,
            length,
            horizon,
        )
        for again_split, split in zip(moved, splits, strict=True):
            for name in ("train", "valid", "test"):
                compare(
                    "splits",
                    day,
                    getattr(again_split, name).sessions,
                    getattr(split, name).sessions,
                )
    for split, written in zip(splits, processed, strict=True):
        if written.floor != FLOOR_SHARE * long_run_volatility(log_returns(split.train.closes)):
            failures.append("the floor under the volatility was not learned from training alone")
        failures += _boundary_failures(split, predictor, calibrations[split.test.symbol])
    return LeakCheck(not failures, tuple(str(days[c - 1]) for c in cuts), compared, tuple(failures))


def _compare_forecasts(
    predictor: Predictor,
    pairs: Sequence[tuple[Prices, Prices]],
    day: np.datetime64,
    compare: Any,
    *,
    live: bool,
) -> None:
    """Forecasts up to the day, from the closes up to it and from those with another future."""
    known, changed = [now for now, _ in pairs], [noisy for _, noisy in pairs]
    newest = _LIVE_DAYS if live else _AROUND
    extra = max(len(noisy) - len(now) for now, noisy in pairs)
    along = predictor.predict_along(known, newest)
    along_changed = predictor.predict_along(changed, newest + extra)
    for (now, noisy), one, other in zip(pairs, along, along_changed, strict=True):
        rows = len(one.location)
        stop = len(other.location) - (len(noisy) - len(now))
        for part in ("location", "scale", "quantiles"):
            what = f"forecasts of {now.symbol} with history"
            compare(what, day, getattr(one, part), getattr(other, part)[stop - rows : stop])
        closes = (
            now.closes[-predictor.seq_length :],
            noisy.closes[: len(now)][-predictor.seq_length :],
        )
        first, second = (predictor.predict(window) for window in closes)
        compare(f"forecasts of {now.symbol}", day, first.quantiles, second.quantiles)
    if live:
        start = min(now.sessions[-len(f.location)] for now, f in zip(known, along, strict=True))
        states = []
        for series, forecasts in ((known, along), (changed, along_changed)):
            members = [Member(p, f) for p, f in zip(series, forecasts, strict=True)]
            newest_states: dict[str, tuple[bytes, ...]] = {}
            for today, after in follow(members, start):
                if today <= day:
                    newest_states |= {s: state.to_parts() for s, state in after.items()}
            states.append(newest_states)
        compare("live calibration", day, states[0] == states[1], True)


def _until(prices: Prices, day: np.datetime64) -> Prices:
    return prices.rows(0, int(np.searchsorted(prices.sessions, day, side="right")))


def _with_noise(
    prices: Prices, day: np.datetime64, rng: np.random.Generator, *, whole: bool = False
) -> Prices:
    """The same closes up to the day, and others after it (a few, or as many as there were)."""
    cut = int(np.searchsorted(prices.sessions, day, side="right"))
    stop = len(prices) if whole else min(len(prices), cut + _FUTURE)
    noise = prices.closes[cut:stop] * np.exp(rng.normal(0, 0.5, stop - cut))
    return Prices(
        prices.symbol,
        prices.sessions[:stop],
        np.concatenate([prices.closes[:cut], np.clip(noise, 1e-6, 1e9)]),
        prices.source,
        prices.basis,
    )


def _boundary_failures(split: Split, predictor: Predictor, calibration: Calibration) -> list[str]:
    failures = []
    length, horizon = predictor.seq_length, predictor.horizon
    sessions = split.whole.sessions
    for earlier, later in ((split.train, split.valid), (split.valid, split.test)):
        ends = [earlier.sessions[-1], later.sessions[0]]
        last, first = (int(row) for row in np.searchsorted(sessions, ends))
        last_origin, first_origin = last - horizon, first + length - 1
        if first_origin - last_origin < length + horizon:
            failures.append(f"fewer than {length + horizon} rows of purge at {later.sessions[0]}")
    available = len(split.valid) - length - horizon + 1
    if calibration.scores.shape[1] > available:
        failures.append(
            f"calibration used more than the {available} origins of the validation part"
        )
    return failures
