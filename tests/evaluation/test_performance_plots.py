"""Pictures of the ledger: naive, nominal and uniform beside what was seen; replays say so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy import stats

from closecast.core.records import (
    SCORED_LEVELS,
    SCORED_PROBABILITIES,
    DatedForecast,
    DatedStep,
    Kind,
    ScoredStep,
)
from closecast.evaluation.performance_plots import forecast_plot, performance_plot
from closecast.metrics.live import Performance, summarise
from closecast.metrics.outcomes import score_step
from tests.support.synthetic_prices import as_prices, garch

NOW = datetime(2026, 1, 9, 22, tzinfo=UTC)
PRICES = garch(300, seed=3)
NORMAL = stats.norm.ppf(SCORED_PROBABILITIES)
PROMISED = {"relative_mae": 0.995, "coverage_80": 0.79, "coverage_95": 0.94}


def said(row: int, kind: Kind = "live", horizon: int = 3) -> DatedForecast:
    close = float(PRICES.closes[row])
    steps = tuple(
        DatedStep(
            h,
            PRICES.sessions[row + h].item(),
            close * float(np.exp(0.001 * h)),
            tuple((0.001 * h + 0.015 * np.sqrt(h) * NORMAL).tolist()),
        )
        for h in range(1, horizon + 1)
    )
    origin = PRICES.sessions[row].item()
    return DatedForecast(
        kind, "MADE", "v1", 1, "ewma", origin, close, "adjusted", "made", NOW, steps
    )


def performance(n: int, promise: Any = None) -> Performance:
    rows = []
    for row in range(100, 100 + n):
        forecast = said(row)
        for step in forecast.steps:
            log_return = float(np.log(PRICES.closes[row + step.step] / PRICES.closes[row]))
            outcome = score_step(forecast, step, log_return, NOW)
            rows.append(
                ScoredStep(
                    *(forecast.forecast_id, "v1", 1, "ewma", forecast.origin, step.session),
                    *(step.step, step.price, forecast.origin_close, outcome),
                )
            )
    return summarise(rows, promise)


ENOUGH = performance(60, {"overall": PROMISED, "steps": [PROMISED] * 3})
FEW = performance(5)


def title(figure: Figure) -> str:
    assert figure.get_suptitle()
    return figure.get_suptitle()


def labels(axes: Any) -> set[str]:
    return {text.get_text() for text in axes.get_legend().get_texts()}


def line(axes: Any, label: str) -> Any:
    [found] = [found for found in axes.lines if found.get_label() == label]
    return found


@pytest.mark.parametrize(
    "figure",
    [
        lambda: performance_plot("MADE", "live", ENOUGH),
        lambda: performance_plot("MADE", "replay", FEW),
        lambda: forecast_plot(PRICES, said(200), ENOUGH, ([90.0] * 3, [110.0] * 3)),
        lambda: forecast_plot(PRICES.rows(None, 11), said(10)),
    ],
    ids=["performance", "few", "forecast", "first"],
)
def test_every_text_lies_inside_the_picture(figure: Any, tmp_path: Path) -> None:
    drawn: Figure = figure()
    drawn.savefig(tmp_path / "drawn.png", dpi=100)
    width, height = drawn.canvas.get_width_height()
    texts = [drawn._suptitle, drawn._supxlabel]  # type: ignore[attr-defined]
    for axes in drawn.axes:
        texts += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]  # type: ignore[attr-defined]
        texts += [*axes.get_legend().get_texts(), *axes.get_xticklabels()]
    for text in [text for text in texts if text is not None and text.get_text()]:
        box = text.get_window_extent()
        assert box.x0 > -1, text.get_text()
        assert box.x1 < width + 1, text.get_text()
        assert box.y0 > -1, text.get_text()
        assert box.y1 < height + 1, text.get_text()
    image = imread(tmp_path / "drawn.png")[..., :3]
    assert (image.min(axis=-1) < 0.9).mean() > 0.01


# -- performance --------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "words"), [("live", "live forecasts"), ("replay", "REPLAY")])
def test_the_title_says_what_was_scored(kind: Kind, words: str) -> None:
    overall = ENOUGH.overall
    assert overall is not None
    shown = title(performance_plot("MADE", kind, ENOUGH))
    assert shown.startswith(f"MADE, {words}")
    assert "180 scored, made at 60 closes" in shown
    assert shown.endswith(f"{overall.first_session} to {overall.last_session}")


def test_errors_stand_beside_naive_and_the_evaluation() -> None:
    axes = performance_plot("MADE", "live", ENOUGH).axes[0]
    assert set(line(axes, "tomorrow = today").get_ydata()) == {1}
    values = [step.relative_mae.value for step in ENOUGH.steps]
    assert list(line(axes, "observed").get_ydata()) == values
    assert set(line(axes, "evaluation").get_ydata()) == {0.995}
    [intervals] = axes.collections
    ends = [sorted(segment[:, 1]) for segment in intervals.get_segments()]
    assert ends == [[s.relative_mae.lower, s.relative_mae.upper] for s in ENOUGH.steps]


def test_coverage_stands_beside_what_was_stated() -> None:
    axes = performance_plot("MADE", "live", ENOUGH).axes[1]
    assert ENOUGH.overall is not None
    observed = [c.observed.value for c in ENOUGH.overall.coverage]
    assert list(line(axes, "observed").get_ydata()) == observed
    assert list(line(axes, "evaluation").get_ydata()) == [0.79, 0.94]
    stated = axes.collections[0].get_segments()
    assert [segment[0, 1] for segment in stated] == list(SCORED_LEVELS)
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        "50%",
        "80%",
        "90%",
        "95%",
        "99%",
    ]


def test_the_pit_is_that_of_forecasts_that_do_not_overlap() -> None:
    axes = performance_plot("MADE", "live", ENOUGH).axes[2]
    bars = [patch for patch in axes.patches if patch.get_width() < 0.5]
    assert [bar.get_height() for bar in bars] == list(ENOUGH.steps[0].pit)
    assert "1 session ahead" in axes.get_title("left")


def test_too_few_have_no_intervals_and_it_says_so() -> None:
    figure = performance_plot("MADE", "live", FEW)
    assert "95 % confidence" not in labels(figure.axes[0])
    assert figure.get_supxlabel() == "too few origins for confidence intervals"
    assert performance_plot("MADE", "live", ENOUGH).get_supxlabel() == ""


def test_nothing_scored_is_said_and_not_drawn() -> None:
    figure = performance_plot("MADE", "live", summarise([]))
    assert "none scored yet" in title(figure)
    assert figure.axes == []


# -- one forecast -------------------------------------------------------------------------------


def test_the_forecast_stands_at_its_sessions() -> None:
    forecast = said(200)
    [axes] = forecast_plot(PRICES.rows(None, 201), forecast, ENOUGH).axes
    median = line(axes, "median forecast")
    days = [forecast.origin, *(step.session for step in forecast.steps)]
    assert list(date2num(median.get_xdata())) == list(date2num(days))
    assert list(median.get_ydata()[1:]) == [step.price for step in forecast.steps]
    assert set(line(axes, "tomorrow = today").get_ydata()) == {forecast.origin_close}
    assert list(line(axes, "close").get_ydata()) == pytest.approx(PRICES.closes[141:201])
    assert {"50% interval", "80% interval", "95% interval"} <= labels(axes)
    assert "close that came" not in labels(axes)


def test_intervals_end_at_the_stated_quantiles() -> None:
    forecast = said(200)
    [axes] = forecast_plot(PRICES, forecast).axes
    for band, (low, high) in zip(axes.collections, ((2, 38), (4, 36), (10, 30)), strict=True):
        ys = band.get_paths()[0].vertices[:, 1]
        last = np.asarray(forecast.steps[-1].quantiles)
        p = (
            SCORED_PROBABILITIES[[low - 1, high + 1]]
            if low == 2
            else SCORED_PROBABILITIES[[low, high]]
        )
        ends = forecast.origin_close * np.exp(np.interp(p, SCORED_PROBABILITIES, last))
        assert (ys.min(), ys.max()) == pytest.approx(tuple(ends))


def test_what_came_true_is_shown() -> None:
    [axes] = forecast_plot(PRICES, said(200)).axes
    assert list(line(axes, "close that came").get_ydata()) == pytest.approx(PRICES.closes[201:204])


def test_restated_closes_are_brought_to_the_level_of_the_forecast() -> None:
    restated = as_prices(0.97 * PRICES.closes)
    [axes] = forecast_plot(restated, said(200)).axes
    assert list(line(axes, "close").get_ydata()) == pytest.approx(PRICES.closes[141:201])


def test_the_path_band_is_drawn_where_there_is_one() -> None:
    lower, upper = [95.0, 94.0, 93.0], [105.0, 106.0, 107.0]
    [axes] = forecast_plot(PRICES, said(200), None, (lower, upper)).axes
    assert list(line(axes, "90% band of the whole path").get_ydata()) == lower
    [plain] = forecast_plot(PRICES, said(200)).axes
    assert "90% band of the whole path" not in labels(plain)


@pytest.mark.parametrize(("kind", "said_so"), [("live", False), ("replay", True)])
def test_a_replay_says_that_it_is_one(kind: Kind, said_so: bool) -> None:
    assert ("REPLAY" in title(forecast_plot(PRICES, said(200, kind)))) is said_so


def test_the_ledger_has_the_last_word() -> None:
    overall = ENOUGH.overall
    assert overall is not None
    assert overall.relative_mae.value is not None
    text = forecast_plot(PRICES, said(200), ENOUGH).get_supxlabel()
    assert "180 scored live steps" in text
    assert f"error {overall.relative_mae.value:.3f} (" in text
    assert "80% interval held" in text
    assert "too few" in forecast_plot(PRICES, said(200), FEW).get_supxlabel()
    for nothing in (None, summarise([])):
        text = forecast_plot(PRICES, said(200), nothing).get_supxlabel()
        assert text == "The ledger holds no scored live forecasts of this model yet."


def test_closes_without_the_origin_are_refused() -> None:
    missing = replace(said(200), origin=PRICES.sessions[0].item().replace(year=2009))
    with pytest.raises(ValueError, match="no close of MADE at the origin 2009"):
        forecast_plot(PRICES, missing)
    with pytest.raises(ValueError, match="no close of MADE"):
        forecast_plot(PRICES.rows(None, 150), said(200))
