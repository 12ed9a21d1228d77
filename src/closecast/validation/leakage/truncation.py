"""Checks at random days: data without a future, or with another, give the same results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from closecast.calibration import AdaptiveState, PanelMember, follow
from closecast.core.forecast import Forecast
from closecast.core.prices import Prices
from closecast.core.progress import FractionWatch, ignore_fraction
from closecast.forecasters import Predictor
from closecast.validation.leakage.evidence import LeakEvidence, LeakFindings
from closecast.validation.leakage.scores import check_realised

_AROUND = 8  # origins before a cut whose forecasts are compared
_RECENT = 250  # sessions before a cut of which rows are compared
_LIVE_DAYS = 30  # days of live calibration that are compared
_FUTURE = 40  # sessions of noise after a cut: more would only cost time


def check_cuts(
    evidence: LeakEvidence,
    findings: LeakFindings,
    rng: np.random.Generator,
    cuts: int,
    watch: FractionWatch = ignore_fraction,
) -> tuple[tuple[str, ...], int]:
    """Compare rows and forecasts up to random days, computed with and without another future.

    Returns
    -------
    days, origins
        The days at which the data were cut, and the number of rows compared.
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
        compared += _check_training_rows(evidence, day, changed, findings)
        pairs = [
            (now, noisy)
            for now, noisy in zip(known, changed, strict=True)
            if len(now) >= predictor.seq_length
        ]
        live = i in (0, cuts // 2, cuts - 1)
        _check_forecasts(predictor, pairs, _LIVE_DAYS if live else _AROUND, findings, live=live)
    return tuple(str(day) for day in chosen), compared


def _check_training_rows(
    evidence: LeakEvidence, day: np.datetime64, changed: Sequence[Prices], findings: LeakFindings
) -> int:
    """Compare the forecaster's own rows of series that differ only after the day.

    Inputs up to the day have to be the same bits, and targets that lie before it.

    Returns
    -------
    int
        Number of rows compared.
    """
    length, horizon = evidence.predictor.seq_length, evidence.predictor.horizon
    train, pasts, real, noisy = [], [], [], []
    for split, other in zip(evidence.splits, changed, strict=True):
        past = int(np.searchsorted(other.sessions, day, side="right"))
        start = max(0, past - _RECENT)
        if len(other) - start >= length + horizon:
            train.append(split.train)
            pasts.append(past - start)
            real.append(evidence.closes_of(split).rows(start, len(other)))
            noisy.append(other.rows(start, None))
    views = [evidence.forecaster.training_rows(series, train) for series in (real, noisy)]
    compared = 0
    for view in views[0]:
        rows = zip(views[0][view], views[1][view], strict=True)
        for past, prices, (one, altered) in zip(pasts, real, rows, strict=True):
            known = max(past - length + 1, 0)  # rows whose origin is no later than the day
            realised = max(known - horizon, 0)  # of them those whose targets are not either
            compared += realised
            for check, name, n in (
                ("features", "inputs", known),
                ("features", "volatility", known),
                ("targets", "targets", realised),
            ):
                arrays = getattr(one, name), getattr(altered, name)
                findings.expect(
                    arrays[0] is None or np.array_equal(arrays[0][:n], arrays[1][:n]),
                    check,
                    prices.symbol,
                    f"up to {day} depend on what came after",
                )
    return compared


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
    # From the latest start on: where others have gaps, the changed series has one forecast more.
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
