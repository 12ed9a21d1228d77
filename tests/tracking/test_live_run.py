"""A run of MLflow that is open while its training goes on, and its experiment's name."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from closecast.core.symbols import panel_label, panel_name
from closecast.errors import JobCancelled
from closecast.pipeline import TrainRequest, run_training
from closecast.pipeline.reports import experiment_of
from closecast.settings import Settings
from closecast.tracking import live_run as live_module
from closecast.tracking.exported import read_experiments
from closecast.tracking.live_run import LiveRun
from closecast.tracking.mlflow import close_abandoned_runs, record_run
from tests.conftest import settings_in

if TYPE_CHECKING:  # it takes seconds to import
    from mlflow import MlflowClient
    from mlflow.entities import Run

# MLflow, and the libraries it brings, warn of their own affairs.
pytestmark = pytest.mark.filterwarnings("ignore")

PANEL = ("AAPL", "KO", "MSFT")
TINY = {"num_layers": 1, "hidden_size": 4, "num_epochs": 3, "patience": 3, "batch_size": 1024}


@pytest.fixture(autouse=True)
def _put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's logger and environment belong to the whole process."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    yield
    logger.setLevel(level)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MLflow's database, which takes seconds to make."""
    return tmp_path_factory.mktemp("live")


@pytest.fixture
def tracked(home: Path) -> Settings:
    return settings_in(home, mlflow_tracking_uri=f"sqlite:///{home}/mlflow.sqlite")


@pytest.fixture
def client(tracked: Settings) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracked.mlflow_tracking_uri)


def runs_in(client: MlflowClient, experiment: str) -> list[Run]:
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it never came")


def live(settings: Settings, *symbols: str, **changes: Any) -> LiveRun:
    values: dict[str, Any] = {"parameters": {"hidden_size": 4}, "tags": {"trigger": "request"}}
    return LiveRun(settings, experiment_of(symbols, None), "training", **{**values, **changes})


def finished(run: LiveRun, curves: Mapping[str, Mapping[int, float]] | None = None) -> str | None:
    return run.finish(
        "v1", parameters={"hidden_size": 4}, metrics={"mae": 1.0}, curves=curves or {},
        tags={"gate": "promoted"}, artifacts={},
    )  # fmt: skip


# -- while a training goes on -------------------------------------------------------------------


def test_it_is_running_with_parameters_and_curves_before_the_training_ends(
    client: MlflowClient, tracked: Settings
) -> None:
    run = live(tracked, "KO")
    run.start()
    until(lambda: bool(runs_in(client, "closecast/KO")))
    run.watch({"epoch": 0, "epochs": 3})
    for epoch in (1, 2, 2):
        run.watch({"epoch": epoch, "train_loss": 1 / epoch, "valid_loss": 2 / epoch})
    [opened] = runs_in(client, "closecast/KO")
    assert opened.info.status == "RUNNING"
    until(lambda: "valid_loss" in client.get_run(opened.info.run_id).data.metrics)
    now = client.get_run(opened.info.run_id)
    assert now.data.params == {"hidden_size": "4"}
    assert now.data.tags["trigger"] == "request"
    run_id = finished(run, {"valid_loss": {1: 2.0, 2: 1.0, 3: 0.5}})
    assert run_id == opened.info.run_id
    ended = client.get_run(run_id)
    assert (ended.info.status, ended.info.run_name) == ("FINISHED", "v1")
    points = client.get_metric_history(run_id, "valid_loss")
    assert [(p.step, p.value) for p in points] == [(1, 2.0), (2, 1.0), (3, 0.5)]


def test_a_training_shows_in_the_statistics_while_it_runs(
    client: MlflowClient, tracked: Settings
) -> None:
    seen: list[str] = []

    def watch(progress: Mapping[str, Any]) -> None:
        if progress["stage"] == "publish" and not seen:
            mine = "closecast/XOM"
            until(lambda: any("valid_loss" in r.data.metrics for r in runs_in(client, mine)))
            listed = json.loads(read_experiments(tracked))["experiments"]
            [found] = [one for one in listed if one["key"] == "XOM"]
            seen.extend(run["status"] for run in found["runs"])

    request = TrainRequest(
        symbols=("XOM",), source="sample", start=date(2017, 1, 3), forecaster="lstm",
        hyperparameters=TINY,
    )  # fmt: skip
    published = run_training(tracked, request, watch=watch)
    assert "RUNNING" in seen
    assert published.mlflow_run is not None
    run = client.get_run(published.mlflow_run)
    assert (run.info.status, run.info.run_name) == ("FINISHED", published.manifest.version)
    assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 3
    assert run.data.metrics["raw_overall_rmse"] > 0
    assert run.data.metrics["overall_mse"] > 0


@pytest.mark.parametrize(
    ("error", "status"),
    [(JobCancelled("cancelled by a person"), "KILLED"), (ValueError("no rows"), "FAILED")],
    ids=["cancelled", "failed"],
)
def test_a_training_that_ends_early_says_so_in_its_run(
    client: MlflowClient, tracked: Settings, error: Exception, status: str
) -> None:
    def watch(progress: Mapping[str, Any]) -> None:
        if progress["stage"] == "evaluate":
            raise error

    request = TrainRequest(symbols=("PG",), source="sample", forecaster="ewma")
    with pytest.raises(type(error)):
        run_training(tracked, request, watch=watch)
    newest = runs_in(client, "closecast/PG")[0]
    assert newest.info.status == status
    assert newest.data.tags["reason"] == str(error)


# -- where MLflow is away or slow ---------------------------------------------------------------


