"""Evaluation on rows nobody learned from, with the naive forecast beside everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from closecast.dataset import Examples, Split, log_returns, make_examples
from closecast.forecast import PROBABILITIES, Forecast, stack
from closecast.forecasters import Predictor
from closecast.intervals import MEMORY, Calibration, LiveState, Member, follow
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


@dataclass(frozen=True, slots=True)
class Contender:
    """What is scored: one predictor per symbol (the same one where it is pooled).

    Attributes
    ----------
    predictors : mapping of symbol to Predictor
    calibrations : mapping of symbol to Calibration
        Of the "window only" row; where one is missing the predictor's own quantiles stand.
    with_history : bool
        Whether there is a second row, with the history and live calibration.
    """

    predictors: Mapping[str, Predictor]
    calibrations: Mapping[str, Calibration]
    with_history: bool = True

    @property
    def name(self) -> str:
        """The forecaster's name."""
        return next(iter(self.predictors.values())).name


@dataclass(frozen=True, slots=True)
class Followed:
    """A contender's forecasts with history, and the calibration as of the last close.

    Attributes
    ----------
    forecasts : mapping of symbol to Forecast
        One row per origin of the test part.
    states : mapping of symbol to LiveState
        Having absorbed every close of the data: where a service goes on from.
    """

    forecasts: Mapping[str, Forecast]
    states: Mapping[str, LiveState]


def roll(predictor: Predictor, calibration: Calibration | None, examples: Examples) -> Forecast:
    """Forecasts at every origin from windows alone, as they would have been served.

    Without ``calibration`` the predictor's own quantiles stand.
    """
    forecast = predictor.predict_batch(examples.windows)
    return forecast if calibration is None else calibration.apply(forecast)


def roll_with_history(splits: Sequence[Split], contender: Contender) -> Followed:
    """Forecasts at every origin with histories and live calibration, as they would be served.

    The calibration begins 750 origins and a few before the test part, so that its scores are
    full when the test begins. Early ones are of rows that the network has learned from; they are
    gone from its memory three years later.
    """
    sample = next(iter(contender.predictors.values()))
    memory = MEMORY + 2 * sample.horizon
    series: list[Member] = []
    starts = []
    for predictor in {id(p): p for p in contender.predictors.values()}.values():
        members = [s for s in splits if contender.predictors[s.test.symbol] is predictor]
        whole = [s.whole for s in members]
        first_rows = [len(w) - len(s.test) for w, s in zip(whole, members, strict=True)]
        newest = max(len(s.test) for s in members) + memory
        for prices, forecast in zip(whole, predictor.predict_along(whole, newest), strict=True):
            series.append(Member(prices, forecast))
        starts += [
            w.sessions[max(0, row - memory)] for w, row in zip(whole, first_rows, strict=True)
        ]
    tests = {s.test.symbol: s.test for s in splits}
    found: dict[str, list[Forecast]] = {symbol: [] for symbol in tests}
    states: dict[str, LiveState] = {}
    for day, after in follow(series, min(starts)):
        states |= after
        for symbol, state in after.items():
            test = tests[symbol]
            if test.sessions[sample.seq_length - 1] <= day <= test.sessions[-sample.horizon - 1]:
                found[symbol].append(state.forecast(PROBABILITIES))
    return Followed({symbol: stack(forecasts) for symbol, forecasts in found.items()}, states)


def evaluate(
    split: Split,
    naive: Predictor,
    contenders: Sequence[tuple[Predictor, Calibration | None]],
) -> Evaluation:
    """Score contenders on one series; see :func:`evaluate_panel`."""
    symbol = split.test.symbol
    [evaluation], _ = evaluate_panel(
        [split],
        {symbol: naive},
        [
            Contender({symbol: p}, {} if calibration is None else {symbol: calibration})
            for p, calibration in contenders
        ],
    )
    return evaluation


def evaluate_panel(
    splits: Sequence[Split],
    naive: Mapping[str, Predictor],
    contenders: Sequence[Contender],
) -> tuple[list[Evaluation], list[Followed | None]]:
    """Score contenders on the test parts, all on the same rows of a symbol.

    Parameters
    ----------
    splits : sequence of Split
        One per symbol; no ``test`` has been used for anything so far.
    naive : mapping of symbol to Predictor
        The reference: last close, constant Gaussian.
    contenders : sequence of Contender
        Of the same window length and horizon as ``naive``.

    Returns
    -------
    evaluations, followed
        One evaluation per split, with rows "window only" and "with history" per contender;
        and per contender what came of following it, ``None`` where it was not.
    """
    followed = [roll_with_history(splits, c) if c.with_history else None for c in contenders]
    evaluations = []
    for split in splits:
        symbol = split.test.symbol
        reference = naive[symbol]
        examples = make_examples(split.test, reference.seq_length, reference.horizon)
        base = roll(reference, None, examples)
        rows = [_score("naive", "window only", base, base, examples, split)]
        for contender, live in zip(contenders, followed, strict=True):
            name, calibration = contender.name, contender.calibrations.get(symbol)
            forecast = roll(contender.predictors[symbol], calibration, examples)
            rows.append(_score(name, "window only", forecast, base, examples, split))
            if live is not None:
                forecast = live.forecasts[symbol]
                rows.append(_score(name, "with history", forecast, base, examples, split))
        sessions = split.test.sessions[examples.origins]
        evaluations.append(
            Evaluation(symbol, len(examples), str(sessions[0]), str(sessions[-1]), tuple(rows))
        )
    return evaluations, followed


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


def summary_table(evaluations: Sequence[Evaluation], steps: Sequence[int] = (1, 5, 10)) -> str:
    """Several symbols for a terminal: means over symbols, the worst in brackets."""
    first = evaluations[0]
    lines = [
        f"{len(evaluations)} symbols ({', '.join(e.symbol for e in evaluations)}); "
        f"{sum(e.origins for e in evaluations)} origins, {first.first_origin} to "
        f"{first.last_origin}; ratios to naive = tomorrow is today, with a constant Gaussian",
        f"{'forecaster':<16}{'step':>5}{'rel. MAE (worst)':>20}{'CRPS/naive (worst)':>21}"
        f"{'cover 80 (miss)':>18}{'cover 95 (miss)':>18}{'MAPE %':>9}{'naive':>8}",
    ]
    for row in first.rows:
        label = row.forecaster if row.mode == "window only" else f"{row.forecaster} + history"
        for step in (s for s in steps if s <= len(row.steps)):
            found = [e.row(row.forecaster, row.mode).steps[step - 1] for e in evaluations]

            def column(key: str, found: Sequence[Scores] = found) -> FloatArray:
                return np.array([getattr(scores, key) for scores in found])

            mae, crps = column("relative_mae"), column("crps_ratio")
            c80, c95 = column("coverage_80"), column("coverage_95")
            lines.append(
                f"{label:<16}{step:>5}{mae.mean():>11.4f} ({mae.max():.4f})"
                f"{crps.mean():>12.4f} ({crps.max():.4f})"
                f"{c80.mean():>11.3f} ({100 * np.abs(c80 - 0.8).mean():.1f})"
                f"{c95.mean():>12.3f} ({100 * np.abs(c95 - 0.95).mean():.1f})"
                f"{column('mape').mean():>9.3f}{column('naive_mape').mean():>8.3f}"
            )
            label = ""
    return "\n".join(lines)


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
