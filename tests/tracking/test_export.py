"""What the worker reads from MLflow, for those who know no MLflow."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from closecast.cli.main import main
from closecast.errors import BadSetting, NothingRecorded, StorageFailed
from closecast.jobs.worker import run_worker
from closecast.settings import Settings, as_environment
from closecast.tracking import export as experiments
from closecast.tracking.export import renew_experiments, write_experiments
from closecast.tracking.exported import experiments_path, read_experiments
from closecast.tracking.mlflow import record_run
from tests.conftest import settings_in

# MLflow, and the libraries it brings, warn of their own affairs.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two experiments: three runs of MSFT, one of a panel that failed."""
    home = tmp_path_factory.mktemp("mlflow")
    settings = settings_in(home, mlflow_tracking_uri=f"sqlite:///{home}/mlflow.sqlite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        for i in range(3):
            record(settings, "closecast/MSFT", f"v{i}", mape=1.0 + i)
        record(settings, "closecast/MSFT+1", "panel", mape=float("nan"))
    return settings


def record(settings: Settings, experiment: str, name: str, mape: float) -> None:
    steps = range(1, 11)
    run_id = record_run(
        settings,
        experiment=experiment,
        run_name=name,
        parameters={"hidden_size": 64},
        metrics={
            "training_seconds": 12.5,
            "best_valid_loss": 0.25,
            "overall_mape": mape,
            **{f"mape_step_{h:02}": mape * h for h in steps},
            **{f"rmse_step_{h:02}": 0.1 * h for h in steps},
            **{f"history_mape_step_{h:02}": 0.5 * h for h in steps},
            **{f"raw_mse_step_{h:02}": 1.0 * h for h in steps},
            **{f"naive_mape_step_{h:02}": 7.0 for h in steps},
        },
        curves={"train_loss": [1 / (k + 1) for k in range(450)], "valid_loss": [0.5, 0.25]},
        tags={"version": name},
        artifacts={},
    )
    assert run_id is not None


@pytest.fixture(autouse=True)
def _put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's logger and environment belong to the whole process."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(name, "1")
    yield
    logger.setLevel(level)


def written(settings: Settings) -> dict[str, Any]:
    write_experiments(settings)
    content: dict[str, Any] = json.loads(read_experiments(settings))
    return content


def runs_of(content: dict[str, Any], experiment: str) -> list[dict[str, Any]]:
    [found] = [e for e in content["experiments"] if e["name"] == experiment]
    runs: list[dict[str, Any]] = found["runs"]
    return runs


def test_every_experiment_is_there_with_its_runs_the_last_started_first(tracked: Settings) -> None:
    content = written(tracked)
    names = {e["name"]: [r["name"] for r in e["runs"]] for e in content["experiments"]}
    assert names["closecast/MSFT"] == ["v2", "v1", "v0"]
    assert names["closecast/MSFT+1"] == ["panel"]


def test_a_run_says_what_was_trained_and_how_long_it_took(tracked: Settings) -> None:
    run = runs_of(written(tracked), "closecast/MSFT")[0]
    assert (run["status"], run["params"], run["tags"]) == (
        "FINISHED",
        {"hidden_size": "64"},
        {"version": "v2"},
    )
    assert (run["training_seconds"], run["best_valid_loss"]) == (12.5, 0.25)
    assert run["duration_s"] >= 0
    assert run["started_at"] <= run["ended_at"]


def test_scores_come_per_step(tracked: Settings) -> None:
    run = runs_of(written(tracked), "closecast/MSFT")[1]
    assert [row["step"] for row in run["steps"]] == list(range(1, 11))
    unknown = {"mape": None, "mae": None, "mse": None, "rmse": None, "r2": None}
    assert run["steps"][9] == {**unknown, "step": 10, "mape": 20.0, "rmse": pytest.approx(1.0)}
    assert run["steps_with_history"][1] == {**unknown, "step": 2, "mape": 1.0}
    assert run["steps_as_trained"][2] == {**unknown, "step": 3, "mse": pytest.approx(3.0)}
    assert run["metrics"]["overall_mape"] == 2.0


def test_a_curve_is_thinned_and_keeps_its_ends(tracked: Settings) -> None:
    run = runs_of(written(tracked), "closecast/MSFT")[0]
    assert run["curves"]["valid_loss"] == [[1, 0.5], [2, 0.25]]
    curve = run["curves"]["train_loss"]
    assert len(curve) == 200
    assert (curve[0], curve[-1]) == ([1, 1.0], [450, pytest.approx(1 / 450)])
    assert "train_loss" not in run["metrics"]


def test_a_curve_that_cannot_change_any_more_is_read_once(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path, mlflow_tracking_uri=tracked.mlflow_tracking_uri)
    read: list[str] = []
    curve = experiments._curve

    def counted(client: Any, run_id: str, name: str) -> Any:
        read.append(name)
        return curve(client, run_id, name)

    monkeypatch.setattr(experiments, "_curve", counted)
    first = written(settings)
    assert sorted(read) == ["train_loss"] * 4 + ["valid_loss"] * 4
    again = written(settings)
    assert len(read) == 8
    assert again["experiments"] == first["experiments"]
    experiments_path(settings).write_text("damaged")
    assert written(settings)["experiments"] == first["experiments"]


def test_a_number_that_is_none_is_null(tracked: Settings) -> None:
    [run] = runs_of(written(tracked), "closecast/MSFT+1")
    assert run["metrics"]["overall_mape"] is None
    assert run["steps"][0]["mape"] is None


def test_old_runs_are_left_out_and_it_is_said(
    tracked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "RUNS_KEPT", 2)
    content = written(tracked)
    more = {e["name"]: (len(e["runs"]), e["has_more"]) for e in content["experiments"]}
    assert more["closecast/MSFT"] == (2, True)
    assert more["closecast/MSFT+1"] == (1, False)


def test_where_nothing_was_ever_tracked_there_is_nothing_and_no_database(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, mlflow_tracking_uri=f"sqlite:///{tmp_path}/none.sqlite")
    assert written(settings)["experiments"] == []
    assert not (tmp_path / "none.sqlite").exists()


def test_turned_off_it_is_an_error_only_for_who_asks(settings: Settings) -> None:
    with pytest.raises(BadSetting, match="MLflow is turned off"):
        write_experiments(settings)
    renew_experiments(settings)
    with pytest.raises(NothingRecorded, match="closecast statistics"):
        read_experiments(settings)


def test_a_database_that_cannot_be_read_leaves_the_file_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.sqlite").write_bytes(b"no database" * 100)
    settings = settings_in(tmp_path, mlflow_tracking_uri=f"sqlite:///{tmp_path}/broken.sqlite")
    path = experiments_path(settings)
    path.parent.mkdir()
    path.write_text("before")
    with pytest.raises(StorageFailed, match="MLflow cannot be read"):
        write_experiments(settings)
    renew_experiments(settings)
    assert path.read_text() == "before"
    assert "no new statistics" in caplog.text


def test_an_idle_worker_writes_what_is_missing_and_no_more(
    tracked: Settings, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path, mlflow_tracking_uri=tracked.mlflow_tracking_uri)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("closecast.jobs.worker.os.nice", lambda _: 0)
        run_worker(settings, once=True)
        assert b"closecast/MSFT" in read_experiments(settings)
        experiments_path(settings).write_text("as it was")
        run_worker(settings, once=True)
    assert read_experiments(settings) == b"as it was"


def test_the_command_writes_them_now(
    tracked: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = settings_in(tmp_path, mlflow_tracking_uri=tracked.mlflow_tracking_uri)
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    main(["statistics"])
    assert capsys.readouterr().out == f"wrote {experiments_path(settings)}\n"
    assert b"closecast/MSFT" in read_experiments(settings)
