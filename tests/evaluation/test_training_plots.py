"""Pictures of an evaluation: written, not blank, with the naive forecast or the ideal in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from closecast.core.dataset import make_examples, split_by_share
from closecast.evaluation import evaluate
from closecast.evaluation import training_plots as plots
from closecast.forecasters import Parameters, make_forecaster
from tests.support.synthetic_prices import garch

PRICES = garch(500, seed=1)
EPOCHS = tuple(
    {"epoch": i, "train_loss": 1.5 - 0.1 * i, "valid_loss": 1.5 - 0.05 * i} for i in (1, 2, 3)
)


def made(horizon: int = 6) -> dict[str, Any]:
    split = split_by_share(PRICES, 0.5, 20, horizon)
    naive, drift = (
        make_forecaster(name, Parameters(seq_length=20, horizon=horizon)).fit([split.train], [])
        for name in ("naive", "random_walk_drift")
    )
    examples = make_examples(split.test, 20, horizon)
    return {
        "prices": split.test,
        "examples": examples,
        "forecast": drift.predict_batch(examples.windows),
        "row": evaluate(split, naive, [(drift, None)]).row("random_walk_drift"),
    }


MADE = made()


def labels(figure: Figure) -> set[str]:
    (axes,) = figure.axes
    return {text.get_text() for text in axes.get_legend().get_texts()}


def lines(figure: Figure) -> dict[str, Any]:
    (axes,) = figure.axes
    return {str(line.get_label()): line for line in axes.lines}


# -- files --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("plots") / "not" / "there" / "yet"
    return plots.draw_all(folder, **MADE, epochs=EPOCHS, best_epoch=2)


def test_every_picture_is_written(files: list[Path]) -> None:
    names = {"forecast_vs_actual", "error_by_step", "calibration", "learning_curve"}
    assert {path.name for path in files} == {f"{name}.png" for name in names}
    assert set(files) == set(files[0].parent.iterdir())


def test_every_picture_is_a_png_with_something_on_it(files: list[Path]) -> None:
    ours = np.array(to_rgb("#1f5fa8"))
    for path in files:
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        image = imread(path)[..., :3]
        assert image.shape[:2] == (495, 990)
        assert (image.min(axis=-1) < 0.9).mean() > 0.01, f"{path.name} is blank"
        assert (np.abs(image - ours).max(axis=-1) < 0.1).sum() > 200, f"no forecast in {path.name}"


def test_what_learns_nothing_has_no_learning_curve(tmp_path: Path) -> None:
    written = plots.draw_all(tmp_path, **MADE, epochs=(), best_epoch=None)
    assert "learning_curve.png" not in {path.name for path in written}
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written}


def test_a_horizon_of_one_session_can_be_drawn(tmp_path: Path) -> None:
    assert plots.draw_all(tmp_path, **made(horizon=1), epochs=EPOCHS[:1], best_epoch=1)


# -- what is on them ----------------------------------------------------------------------------


def test_forecasts_stand_at_the_session_they_are_for() -> None:
    figure = plots.forecast_vs_actual("title", MADE["prices"], MADE["examples"], MADE["forecast"])
    close = lines(figure)["close"]
    newest = MADE["prices"].sessions[MADE["examples"].origins[-1] + 1]
    assert close.get_xdata()[-1] == newest
    row = int(np.searchsorted(MADE["prices"].sessions, newest))
    assert close.get_ydata()[-1] == pytest.approx(MADE["prices"].closes[row])
    assert lines(figure)["forecast"].get_ydata()[-1] == MADE["forecast"].price[-1, 0]


def test_both_intervals_are_drawn() -> None:
    figure = plots.forecast_vs_actual("title", MADE["prices"], MADE["examples"], MADE["forecast"])
    assert labels(figure) == {"forecast", "close", "80% interval", "95% interval"}


def test_errors_stand_beside_the_naive_ones() -> None:
    figure = plots.error_by_step("title", MADE["row"])
    assert labels(figure) == {"random_walk_drift", "tomorrow = today"}
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    steps = MADE["row"].steps
    assert heights == [s.mape for s in steps] + [s.naive_mape for s in steps]


def test_calibration_shows_the_ideal_and_what_was_observed() -> None:
    figure = plots.calibration("title", MADE["examples"], MADE["forecast"])
    assert labels(figure) == {"ideal", "1 ahead", "5 ahead"}  # ten is beyond this horizon
    observed = lines(figure)["5 ahead"].get_ydata()
    share = MADE["examples"].targets[:, 4] <= MADE["forecast"].quantiles[:, 4, 19]
    assert observed[19] == share.mean()
    assert (np.diff(observed) >= 0).all()


@pytest.mark.parametrize(("best", "kept"), [(2, {"kept"}), (None, set())])
def test_the_learning_curve_marks_the_epoch_that_was_kept(best: int | None, kept: set[str]) -> None:
    figure = plots.learning_curve("title", EPOCHS, best)
    assert labels(figure) == {"train", "validation"} | kept
    assert list(lines(figure)["validation"].get_ydata()) == [e["valid_loss"] for e in EPOCHS]
    if best is not None:
        assert set(lines(figure)["kept"].get_xdata()) == {best}


def test_titles_name_symbol_and_forecaster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    titles = []
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *_, **__: titles.append(self.axes[0].get_title("left"))
    )
    plots.draw_all(tmp_path, **MADE, epochs=EPOCHS, best_epoch=2)
    assert len(titles) == 4
    assert all(title.startswith("MADE, random_walk_drift: ") for title in titles)
