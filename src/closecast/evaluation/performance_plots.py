"""Plots of the forecast ledger: performance of scored forecasts, and one dated forecast."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices
from closecast.core.records import SCORED_LEVELS, SCORED_PROBABILITIES, DatedForecast, Kind
from closecast.metrics.live import PIT_BINS, Estimate, Performance, StepPerformance

if TYPE_CHECKING:  # it looks for a folder to write to as soon as it is imported
    from matplotlib.figure import Figure

# Blue and orange stay apart for every kind of colour blindness, and in grey by their lightness.
_OURS, _NAIVE, _ACTUAL, _IDEAL = "#1f5fa8", "#d1762b", "#222222", "#777777"
_SHOWN = 60  # closes before the forecast
_KINDS = {"live": "live forecasts", "replay": "REPLAY (made afterwards, with a set clock)"}


def performance_plot(symbol: str, kind: Kind, performance: Performance) -> Figure:
    """Errors beside naive's, coverage beside what was stated, and the PIT; 95 % intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.8), layout="constrained")
    overall = performance.overall
    if overall is None:
        figure.suptitle(f"{symbol}, {_KINDS[kind]}: none scored yet", x=0.01, ha="left")
        return figure
    figure.suptitle(
        f"{symbol}, {_KINDS[kind]}: {overall.n} scored, made at {overall.origins} closes, "
        f"for {overall.first_session} to {overall.last_session}",
        x=0.01,
        ha="left",
        fontsize=12,
    )
    errors, coverage, pit = figure.subplots(1, 3)
    _relative_mae(errors, performance.steps)
    _coverage(coverage, overall)
    _pit(pit, performance.steps[0])
    if not overall.enough:
        figure.supxlabel("too few origins for confidence intervals", fontsize=9, color=_IDEAL)
    return figure


def forecast_plot(
    prices: Prices,
    forecast: DatedForecast,
    performance: Performance | None = None,
    path_band: tuple[Sequence[float], Sequence[float]] | None = None,
    path_level: float = 0.9,
) -> Figure:
    """Plot a dated forecast after the closes before it, with the record of such forecasts.

    Parameters
    ----------
    prices : Prices
        Holds the origin; later closes are shown too. Restated closes are brought back to the
        level that the forecast was made at.
    performance : Performance, optional
        Of the same symbol, kind and version.
    path_band : pair of sequences, optional
        Lower and upper price per step; holds the whole path with probability ``path_level``.

    Raises
    ------
    ValueError
        If ``prices`` do not hold the origin.
    """
    origin = np.datetime64(forecast.origin, "D")
    row = int(np.searchsorted(prices.sessions, origin))
    if row == len(prices) or prices.sessions[row] != origin:
        raise ValueError(f"no close of {forecast.symbol} at the origin {forecast.origin}")
    closes = prices.closes * (forecast.origin_close / prices.closes[row])
    ahead = np.array([step.session for step in forecast.steps], dtype="datetime64[D]")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.6), layout="constrained")
    axes = figure.subplots()
    _tidy(axes, "")
    replay = "REPLAY (made afterwards, with a set clock), " if forecast.kind == "replay" else ""
    figure.suptitle(
        f"{forecast.symbol}: {replay}{forecast.forecaster} at the close of {forecast.origin}, "
        f"for {ahead[0]} to {ahead[-1]}",
        x=0.01,
        ha="left",
        fontsize=12,
    )
    sessions = np.concatenate([[origin], ahead])
    if path_band is not None:
        for n, edge in enumerate(path_band):
            label = f"{path_level:.0%} band of the whole path" if n == 0 else None
            axes.plot(ahead, edge, color=_OURS, lw=1, ls=":", label=label)
    for level, alpha in ((0.95, 0.15), (0.8, 0.22), (0.5, 0.3)):
        lower, upper = (_at(forecast, p) for p in ((1 - level) / 2, (1 + level) / 2))
        axes.fill_between(
            sessions, lower, upper, color=_OURS, alpha=alpha, lw=0, label=f"{level:.0%} interval"
        )
    median = np.array([forecast.origin_close, *(step.price for step in forecast.steps)])
    axes.plot(sessions, median, color=_OURS, lw=1.6, marker="o", ms=3.5, label="median forecast")
    axes.plot(
        sessions,
        np.full(len(sessions), forecast.origin_close),
        color=_NAIVE,
        lw=1.4,
        ls="--",
        label="tomorrow = today",
    )
    past = slice(max(0, row + 1 - _SHOWN), row + 1)
    axes.plot(prices.sessions[past], closes[past], color=_ACTUAL, lw=1.4, label="close")
    came = (prices.sessions > origin) & (prices.sessions <= ahead[-1])
    if came.any():
        axes.plot(
            prices.sessions[came],
            closes[came],
            color=_ACTUAL,
            lw=0,
            marker="x",
            label="close that came",
        )
    axes.set_ylabel(f"price ({forecast.basis} closes, {forecast.source})")
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=5, maxticks=10)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.margins(x=0.02)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.supxlabel(_record(forecast.kind, performance), fontsize=8.5, x=0.01, ha="left")
    return figure


