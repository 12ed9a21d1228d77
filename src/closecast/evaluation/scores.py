"""Scores of models on the same rows, beside those of the naive forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from closecast.calibration import SplitConformal
from closecast.core.arrays import FloatArray
from closecast.core.dataset import Examples, Split, log_returns, make_examples
from closecast.core.forecast import Forecast
from closecast.core.progress import FractionWatch, ignore_fraction, part
from closecast.evaluation.rolling import HistoryForecasts, ScoredModel, roll, roll_with_history
from closecast.forecasters import REFERENCE, Predictor
from closecast.forecasters.shrunk import without_shrinkage
from closecast.metrics.scores import coverage, crps_from_quantiles, mase, point_scores
from closecast.metrics.significance import diebold_mariano

Mode = Literal["window only", "with history", "as trained"]
MODES: tuple[Mode, ...] = ("window only", "with history")
"""The modes that are served, and that the gate judges."""

AS_TRAINED: Mode = "as trained"
"""The point forecast before its location was shrunk, with the quantiles of its own law."""

_HISTORY_SHARE = 0.9
"""Share of the time of an evaluation that the forecasts with history take."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one forecaster at one step, or over all of them, beside the naive ones.

    Units: ``mape`` in per cent, ``mae`` and ``rmse`` in price, ``mse`` in price squared, ``crps``
    in log return.
    ``relative_mae`` and ``crps_ratio`` are ours over naive's on the same rows: below 1 is
    better. ``p_mae`` and ``p_crps`` are two-sided Diebold-Mariano p-values of that difference.
    """

    mape: float
    naive_mape: float
    mae: float
    naive_mae: float
    mse: float
    naive_mse: float
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

    def as_trained(self, forecaster: str) -> Row:
        """A forecaster's scores before shrinkage; where nothing was shrunk, from windows alone."""
        rows = {row.mode: row for row in self.rows if row.forecaster == forecaster}
        return rows.get(AS_TRAINED) or rows["window only"]

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Losses:
    """Losses of a model by origin; the scores of a row are their means.

    Attributes
    ----------
    sessions : array of datetime64[D], shape (n,)
        Origins, oldest first.
    crps, absolute_error : arrays, shape (n, steps)
        In log return and in price; NaN where the model has learned from the origin's window.
    """

    sessions: NDArray[np.datetime64]
    crps: FloatArray
    absolute_error: FloatArray


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """Evaluations, losses and forecasts with history of several scored models.

    Attributes
    ----------
    evaluations : mapping of symbol to Evaluation
        With rows "window only" and "with history" per contender, and a row "as trained" where its
        location was shrunk; a champion has no such row. A contender that has learned from some of
        the rows has none.
    followed : list of (HistoryForecasts or None)
        Per contender its forecasts with history; None where it has none.
    losses : mapping of symbol to mapping of (name, mode) to Losses
        All of one symbol on the same rows.
    """

    evaluations: Mapping[str, Evaluation]
    followed: list[HistoryForecasts | None]
    losses: Mapping[str, Mapping[tuple[str, Mode], Losses]]


def evaluate(
    split: Split,
    naive: Predictor,
    contenders: Sequence[tuple[Predictor, SplitConformal | None]],
) -> Evaluation:
    """Score contenders on one series; see :func:`evaluate_panel`."""
    symbol = split.test.symbol
    found = evaluate_panel(
        [split],
        {symbol: naive},
        [
            ScoredModel({symbol: p}, {} if calibration is None else {symbol: calibration})
            for p, calibration in contenders
        ],
    )
    return found.evaluations[symbol]