def test_an_absent_server_costs_a_training_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path, mlflow_tracking_uri="http://127.0.0.1:9")
    asked = threading.Event()

    def refused(*_: object) -> None:
        asked.set()
        raise ConnectionError("refused")

    monkeypatch.setattr(live_module, "open_run", refused)
    run = live(settings, "KO")
    run.start()
    assert asked.wait(60)
    for epoch in range(1, 50):
        run.watch({"epoch": epoch, "train_loss": 1.0, "valid_loss": 1.0})
    assert finished(run) is None
    assert caplog.text.count("MLflow could not record the run") == 1


def test_a_slow_server_holds_no_epoch_and_no_end(
    tracked: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answered = threading.Event()

    def hangs(*_: object) -> None:
        answered.wait(60)
        raise TimeoutError

    monkeypatch.setattr(live_module, "open_run", hangs)
    monkeypatch.setattr(live_module, "_PATIENCE_S", 0.1)
    run = live(tracked, "KO")
    run.start()
    run.watch({"epoch": 1, "train_loss": 1.0, "valid_loss": 1.0})
    assert finished(run) is None
    assert "MLflow is slow" in caplog.text
    answered.set()
    run._thread.join(60)


def test_an_epoch_that_is_reported_while_it_is_written_is_written_once(
    settings: Settings,
) -> None:
    run = LiveRun(settings, experiment_of(["MSFT"], None), "mlp", {}, {})
    epoch = {"epoch": 1, "train_loss": 0.5, "valid_loss": 0.25}
    written: list[Mapping[str, Mapping[int, float]]] = []

    class Slow:
        """A run during whose writing the training reports the same epoch again."""

        def log(self, *, curves: Mapping[str, Mapping[int, float]]) -> None:
            run.watch(epoch)
            written.append(curves)

    slow: Any = Slow()
    run.watch(epoch)
    for _ in range(2):
        run._write(slow)
    assert written == [{"train_loss": {1: 0.5}, "valid_loss": {1: 0.25}}]


def test_turned_off_nothing_is_opened(settings: Settings) -> None:
    run = live(settings, "KO")
    run.start()
    run.watch({"epoch": 1, "train_loss": 1.0, "valid_loss": 1.0})
    assert finished(run) is None
    run.abandon("FAILED", "no rows")


def test_the_run_of_a_killed_training_is_closed_by_the_next_worker(
    client: MlflowClient, tracked: Settings, home: Path
) -> None:
    script = f"""
import os
from pathlib import Path
from closecast.pipeline.reports import live_run
from tests.conftest import settings_in
home = Path({str(home)!r})
settings = settings_in(home, mlflow_tracking_uri=f"sqlite:///{{home}}/mlflow.sqlite")
with live_run(
    settings, ["IBM"], name=None, forecaster="lstm", parameters={{"seed": 1}}, tags={{}}
) as run:
    run.watch({{"epoch": 1, "train_loss": 1.0, "valid_loss": 0.5}})
    print("going on", flush=True)
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "going on\n"
        until(lambda: any("valid_loss" in r.data.metrics for r in runs_in(client, "closecast/IBM")))
        [left] = runs_in(client, "closecast/IBM")
        assert close_abandoned_runs(tracked) == [], "it lives"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
    assert close_abandoned_runs(tracked) == [left.info.run_id]
    ended = client.get_run(left.info.run_id)
    assert (ended.info.status, ended.data.params["seed"]) == ("KILLED", "1")


# -- names of experiments -----------------------------------------------------------------------


def recorded(settings: Settings, symbols: tuple[str, ...], name: str | None = None) -> None:
    assert record_run(
        settings, experiment=experiment_of(symbols, name), run_name="v1", parameters={},
        metrics={}, curves={}, tags={"symbol": ",".join(symbols)}, artifacts={},
    )  # fmt: skip


def test_a_panel_has_a_name_that_people_can_read(client: MlflowClient, tracked: Settings) -> None:
    recorded(tracked, PANEL)
    assert panel_label(PANEL) == "AAPL and 2 more"
    [run] = runs_in(client, "closecast/AAPL and 2 more")
    found = client.get_experiment(run.info.experiment_id)
    assert found.tags["closecast.panel"] == panel_name(PANEL)
    assert found.tags["closecast.symbols"] == "AAPL,KO,MSFT"


def test_two_panels_of_one_name_keep_their_runs_apart(
    client: MlflowClient, tracked: Settings
) -> None:
    for other in (("F", "KO", "T"), ("F", "KO", "V"), ("F", "KO", "T"), ("F", "KO", "V")):
        recorded(tracked, other)
    digest = panel_name(("F", "KO", "V")).rpartition(".")[2]
    assert len(runs_in(client, "closecast/F and 2 more")) == 2
    assert len(runs_in(client, f"closecast/F and 2 more ({digest})")) == 2


def test_runs_of_a_former_experiment_stay_with_the_new_ones(
    client: MlflowClient, tracked: Settings
) -> None:
    symbols = ("GE", "HD", "IBM")
    former = f"closecast/{panel_name(symbols)}"
    assert record_run(
        tracked, experiment=former, run_name="v0", parameters={}, metrics={}, curves={}, tags={},
        artifacts={},
    )  # fmt: skip
    recorded(tracked, symbols)
    assert len(runs_in(client, "closecast/GE and 2 more")) == 2
    assert client.get_experiment_by_name(former) is None


def test_a_name_that_a_person_gives_is_the_experiments(
    client: MlflowClient, tracked: Settings
) -> None:
    symbols = ("BA", "CAT")
    recorded(tracked, symbols)
    recorded(tracked, symbols, "heavy industry")
    assert len(runs_in(client, "closecast/heavy industry")) == 2