def to_png(figure: Figure) -> bytes:
    """The picture as a file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _relative_mae(axes: Any, steps: Sequence[StepPerformance]) -> None:
    _tidy(axes, "Absolute error, ours over naive's")
    axes.axhline(1, color=_NAIVE, lw=1.4, ls="--", label="tomorrow = today")
    shown = [step for step in steps if step.relative_mae.value is not None]
    _with_intervals(axes, [float(s.step or 0) for s in shown], [s.relative_mae for s in shown])
    promised = [(s.step, s.promised_relative_mae) for s in steps if s.promised_relative_mae]
    _promises(axes, promised)
    axes.set_xticks([step.step for step in steps])
    axes.set_xlabel("sessions ahead")
    axes.set_ylabel("below 1 is better")
    _legend_below(axes)


def _coverage(axes: Any, overall: StepPerformance) -> None:
    _tidy(axes, "Closes inside the intervals, all steps")
    places = np.arange(len(SCORED_LEVELS))
    axes.hlines(SCORED_LEVELS, places - 0.3, places + 0.3, color=_NAIVE, lw=1.6, label="stated")
    _with_intervals(axes, places.tolist(), [level.observed for level in overall.coverage])
    _promises(axes, [(i, c.promised) for i, c in enumerate(overall.coverage) if c.promised])
    axes.set_xticks(places, [f"{level:.0%}" for level in SCORED_LEVELS])
    axes.set_xlabel("interval")
    from matplotlib.ticker import PercentFormatter

    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylim(top=1.02)
    _legend_below(axes)


def _pit(axes: Any, step: StepPerformance) -> None:
    ahead = f"{step.step} session{'s' if step.step != 1 else ''} ahead"
    _tidy(axes, f"Where closes fell, {ahead}")
    level = step.n / PIT_BINS
    half = 1.96 * np.sqrt(level * (1 - 1 / PIT_BINS))
    axes.axhspan(
        max(0.0, level - half),
        level + half,
        color=_NAIVE,
        alpha=0.3,
        lw=0,
        zorder=3,
        label="95 % of bars, if calibrated",
    )
    axes.axhline(level, color=_NAIVE, lw=1.2, ls="--", zorder=3)
    centres = (np.arange(PIT_BINS) + 0.5) / PIT_BINS
    axes.bar(centres, step.pit, 0.9 / PIT_BINS, color=_OURS, alpha=0.85, label="observed")
    axes.set_xlim(0, 1)
    axes.set_xlabel("probability integral transform (PIT)")
    axes.set_ylabel("forecasts")
    _legend_below(axes)


def _with_intervals(axes: Any, places: Sequence[float], estimates: Sequence[Estimate]) -> None:
    axes.plot(
        places,
        [np.nan if e.value is None else e.value for e in estimates],
        color=_OURS,
        marker="o",
        lw=0,
        label="observed",
        zorder=3,
    )
    stated = [(x, e) for x, e in zip(places, estimates, strict=True) if e.lower is not None]
    axes.vlines(
        [x for x, _ in stated],
        [e.lower for _, e in stated],
        [e.upper for _, e in stated],
        color=_OURS,
        lw=2,
        label="95 % confidence" if stated else None,
    )


def _promises(axes: Any, promised: Sequence[tuple[Any, Any]]) -> None:
    if promised:
        axes.plot(
            [x + 0.22 for x, _ in promised],
            [y for _, y in promised],
            color=_ACTUAL,
            marker="D",
            mfc="white",
            ms=5,
            lw=0,
            label="evaluation",
        )


def _at(forecast: DatedForecast, probability: float) -> FloatArray:
    """Prices at one probability, the origin's close first."""
    i = int(np.argmin(np.abs(SCORED_PROBABILITIES - probability)))
    grown = np.exp([0.0, *(step.quantiles[i] for step in forecast.steps)])
    return np.asarray(forecast.origin_close * grown)


def _record(kind: Kind, performance: Performance | None) -> str:
    overall = performance.overall if performance else None
    if overall is None:
        return f"The ledger holds no scored {kind} forecasts of this model yet."
    parts = [
        f"Ledger, {overall.n} scored {kind} steps, {overall.first_session} to "
        f"{overall.last_session}: error {_shown(overall.relative_mae, '.3f')} of naive's"
    ]
    parts += [
        f"{c.level:.0%} interval held {_shown(c.observed, '.0%')}"
        for c in overall.coverage
        if c.level in (0.8, 0.95)
    ]
    return "; ".join(parts) + ("." if overall.enough else "; too few for more.")


def _shown(estimate: Estimate, form: str) -> str:
    if estimate.value is None:
        return "no ratio"
    if estimate.lower is None:
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} ({estimate.lower:{form}} – {estimate.upper:{form}})"


def _legend_below(axes: Any) -> None:
    axes.legend(
        frameon=False,
        fontsize=8.5,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=2,
        handletextpad=0.4,
        columnspacing=1.0,
    )


def _tidy(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
