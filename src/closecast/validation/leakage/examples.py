"""Labels, inputs and calibration scores, computed again from the collected closes alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from closecast.calibration import MEMORY
from closecast.core.arrays import FloatArray
from closecast.core.dataset import EWMA_DECAYS, FLOOR_SHARE, make_examples, standardise
from closecast.core.prices import Prices
from closecast.forecasters import TrainingRows, View
from closecast.validation.leakage.evidence import (
    LeakEvidence,
    LeakFindings,
    close_to,
    labels_of,
    windows_of,
)

_ORIGINS = 64  # per symbol, at random
_ALONE = 4  # of them forecast one by one
_INPUT_LIMIT = 10.0
_BATCH_ROUNDING = 1e-4  # a network library rounds a row differently in another batch


def check_rows(evidence: LeakEvidence, findings: LeakFindings, rng: np.random.Generator) -> int:
    """Compare windows, labels, volatilities and inputs at random origins with their definitions.

    Both the rows that the forecaster learned from, on the training parts, and the functions that
    all forecasters and the evaluation cut and standardise rows with, on all closes.

    Returns
    -------
    int
        Number of origins compared.
    """
    length, horizon = evidence.predictor.seq_length, evidence.predictor.horizon
    train = [evidence.closes_of(split).rows(0, len(split.train)) for split in evidence.splits]
    views = evidence.forecaster.training_rows(train, train)
    least = max(_long_run(part.closes) for part in train)
    compared = 0
    for i, split in enumerate(evidence.splits):
        prices = evidence.closes_of(split)
        origins = _random_origins(prices, length, horizon, rng)
        compared += len(origins)
        windows = windows_of(prices.closes, origins, length)
        _check_examples(
            prices, origins, windows, labels_of(prices.closes, origins, horizon), findings
        )
        _check_alone(evidence, windows, FLOOR_SHARE * least, prices.symbol, findings)
        origins = _random_origins(train[i], length, horizon, rng)
        compared += len(origins)
        for view, rows in views.items():
            _check_training_rows(
                train[i], origins, (length, horizon), rows[i], view, least, findings
            )
    return compared


def _random_origins(
    prices: Prices, length: int, horizon: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Some origins with a whole window before and all targets after them, and both outermost."""
    first, stop = length - 1, len(prices) - horizon
    return np.unique([first, stop - 1, *rng.integers(first, stop, _ORIGINS)])


def _check_training_rows(
    prices: Prices,
    origins: NDArray[np.int64],
    sizes: tuple[int, int],
    rows: TrainingRows,
    view: View,
    least: float,
    findings: LeakFindings,
) -> None:
    """One row per origin, the right labels, and the volatility of the view's own past."""
    symbol, (length, horizon) = prices.symbol, sizes
    n = len(prices) - length - horizon + 1
    volatility = np.full(n, np.nan) if rows.volatility is None else rows.volatility
    right = (
        len(rows.inputs) == n and volatility.shape == (n,) and rows.targets.shape == (n, horizon)
    )
    findings.expect(right, "windows", symbol, "learned from something else than a row per origin")
    if not right:
        return
    at = origins - (length - 1)
    findings.expect(
        close_to(rows.targets[at], labels_of(prices.closes, origins, horizon)),
        "labels",
        symbol,
        "are not the log returns from an origin's close to those after it",
    )
    if rows.volatility is None:
        return
    for origin, given in zip(origins, volatility[at], strict=True):
        past = (
            prices.closes[: origin + 1]
            if view == "history"
            else prices.closes[origin + 1 - length : origin + 1]
        )
        returns = np.diff(np.log(past))
        # Floors differ between forecasters; none is above this one.
        floor = FLOOR_SHARE * max(least, _long_run(past))
        findings.expect(
            np.isclose(
                max(given, floor), max(float(_volatility(returns)), floor), rtol=1e-9, atol=0
            ),
            "inputs",
            symbol,
            f"are not in units of the volatility of the {view}'s own returns",
        )


def _long_run(closes: FloatArray) -> float:
    """Mean absolute log return, scaled as for a normal law."""
    return max(float(np.abs(np.diff(np.log(closes))).mean() * np.sqrt(np.pi / 2)), 1e-6)


def _check_examples(
    prices: Prices,
    origins: NDArray[np.int64],
    windows: FloatArray,
    labels: FloatArray,
    findings: LeakFindings,
) -> None:
    """Windows and labels as forecasters and the evaluation cut them."""
    length, horizon = windows.shape[1], labels.shape[1]
    examples, rows = make_examples(prices, length, horizon), origins - (length - 1)
    findings.expect(
        np.array_equal(examples.origins, np.arange(length - 1, len(prices) - horizon))
        and np.array_equal(examples.windows[rows], windows),
        "windows",
        prices.symbol,
        f"do not hold exactly the {length} closes up to their origin",
    )
    findings.expect(
        close_to(examples.targets[rows], labels),
        "labels",
        prices.symbol,
        "are not the log returns from an origin's close to those after it",
    )


def _volatility(returns: FloatArray) -> FloatArray:
    """EWMA volatility at the end of each row, from the definition in ``ewma_volatility``."""
    age = np.arange(returns.shape[-1])[::-1]
    squares = [np.average(returns**2, axis=-1, weights=decay**age) for decay in EWMA_DECAYS]
    return np.asarray(np.mean(np.sqrt(squares), axis=0))


def _inputs(windows: FloatArray, floor: float) -> tuple[FloatArray, FloatArray]:
    """Standardised returns and volatility, from the definition in ``standardise``."""
    returns = np.diff(np.log(windows), axis=1)
    volatility = np.maximum(_volatility(returns), floor)
    inputs = np.clip(returns / volatility[:, None], -_INPUT_LIMIT, _INPUT_LIMIT)
    return inputs, volatility


def _check_alone(
    evidence: LeakEvidence, windows: FloatArray, floor: float, symbol: str, findings: LeakFindings
) -> None:
    """A window's inputs and forecast follow from it, and do not depend on other windows."""
    together, volatility = standardise(windows, floor)
    inputs, own = _inputs(windows, floor)
    findings.expect(
        close_to(volatility, own) and close_to(together, inputs),
        "inputs",
        symbol,
        "are not the returns of the window in units of the window's own volatility",
    )
    forecasts = evidence.predictor.predict_batch(windows)
    for row in np.linspace(0, len(windows) - 1, _ALONE).astype(int):
        x, v = standardise(windows[row : row + 1], floor)
        findings.expect(
            np.array_equal(x[0], together[row]) and v[0] == volatility[row],
            "inputs",
            symbol,
            "of one window depend on other windows",
        )
        alone = evidence.predictor.predict(windows[row])
        findings.expect(
            np.allclose(alone.quantiles, forecasts.quantiles[row], rtol=_BATCH_ROUNDING, atol=1e-8),
            "forecasts",
            symbol,
            "from one window depend on other windows",
        )


def check_calibrations(evidence: LeakEvidence, findings: LeakFindings) -> None:
    """The scores to be published are those of the validation part, bit for bit."""
    length, horizon = evidence.predictor.seq_length, evidence.predictor.horizon
    for split in evidence.splits:
        closes = split.valid.closes
        origins = np.arange(length - 1, len(closes) - horizon)
        forecast = evidence.predictor.predict_batch(windows_of(closes, origins, length))
        errors = (labels_of(closes, origins, horizon) - forecast.location) / forecast.scale
        findings.expect(
            np.array_equal(
                evidence.calibrations[split.test.symbol].scores, errors[-MEMORY:].T.round(6)
            ),
            "calibration",
            split.test.symbol,
            "its scores are not those of the validation part",
        )
