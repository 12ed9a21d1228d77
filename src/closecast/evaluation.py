"""Evaluation on rows nobody learned from, with the naive forecast beside everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from closecast.dataset import Examples, Split, log_returns, make_examples
from closecast.forecast import Forecast
from closecast.forecasters import Predictor
from closecast.intervals import Calibration
from closecast.metrics import (
    coverage,
    crps_from_quantiles,
    diebold_mariano,
    mase,
    point_scores,
)
from closecast.prices import Prices

FloatArray = NDArray[np.float64]
Mode = Literal["window only", "with history"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one forecaster at one step, or over all of them, beside the naive ones.

    Units: ``mape`` in per cent, ``mae`` and ``rmse`` in price, ``crps`` in log return.
    ``relative_mae`` and ``crps_ratio`` are ours over naive's on the same rows: below 1 is
    better. ``p_mae`` and ``p_crps`` are two-sided Diebold-Mariano p-values of that difference.
    """

    mape: float
    naive_mape: float
    mae: float
    naive_mae: float
    rmse: float
    naive_rmse: float
    r2: float
    naive_r2: float
    relative_mae: float
    mase: float
    p_mae: float
    crps: float
    naive_crps: float
    crps_ratio: float
    p_crps: float
    coverage_80: float
    coverage_95: float


