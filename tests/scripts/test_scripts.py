"""The numbered scripts, run as a user runs them, in order and out of order."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from closecast.settings import Settings, as_environment
from tests.conftest import settings_in
from tests.support.synthetic_prices import garch

TINY = ["--forecaster", "lstm", "--set", "num_layers=1", "--set", "hidden_size=4", "--set"]
TINY += ["num_epochs=1"]


Done = subprocess.CompletedProcess[str]


def environment(folder: Path) -> dict[str, str]:
    settings = settings_in(folder, mlflow_tracking_uri=f"sqlite:///{folder}/mlruns/mlflow.sqlite")
    return as_environment(settings)


def run(folder: Path, step: str, *arguments: str) -> Done:
    return subprocess.run(
        [sys.executable, "-m", f"scripts.{step}", *arguments],
        env={**os.environ, **environment(folder)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run a step in this process: a new one imports libraries for seconds.

    An exception that a step does not turn into an exit code fails the test.
    """
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)

    def call(step: str, *arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", [f"scripts.{step}", *arguments])
        code: str | int | None = 0
        try:
            importlib.import_module(f"scripts.{step}").main()
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        if isinstance(code, str):  # as Python itself ends
            code, err = 1, f"{err}{code}\n"
        return Done([step, *arguments], code or 0, out, err)

    return call


def next_command(printed: str) -> str:
    found = re.search(r"next: (.+)", printed)
    assert found, printed
    return found[1]


def test_each_step_says_what_it_wrote_and_what_to_run_next(tmp_path: Path) -> None:
    done = run(tmp_path, "01_collect_data", "--symbol", "msft", "--start", "2016-01-04")
    assert "wrote 1760 adjusted closes of MSFT" in done.stdout, done.stderr
    assert next_command(done.stdout) == "python -m scripts.02_preprocess --symbols MSFT"

    done = run(tmp_path, "02_preprocess", "--symbol", "MSFT")
    assert next_command(done.stdout) == "python -m scripts.03_train --symbols MSFT", done.stderr
    baseline = tmp_path / "data" / "processed" / "MSFT" / "baseline_stats.json"
    assert json.loads(baseline.read_text())["MSFT"]["alone"]["spike"]["value"] > 0

    done = run(tmp_path, "03_train", "--symbol", "MSFT", *TINY)
    assert next_command(done.stdout) == "python -m scripts.04_evaluate --symbols MSFT", done.stderr
    assert "best epoch 1" in done.stdout

    done = run(tmp_path, "04_evaluate", "--symbol", "MSFT")
    assert next_command(done.stdout) == "closecast serve", done.stderr
    assert re.search(r"lstm +1 ", done.stdout)
    first, results = sorted((tmp_path / "results" / "MSFT").iterdir())
    assert not (first / "training_log.csv").exists(), "ewma, so that there is always a model"
    scores = json.loads((results / "evaluation.json").read_text())
    rows = [(row["forecaster"], row["mode"]) for row in scores["symbols"]["MSFT"]["rows"]]
    assert rows == [
        ("naive", "window only"),
        ("lstm", "window only"),
        ("lstm", "with history"),
        ("lstm", "as trained"),
        ("random_walk_drift", "window only"),
        ("ewma", "window only"),
        ("ewma", "with history"),
        ("current", "window only"),
        ("current", "with history"),
    ]
    assert (results / "training_log.csv").read_text().startswith("epoch,train_loss,valid_loss\n1,")
    assert {p.name for p in results.glob("*.png")} == {
        "forecast_vs_actual.png",
        "error_by_step.png",
        "calibration.png",
        "learning_curve.png",
    }
    assert (tmp_path / "models" / "current" / "MSFT.json").exists()
    assert (tmp_path / "mlruns" / "mlflow.sqlite").exists()


@pytest.mark.parametrize(
    ("step", "missing"),
    [
        ("02_preprocess", "scripts.01_collect_data"),
        ("03_train", "scripts.01_collect_data"),
        ("04_evaluate", "scripts.01_collect_data"),
    ],
)
def test_a_step_without_its_input_names_the_one_that_is_missing(
    call: Callable[..., Done], step: str, missing: str
) -> None:
    done = call(step, "--symbol", "MSFT")
    assert done.returncode == 1
    assert missing in done.stderr


def test_other_window_lengths_need_preprocessing_again(call: Callable[..., Done]) -> None:
    call("01_collect_data", "--start", "2016-01-04")
    call("02_preprocess")
    done = call("03_train", "--set", "seq_length=30")
    assert done.returncode == 1
    assert "scripts.02_preprocess" in done.stderr
    assert "seq_length=30" in done.stderr


@pytest.mark.parametrize("meant", [("--source", "yahoo"), ("--start", "2018-01-02")])
def test_a_step_on_other_closes_than_those_meant_says_how_to_collect_them(
    call: Callable[..., Done], meant: tuple[str, str]
) -> None:
    call("01_collect_data", "--start", "2016-01-04")
    done = call("02_preprocess", *meant)
    assert done.returncode == 1
    assert f"scripts.01_collect_data --symbols MSFT {' '.join(meant)}" in done.stderr


def test_one_bad_symbol_of_several_does_not_stop_the_others(call: Callable[..., Done]) -> None:
    done = call("01_collect_data", "--symbol", "MSFT,ACME,KO")
    assert done.returncode == 1
    assert "closes of MSFT" in done.stdout
    assert "closes of KO" in done.stdout
    assert "ACME" in done.stderr


@pytest.mark.parametrize(
    "step",
    ["01_collect_data", "02_preprocess", "03_train", "04_evaluate", "05_score_forecasts"],
)
def test_help_is_there(call: Callable[..., Done], step: str) -> None:
    done = call(step, "--help")
    assert done.returncode == 0
    origin = () if step == "05_score_forecasts" else ("--source", "--start", "--end")
    for option in ("--symbols", *origin):
        assert option in done.stdout


@pytest.mark.filterwarnings("ignore")  # of MLflow
def test_several_symbols_are_learned_from_together_and_a_faulty_one_is_left_out(
    tmp_path: Path, call: Callable[..., Done]
) -> None:
    days = np.busday_offset("2018-01-01", np.arange(500), roll="forward")
    for seed, symbol in enumerate(("AAA", "BBB", "CCC")):
        closes = garch(500, seed).closes.copy()
        if symbol == "CCC":
            closes[400:440] = closes[400]
        rows = zip(days, closes, strict=True)
        text = "Date,Close\n" + "".join(f"{day},{float(close)!r}\n" for day, close in rows)
        (tmp_path / f"{symbol}.csv").write_text(text)
    together = ("--symbols", "ccc,AAA,bbb")
    sizes = ("--set", "seq_length=20", "--set", "horizon=2")
    done = call("01_collect_data", *together, "--source", f"file:{tmp_path}/{{symbol}}.csv")
    assert done.returncode == 0, done.stderr
    done = call("02_preprocess", *together, "--forecaster", "ewma", *sizes)
    assert "left out: CCC: " in done.stdout, done.stderr
    assert "hardly move" in done.stdout
    done = call("03_train", *together, "--forecaster", "ewma", *sizes)
    assert next_command(done.stdout).endswith("--symbols AAA,BBB,CCC"), done.stderr
    done = call("04_evaluate", *together)
    assert done.returncode == 0, done.stderr
    assert "2 symbols (AAA, BBB)" in done.stdout
    assert "left out: CCC: " in done.stdout
    current = tmp_path / "models" / "current"
    assert {path.stem for path in current.iterdir()} == {"AAA", "BBB"}


def test_scoring_says_what_it_did_and_what_to_do_where_there_is_no_model(
    tmp_path: Path, published: Settings, call: Callable[..., Done]
) -> None:
    del published  # fills tmp_path
    done = run(tmp_path, "05_score_forecasts", "--symbols", "MSFT,AAPL")
    assert done.returncode == 0, done.stderr
    assert "MSFT: collected 1 symbols of " in done.stdout  # AAPL has another current model
    assert "absorbed 0 closes, scored 0 steps" in done.stdout
    assert "AAPL: collected 1 symbols of " in done.stdout
    done = call("05_score_forecasts", "--symbols", "KO")
    assert done.returncode == 1
    assert "no model for KO: train one first" in done.stderr
