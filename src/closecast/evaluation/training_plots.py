"""Pictures of an evaluation, each with the naive forecast or the ideal in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from closecast.core.dataset import Examples
from closecast.core.forecast import Forecast
from closecast.core.prices import Prices
from closecast.evaluation import Row

if TYPE_CHECKING:  # it looks for a folder to write to as soon as it is imported
    from matplotlib.figure import Figure

_OURS, _NAIVE, _ACTUAL, _IDEAL = "#1f5fa8", "#b5651d", "#222222", "#999999"
_SHOWN = 120  # newest origins in the picture of forecasts


def draw_all(
    folder: Path,
    prices: Prices,
    examples: Examples,
    forecast: Forecast,
    row: Row,
    epochs: Sequence[Mapping[str, float]],
    best_epoch: int | None,
) -> list[Path]:
    """Write every picture that applies into ``folder``; answers their paths.

    Parameters
    ----------
    prices : Prices
        The test part, from which ``examples`` were cut.
    forecast : Forecast
        A batch: one per example.
    row : Row
        The scores of that forecast.
    epochs : sequence
        The learning curve; empty for what learns nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    title = f"{prices.symbol}, {row.forecaster}"
    figures = {
        "forecast_vs_actual.png": forecast_vs_actual(title, prices, examples, forecast),
        "error_by_step.png": error_by_step(title, row),
        "calibration.png": calibration(title, examples, forecast),
    }
    if epochs:
        figures["learning_curve.png"] = learning_curve(title, epochs, best_epoch)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=110)
    return [folder / name for name in figures]


def draw_symbol(
    path: Path, prices: Prices, examples: Examples, forecast: Forecast, row: Row
) -> None:
    """Write one picture of a symbol of a panel: forecasts, error by step, and calibration.

    Parameters
    ----------
    path : Path
        The file; its folder is made.
    prices, examples, forecast, row
        As of :func:`draw_all`.
    """
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(16, 4.2), layout="constrained")
    figure.suptitle(f"{prices.symbol}, {row.forecaster}", x=0.01, ha="left", fontsize=12)
    left, middle, right = figure.subplots(1, 3, width_ratios=(2, 1, 1))
    forecast_vs_actual("One session ahead", prices, examples, forecast, left)
    error_by_step("Error by step", row, middle)
    calibration("Calibration", examples, forecast, right)
    figure.savefig(path, dpi=80)


def forecast_vs_actual(
    title: str, prices: Prices, examples: Examples, forecast: Forecast, place: Any = None
) -> Figure:
    """Forecasts one session ahead with both intervals, and the close that came."""
    newest = slice(-_SHOWN, None)
    sessions = prices.sessions[examples.origins + 1][newest]
    figure, axes = _canvas(f"{title}: what was forecast the session before, and the close", place)
    for level, alpha in ((0.95, 0.18), (0.8, 0.3)):
        lower, upper = (end[newest, 0] for end in forecast.interval(level))
        axes.fill_between(
            sessions, lower, upper, color=_OURS, alpha=alpha, lw=0, label=f"{level:.0%} interval"
        )
    axes.plot(sessions, forecast.price[newest, 0], color=_OURS, lw=1, label="forecast")
    axes.plot(sessions, examples.future_closes[newest, 0], color=_ACTUAL, lw=1.3, label="close")
    axes.set_ylabel("price")
    axes.legend(frameon=False, ncols=4, loc="upper left")
    if place is None:
        figure.autofmt_xdate()
    else:
        axes.tick_params(axis="x", rotation=30)
    return figure


def error_by_step(title: str, row: Row, place: Any = None) -> Figure:
    """MAPE per step beside the naive forecast's on the same rows."""
    steps = np.arange(1, len(row.steps) + 1)
    figure, axes = _canvas(f"{title}: error by step, beside naive on the same rows", place)
    axes.bar(steps - 0.2, [s.mape for s in row.steps], 0.4, color=_OURS, label=row.forecaster)
    axes.bar(
        steps + 0.2, [s.naive_mape for s in row.steps], 0.4, color=_NAIVE, label="tomorrow = today"
    )
    axes.set_xticks(steps)
    axes.set_xlabel("sessions ahead")
    axes.set_ylabel("MAPE, %")
    axes.legend(frameon=False)
    return figure


def calibration(title: str, examples: Examples, forecast: Forecast, place: Any = None) -> Figure:
    """Share of closes under each quantile; the diagonal is a forecast that keeps its word."""
    figure, axes = _canvas(f"{title}: stated probability, and how often it came true", place)
    p = forecast.probabilities
    axes.plot([0, 1], [0, 1], color=_IDEAL, lw=1, ls="--", label="ideal")
    for step, shade in ((1, 1.0), (5, 0.6), (10, 0.35)):
        if step > forecast.horizon:
            continue
        below = examples.targets[:, step - 1, None] <= forecast.quantiles[:, step - 1]
        axes.plot(
            p, below.mean(axis=0), color=_OURS, alpha=shade, marker=".", label=f"{step} ahead"
        )
    axes.set_xlabel("stated probability")
    axes.set_ylabel("observed share")
    axes.legend(frameon=False)
    return figure


def learning_curve(
    title: str, epochs: Sequence[Mapping[str, float]], best_epoch: int | None
) -> Figure:
    """Training and validation loss per epoch."""
    figure, axes = _canvas(f"{title}: learning curve")
    x = [epoch["epoch"] for epoch in epochs]
    axes.plot(x, [epoch["train_loss"] for epoch in epochs], color=_NAIVE, label="train")
    axes.plot(x, [epoch["valid_loss"] for epoch in epochs], color=_OURS, label="validation")
    if best_epoch is not None:
        axes.axvline(best_epoch, color=_IDEAL, lw=1, ls="--", label="kept")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    return figure


def _canvas(title: str, place: Any = None) -> tuple[Figure, Any]:
    """A figure and its axes; or the axes of another one, under the title up to its colon."""
    from matplotlib.figure import Figure

    if place is None:
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        axes = figure.subplots()
    else:
        figure, axes, title = place.figure, place, title.partition(":")[0]
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes
