"""Labels, inputs and scores of calibration, made again from the collected closes alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from closecast.calibration import MEMORY
from closecast.core.arrays import FloatArray
from closecast.core.dataset import EWMA_DECAYS, make_examples, standardise
from closecast.core.prices import Prices
from closecast.validation.leakage.evidence import (
    LeakEvidence,
    LeakFindings,
    close_to,
    labels_of,
    windows_of,
)

_ORIGINS = 64  # per symbol, at random
_ALONE = 4  # of them asked one by one
_INPUT_LIMIT = 10.0
_BATCH_ROUNDING = 1e-4  # a network library rounds a row differently in another batch


def check_rows(evidence: LeakEvidence, findings: LeakFindings, rng: np.random.Generator) -> int:
    """At random origins: the label, the window, the volatility and the inputs are what they say.

    Returns
    -------
    int
        Origins looked at.
    """
    length, horizon = evidence.predictor.seq_length, evidence.predictor.horizon
    compared = 0
    for split, written in zip(evidence.splits, evidence.processed, strict=True):
        prices = evidence.closes_of(split)
        symbol, n = prices.symbol, len(prices) - length - horizon + 1
        shapes = [a.shape for a in (written.inputs, written.volatility, written.targets)]
        right = shapes == [(n, length - 1), (n,), (n, horizon)]
        findings.expect(right, "windows", symbol, "not one row per origin was processed")
        if not right:
            continue
        rows = np.unique([0, n - 1, *rng.integers(0, n, _ORIGINS)])
        compared += len(rows)
        origins = rows + length - 1
        windows = windows_of(prices.closes, origins, length)
        labels = labels_of(prices.closes, origins, horizon)
        _check_examples(prices, rows, windows, labels, findings)
        findings.expect(
            close_to(written.targets[rows], labels),
            "labels",
            symbol,
            "are not the log returns from an origin's close to those after it",
        )
        inputs, volatility = _inputs(windows, written.floor)
        findings.expect(
            close_to(written.volatility[rows], volatility)
            and close_to(written.inputs[rows], inputs),
            "inputs",
            symbol,
            "are not the returns of the window in units of the window's own volatility",
        )
        _check_alone(evidence, windows, written.floor, symbol, findings)
    return compared


def _check_examples(
    prices: Prices,
    rows: NDArray[np.int64],
    windows: FloatArray,
    labels: FloatArray,
    findings: LeakFindings,
) -> None:
    """What forecasters and the evaluation cut their rows with."""
    length, horizon = windows.shape[1], labels.shape[1]
    examples = make_examples(prices, length, horizon)
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


def _inputs(windows: FloatArray, floor: float) -> tuple[FloatArray, FloatArray]:
    """Standardised returns and volatility, from the definition in ``dataset``'s docstrings."""
    returns = np.diff(np.log(windows), axis=1)
    age = np.arange(returns.shape[1])[::-1]
    squares = [np.average(returns**2, axis=1, weights=decay**age) for decay in EWMA_DECAYS]
    volatility = np.maximum(np.mean(np.sqrt(squares), axis=0), floor)
    inputs = np.clip(returns / volatility[:, None], -_INPUT_LIMIT, _INPUT_LIMIT)
    return inputs, volatility


def _check_alone(
    evidence: LeakEvidence, windows: FloatArray, floor: float, symbol: str, findings: LeakFindings
) -> None:
    """A window's inputs and forecast are the same whatever is computed beside it."""
    together, volatility = standardise(windows, floor)
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
