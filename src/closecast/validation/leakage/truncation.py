"""Everything once more at random days, from data without a future and from data with another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from closecast.calibration import AdaptiveState, PanelMember, follow
from closecast.core.dataset import Processed, make_examples, standardise
from closecast.core.forecast import Forecast
from closecast.core.prices import Prices
from closecast.core.progress import FractionWatch, ignore_fraction
from closecast.forecasters import Predictor
from closecast.validation.leakage.evidence import LeakEvidence, LeakFindings
from closecast.validation.leakage.scores import check_realised

_AROUND = 8  # origins before a cut whose forecasts are compared
_LIVE_DAYS = 30  # days of live calibration that are compared
_FUTURE = 40  # sessions of noise after a cut: more would only cost time


def check_cuts(
    evidence: LeakEvidence,
    findings: LeakFindings,
    rng: np.random.Generator,
    cuts: int,
    watch: FractionWatch = ignore_fraction,
) -> tuple[tuple[str, ...], int]:
    """Compare what is said of the past at random days, whatever comes after them.

    Returns
    -------
    days, origins
        Where was cut, and how many rows were compared.
    """
    predictor = evidence.predictor
    needed = predictor.seq_length + predictor.horizon
    whole = [evidence.closes_of(split) for split in evidence.splits]
    days = np.unique(np.concatenate([prices.sessions[needed:] for prices in whole]))
    chosen = np.sort(rng.choice(days, size=min(cuts, len(days)), replace=False))
    compared = 0
    for i, day in enumerate(chosen):
        watch(i / len(chosen))
        known = [_until(prices, day) for prices in whole]
        changed = [_with_noise(prices, day, rng) for prices in whole]
        for written, now, noisy in zip(evidence.processed, known, changed, strict=True):
            compared += _check_features(written, now, noisy, predictor, findings)
        pairs = [
            (now, noisy)
            for now, noisy in zip(known, changed, strict=True)
            if len(now) >= predictor.seq_length
        ]
        live = i in (0, cuts // 2, cuts - 1)
        _check_forecasts(predictor, pairs, _LIVE_DAYS if live else _AROUND, findings, live=live)
    return tuple(str(day) for day in chosen), compared


def _check_features(
    written: Processed, now: Prices, noisy: Prices, predictor: Predictor, findings: LeakFindings
) -> int:
    """Inputs up to the day, also where the closes right after it are others; targets before it."""
    length, horizon = predictor.seq_length, predictor.horizon
    rows = len(now) - length + 1  # origins up to the day
    told = max(rows - horizon, 0)  # of them those whose targets are known
    for prices, n in ((now, told), (noisy, min(rows, len(noisy) - length - horizon + 1))):
        if n <= 0:
            continue
        again = make_examples(prices, length, horizon)
        inputs, volatility = standardise(again.windows[:n], written.floor)
        findings.expect(
            np.array_equal(inputs, written.inputs[:n])
            and np.array_equal(volatility, written.volatility[:n]),
            "features",
            now.symbol,
            f"up to {now.sessions[-1]} depend on what came after",
        )
        findings.expect(
            np.array_equal(again.targets[:told], written.targets[:told]),
            "targets",
            now.symbol,
            f"up to {now.sessions[-1]} depend on what came after",
        )
    return told


def _check_forecasts(
    predictor: Predictor,
    pairs: Sequence[tuple[Prices, Prices]],
    newest: int,
    findings: LeakFindings,
    *,
    live: bool,
) -> None:
    """Forecasts up to the day, from the closes up to it and from those with another future."""
    known, changed = [now for now, _ in pairs], [noisy for _, noisy in pairs]
    extra = max(len(noisy) - len(now) for now, noisy in pairs)
    along = predictor.predict_along(known, newest)
    along_changed = predictor.predict_along(changed, newest + extra)
    for (now, noisy), one, other in zip(pairs, along, along_changed, strict=True):
        rows = len(one.location)
        stop = len(other.location) - (len(noisy) - len(now))
        window = noisy.closes[: len(now)][-predictor.seq_length :]
        first = predictor.predict(now.closes[-predictor.seq_length :])
        for what, left, right in (
            ("with history", one, other[stop - rows : stop]),
            ("from windows", first, predictor.predict(window)),
        ):
            findings.expect(
                _same(left, right),
                "forecasts",
                now.symbol,
                f"{what} up to {now.sessions[-1]} depend on what came after",
            )
    if live:
        _check_live(
            [PanelMember(p, f) for p, f in zip(known, along, strict=True)],
            [PanelMember(p, f) for p, f in zip(changed, along_changed, strict=True)],
            findings,
        )


def _same(left: Forecast, right: Forecast) -> bool:
    """Bit for bit."""
    return all(
        np.array_equal(getattr(left, part), getattr(right, part))
        for part in ("last_close", "location", "scale", "quantiles")
    )


def _check_live(
    known: Sequence[PanelMember], changed: Sequence[PanelMember], findings: LeakFindings
) -> None:
    """Live states as of the day are the same bytes, and hold nothing that was yet to come."""
    # From the latest beginning on: where others have gaps, one more is said of the changed series.
    start = max(member.prices.sessions[member.first] for member in known)
    day = max(member.prices.sessions[-1] for member in known)
    first, second = (_states(members, start, day) for members in (known, changed))
    prices = {member.prices.symbol: member.prices for member in known}
    for symbol, state in first.items():
        check_realised(state, prices[symbol], findings)
        findings.expect(
            symbol in second and second[symbol].to_parts() == state.to_parts(),
            "live calibration",
            symbol,
            f"as of {day} depends on what came after",
        )


def _states(
    members: Sequence[PanelMember], start: np.datetime64, day: np.datetime64
) -> dict[str, AdaptiveState]:
    """The newest state of each symbol as of a day."""
    newest: dict[str, AdaptiveState] = {}
    for today, after in follow(members, start):
        if today > day:
            break
        newest |= after
    return newest


def _until(prices: Prices, day: np.datetime64) -> Prices:
    return prices.rows(0, max(1, int(np.searchsorted(prices.sessions, day, side="right"))))


def _with_noise(prices: Prices, day: np.datetime64, rng: np.random.Generator) -> Prices:
    """The same closes up to the day, and a few others after it."""
    cut = int(np.searchsorted(prices.sessions, day, side="right"))
    stop = min(len(prices), cut + _FUTURE)
    noise = prices.closes[cut:stop] * np.exp(rng.normal(0, 0.5, stop - cut))
    return Prices(
        prices.symbol,
        prices.sessions[:stop],
        np.concatenate([prices.closes[:cut], np.clip(noise, 1e-6, 1e9)]),
        prices.source,
        prices.basis,
    )