@dataclass(frozen=True, slots=True)
class Row:
    """One forecaster in one mode: scores per step (1, 2, …) and over the whole horizon."""

    forecaster: str
    mode: Mode
    overall: Scores
    steps: tuple[Scores, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Rolling-origin evaluation over every origin of the test part."""

    symbol: str
    origins: int
    first_origin: str
    last_origin: str
    rows: tuple[Row, ...]

    def row(self, forecaster: str, mode: Mode = "window only") -> Row:
        """The row of a forecaster."""
        return next(r for r in self.rows if (r.forecaster, r.mode) == (forecaster, mode))

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return asdict(self)


def calibrate(predictor: Predictor, valid: Sequence[Prices]) -> Calibration:
    """Interval state from the validation part: rows the predictor was not trained on."""
    parts = [make_examples(s, predictor.seq_length, predictor.horizon) for s in valid]
    windows = np.concatenate([part.windows for part in parts])
    targets = np.concatenate([part.targets for part in parts])
    return Calibration.from_forecasts(predictor.predict_batch(windows), targets)


def roll(
    predictor: Predictor,
    calibration: Calibration | None,
    examples: Examples,
    history: FloatArray | None = None,
    offset: int = 0,
) -> Forecast:
    """Forecasts at every origin, as they would have been served.

    Parameters
    ----------
    calibration : Calibration, optional
        Without it the predictor's own quantiles stand.
    history : array, optional
        Closes of which the examples' prices are a part. At each origin the predictor is
        given those up to the origin, no later ones.
    offset : int
        Row of ``history`` at which the examples' prices begin.
    """
    if history is None:
        forecast = predictor.predict_batch(examples.windows)
    else:
        singles = [
            predictor.predict(window, history[: offset + int(origin) + 1])
            for window, origin in zip(examples.windows, examples.origins, strict=True)
        ]
        forecast = Forecast(
            np.array([f.last_close for f in singles]),
            np.array([f.location for f in singles]),
            np.array([f.scale for f in singles]),
            singles[0].probabilities,
            np.array([f.quantiles for f in singles]),
        )
    return forecast if calibration is None else calibration.apply(forecast)


def evaluate(
    split: Split,
    naive: Predictor,
    contenders: Sequence[tuple[Predictor, Calibration | None]],
) -> Evaluation:
    """Score contenders on ``split.test``, all on the same rows.

    A contender that uses history gets a second row, "with history".

    Parameters
    ----------
    split : Split
        One series; ``test`` has been used for nothing so far.
    naive : Predictor
        The reference: last close, constant Gaussian.
    contenders : sequence of (Predictor, Calibration or None)
        Of the same window length and horizon as ``naive``.
    """
    examples = make_examples(split.test, naive.seq_length, naive.horizon)
    reference = roll(naive, None, examples)
    past = np.concatenate([split.train.closes, split.valid.closes, split.test.closes])
    offset = len(past) - len(split.test)
    rows = [_score("naive", "window only", reference, reference, examples, split)]
    for predictor, calibration in contenders:
        forecast = roll(predictor, calibration, examples)
        rows.append(_score(predictor.name, "window only", forecast, reference, examples, split))
        if predictor.uses_history:
            forecast = roll(predictor, None, examples, past, offset)
            rows.append(
                _score(predictor.name, "with history", forecast, reference, examples, split)
            )
    sessions = split.test.sessions[examples.origins]
    return Evaluation(
        split.test.symbol, len(examples), str(sessions[0]), str(sessions[-1]), tuple(rows)
    )


def _score(
    name: str, mode: Mode, forecast: Forecast, naive: Forecast, examples: Examples, split: Split
) -> Row:
    horizon = forecast.horizon
    every = [_scores_of(slice(h, h + 1), forecast, naive, examples, split) for h in range(horizon)]
    overall = _scores_of(slice(0, horizon), forecast, naive, examples, split)
    return Row(name, mode, overall, tuple(every))


def _scores_of(
    steps: slice, forecast: Forecast, naive: Forecast, examples: Examples, split: Split
) -> Scores:
    """Scores over a range of steps; tests use the mean loss of an origin over these steps."""
    actual = examples.future_closes[:, steps]
    ours, theirs = forecast.price[:, steps], naive.price[:, steps]
    points, naive_points = point_scores(actual, ours), point_scores(actual, theirs)
    error, naive_error = np.abs(actual - ours), np.abs(actual - theirs)
    targets = examples.targets[:, steps]
    crps, naive_crps = (
        crps_from_quantiles(targets, f.quantiles[:, steps], f.probabilities)
        for f in (forecast, naive)
    )
    within = {
        level: coverage(actual, *(end[:, steps] for end in forecast.interval(level)))
        for level in (0.8, 0.95)
    }
    lags = steps.stop
    return Scores(
        **points,
        **{f"naive_{key}": value for key, value in naive_points.items()},
        relative_mae=points["mae"] / naive_points["mae"] if naive_points["mae"] else 1.0,
        mase=mase(targets - forecast.location[:, steps], log_returns(split.train.closes)),
        p_mae=diebold_mariano(error.mean(1), naive_error.mean(1), lags)[1],
        crps=float(crps.mean()),
        naive_crps=float(naive_crps.mean()),
        crps_ratio=float(crps.mean() / naive_crps.mean()),
        p_crps=diebold_mariano(crps.mean(1), naive_crps.mean(1), lags)[1],
        coverage_80=within[0.8],
        coverage_95=within[0.95],
    )


_COLUMNS = (
    ("MAPE %", "mape", "{:.3f}"),
    ("naive", "naive_mape", "{:.3f}"),
    ("MAE", "mae", "{:.4g}"),
    ("RMSE", "rmse", "{:.4g}"),
    ("R²", "r2", "{:.4f}"),
    ("naive", "naive_r2", "{:.4f}"),
    ("rel. MAE", "relative_mae", "{:.4f}"),
    ("p", "p_mae", "{:.2f}"),
    ("MASE", "mase", "{:.3f}"),
    ("CRPS/naive", "crps_ratio", "{:.4f}"),
    ("p", "p_crps", "{:.2f}"),
    ("cover 80", "coverage_80", "{:.3f}"),
    ("cover 95", "coverage_95", "{:.3f}"),
)


def as_table(evaluation: Evaluation, steps: Sequence[int] = (1, 5, 10)) -> str:
    """The evaluation for a terminal: one line per forecaster, mode and step."""
    head = ["forecaster", "step", *(title for title, _, _ in _COLUMNS)]
    body = []
    for row in evaluation.rows:
        label = row.forecaster if row.mode == "window only" else f"{row.forecaster} + history"
        shown = [(str(s), row.steps[s - 1]) for s in steps if s <= len(row.steps)]
        for step, scores in [*shown, ("all", row.overall)]:
            body.append([label, step, *(f.format(getattr(scores, k)) for _, k, f in _COLUMNS)])
            label = ""
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        return "  ".join([first, *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])

    title = (
        f"{evaluation.symbol}: {evaluation.origins} origins, {evaluation.first_origin} to "
        f"{evaluation.last_origin}; naive = tomorrow is today, with a constant Gaussian"
    )
    return "\n".join([title, line(head), *map(line, body)])