def evaluate_panel(
    splits: Sequence[Split],
    naive: Mapping[str, Predictor],
    contenders: Sequence[ScoredModel],
    watch: FractionWatch = ignore_fraction,
) -> EvaluationResult:
    """Score contenders on the test parts, all on the same rows of a symbol.

    Parameters
    ----------
    splits : sequence of Split
        One per symbol; no ``test`` has been used for anything so far.
    naive : mapping of symbol to Predictor
        The reference: last close, constant Gaussian. Its window length and horizon decide
        which rows are origins; a contender of a shorter horizon is scored on its steps.
    contenders : sequence of ScoredModel
        Several may bear one name where their symbols differ.
    watch : callable
        Receives the fraction that is done, 0 to 1; may raise to stop.
    """
    sample = next(iter(naive.values()))
    shape = sample.seq_length, sample.horizon
    followed: list[HistoryForecasts | None] = [None] * len(contenders)
    with_history = [i for i, contender in enumerate(contenders) if contender.with_history]
    share = _HISTORY_SHARE / max(len(with_history), 1)
    for done, i in enumerate(with_history):
        followed[i] = roll_with_history(
            splits, contenders[i], shape, part(watch, share * done, share * (done + 1))
        )
    evaluations, losses = {}, {}
    for done, split in enumerate(splits):
        watch(_HISTORY_SHARE + (1 - _HISTORY_SHARE) * done / len(splits))
        symbol = split.test.symbol
        examples = make_examples(split.test, *shape)
        base = roll(naive[symbol], None, examples)
        rows = [_score(REFERENCE, "window only", base, base, examples, split)]
        found: dict[tuple[str, Mode], Losses] = {
            (REFERENCE, "window only"): _losses(base, examples, split)
        }
        for contender, live in zip(contenders, followed, strict=True):
            if symbol not in contender.predictors:
                continue
            name, predictor = contender.name, contender.predictors[symbol]
            calibration = contender.calibrations.get(symbol)
            forecasts: dict[Mode, Forecast] = {
                "window only": roll(predictor, calibration, examples, split)
            }
            if live is not None:
                forecasts["with history"] = live.forecasts[symbol]
            fresh = _never_seen(contender, predictor, examples, split)
            for mode, forecast in forecasts.items():
                # A candidate called naive does not take the place of the reference.
                found.setdefault((name, mode), _losses(forecast, examples, split, fresh))
                if fresh.all():
                    rows.append(_score(name, mode, forecast, base, examples, split))
            own = without_shrinkage(predictor)
            if own is not predictor and not contender.label and fresh.all():
                raw = roll(own, None, examples, split)
                rows.append(_score(name, AS_TRAINED, raw, base, examples, split))
        sessions = split.test.sessions[examples.origins]
        first, last = str(sessions[0]), str(sessions[-1])
        evaluations[symbol] = Evaluation(symbol, len(examples), first, last, tuple(rows))
        losses[symbol] = found
    return EvaluationResult(evaluations, followed, losses)


def _never_seen(
    contender: ScoredModel, predictor: Predictor, examples: Examples, split: Split
) -> NDArray[np.bool_]:
    """Origins whose window no part of the contender has learned from, as a mask."""
    since = contender.judged_from.get(split.test.symbol)
    if since is None:
        return np.ones(len(examples), dtype=bool)
    before = len(split.train) + len(split.valid)
    starts = before + examples.origins - predictor.seq_length + 1
    return np.asarray(split.whole.sessions[np.maximum(starts, 0)] >= since)


def _losses(
    forecast: Forecast,
    examples: Examples,
    split: Split,
    fresh: NDArray[np.bool_] | None = None,
) -> Losses:
    steps = min(forecast.horizon, examples.targets.shape[1])
    crps = crps_from_quantiles(
        examples.targets[:, :steps], forecast.quantiles[:, :steps], forecast.probabilities
    )
    error = np.abs(examples.future_closes[:, :steps] - forecast.price[:, :steps])
    if fresh is not None:
        crps, error = (np.where(fresh[:, None], loss, np.nan) for loss in (crps, error))
    return Losses(split.test.sessions[examples.origins], crps, error)


def _score(
    name: str, mode: Mode, forecast: Forecast, naive: Forecast, examples: Examples, split: Split
) -> Row:
    horizon = min(forecast.horizon, naive.horizon)
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
