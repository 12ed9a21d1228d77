"""MLflow: a run with everything that belongs to it, and never a reason for a training to fail."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from closecast.infra import leftovers
from closecast.infra.processes import owner_name
from closecast.settings import Settings
from closecast.tracking.mlflow import close_abandoned_runs, has_abandoned_runs, record_run
from tests.conftest import settings_in

if TYPE_CHECKING:  # it takes seconds to import
    from mlflow import MlflowClient
    from mlflow.entities import Run

# MLflow, and the libraries it brings, warn of their own affairs.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Settings:
    """One tracking database for all parallel test processes, made by the first run in it."""
    shared = tmp_path_factory.getbasetemp()
    home = (shared if worker_id == "master" else shared.parent) / "mlflow"
    settings = settings_in(home, mlflow_tracking_uri=f"sqlite:///{home}/not/yet/mlflow.sqlite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        assert record(settings, experiment="first") is not None
    return settings


@pytest.fixture(scope="module")
def client(tracked: Settings) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracked.mlflow_tracking_uri)


@pytest.fixture(autouse=True)
def _put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's logger and environment belong to the whole process."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    yield
    logger.setLevel(level)


def record(settings: Settings, **changes: Any) -> str | None:
    values: dict[str, Any] = {
        "experiment": "MSFT",
        "run_name": "20260102T030405Z-0a1b2c3d",
        "parameters": {},
        "metrics": {},
        "curves": {},
        "tags": {},
        "artifacts": {},
    }
    return record_run(settings, **{**values, **changes})


def recorded(client: MlflowClient, settings: Settings, **changes: Any) -> Run:
    run_id = record(settings, **changes)
    assert run_id is not None
    return client.get_run(run_id)


def experiment_id(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    assert found is not None
    return str(found.experiment_id)


def test_a_run_is_finished_and_has_its_name(client: MlflowClient, tracked: Settings) -> None:
    run = recorded(client, tracked, experiment="AAPL", run_name="v1")
    assert (run.info.run_name, run.info.status) == ("v1", "FINISHED")
    assert run.info.end_time >= run.info.start_time
    assert client.get_experiment(run.info.experiment_id).name == "AAPL"


def test_runs_of_a_symbol_share_an_experiment(client: MlflowClient, tracked: Settings) -> None:
    ids = {recorded(client, tracked, experiment="NVDA").info.experiment_id for _ in range(2)}
    assert ids == {experiment_id(client, "NVDA")}


def test_parameters_are_text(client: MlflowClient, tracked: Settings) -> None:
    parameters = {"learning_rate": 1e-3, "hidden_size": 64, "loss": "mse", "dropout": None}
    assert recorded(client, tracked, parameters=parameters).data.params == {
        "learning_rate": "0.001",
        "hidden_size": "64",
        "loss": "mse",
        "dropout": "None",
    }


def test_metrics_keep_every_digit(client: MlflowClient, tracked: Settings) -> None:
    metrics = {"mae": 0.1 + 0.2, "skill": -1e-9, "origins": 250}
    assert recorded(client, tracked, metrics=metrics).data.metrics == metrics


def test_tags_are_kept(client: MlflowClient, tracked: Settings) -> None:
    tags = recorded(client, tracked, tags={"gate": "promoted", "symbol": "VALE3.SA"}).data.tags
    assert {name: tags[name] for name in ("gate", "symbol")} == {
        "gate": "promoted",
        "symbol": "VALE3.SA",
    }


def test_a_curve_has_one_point_per_epoch(client: MlflowClient, tracked: Settings) -> None:
    curves = {"train_loss": [0.5, 0.25, 0.125], "valid_loss": [0.75, 0.5]}
    run = recorded(client, tracked, curves=curves)
    for name, values in curves.items():
        points = client.get_metric_history(run.info.run_id, name)
        assert [(p.step, p.value) for p in points] == list(enumerate(values, start=1))


def test_more_points_than_fit_into_one_request_are_kept(
    client: MlflowClient, tracked: Settings
) -> None:
    run = recorded(client, tracked, metrics={"mae": 1.0}, curves={"loss": [0.5] * 1100})
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 1100
    assert run.data.metrics["mae"] == 1.0


def test_a_loss_that_is_no_number_does_not_cost_the_run(
    client: MlflowClient, tracked: Settings
) -> None:
    run = recorded(client, tracked, curves={"loss": [0.5, float("nan"), float("inf")]})
    assert run.info.status == "FINISHED"
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 3


def test_artifacts_are_copied_into_their_folders(
    client: MlflowClient, tracked: Settings, tmp_path: Path
) -> None:
    for name in ("bundle", "plots"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.bin").write_bytes(name.encode())
    run = recorded(
        client, tracked, artifacts={"model": tmp_path / "bundle", "pictures": tmp_path / "plots"}
    )
    stored = Path(run.info.artifact_uri.removeprefix("file://"))
    assert stored.is_relative_to(tracked.mlflow_artifact_dir)
    assert (stored / "model" / "bundle.bin").read_bytes() == b"bundle"
    assert (stored / "pictures" / "plots.bin").read_bytes() == b"plots"


def test_the_run_is_listed_in_its_experiment(client: MlflowClient, tracked: Settings) -> None:
    run = recorded(client, tracked, experiment="^BVSP")
    [found] = client.search_runs([run.info.experiment_id])
    assert found.info.run_id == run.info.run_id


# -- when it fails ------------------------------------------------------------------------------


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.reason  # type: ignore[attr-defined]
        for record in caplog.records
        if record.message == "MLflow could not record the run" and record.levelname == "WARNING"
    ]


def test_a_failure_inside_a_run_is_logged_and_the_run_marked(
    client: MlflowClient, tracked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    assert record(tracked, experiment="TSLA", tags={"a": "b"}, metrics={"mae": "bad"}) is None
    [reason] = reasons(caplog)
    assert "could not convert string to float: 'bad'" in reason
    [run] = client.search_runs([experiment_id(client, "TSLA")])
    assert run.info.status == "FAILED"
    assert run.data.tags["a"] == "b"


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"a parameter with a ? in its name": 1}},
        {"experiment": ""},
    ],
    ids=str,
)
def test_what_mlflow_refuses_is_logged_and_not_raised(
    tracked: Settings, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert record(tracked, **change) is None
    assert len(reasons(caplog)) == 1


def test_a_database_that_is_none_is_logged_and_not_raised(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mlflow.sqlite").write_bytes(b"this is no database " * 1000)
    broken = settings.model_copy(
        update={"mlflow_tracking_uri": f"sqlite:///{tmp_path}/mlflow.sqlite"}
    )
    assert record(broken) is None
    assert len(reasons(caplog)) == 1


def test_a_file_where_the_artifacts_should_be_is_logged_and_not_raised(
    tracked: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "artifacts").write_text("I am a file")
    broken = tracked.model_copy(update={"mlflow_artifact_dir": tmp_path / "artifacts"})
    assert record(broken) is None
    assert len(reasons(caplog)) == 1


def test_an_empty_uri_turns_it_off(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert settings.mlflow_tracking_uri == ""
    assert record(settings) is None
    assert reasons(caplog) == []
    assert list(tmp_path.iterdir()) == []


_RECORD = """
import sys
from pathlib import Path
from closecast.settings import Settings
from closecast.tracking.mlflow import record_run
import mlflow
print("ready", flush=True)
sys.stdin.readline()
folder = Path(sys.argv[1])
settings = Settings(
    _env_file=None,
    mlflow_tracking_uri=f"sqlite:///{folder}/mlflow.sqlite",
    mlflow_artifact_dir=folder / "artifacts",
)
print(
    record_run(
        settings, experiment="MSFT", run_name="v1", parameters={}, metrics={"mae": 1.0},
        curves={}, tags={}, artifacts={},
    )
)
"""


def test_processes_that_create_the_database_at_once_both_succeed(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _RECORD, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    run_ids = {process.communicate()[0].strip() for process in processes}
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.sqlite")
    found = client.search_runs([experiment_id(client, "MSFT")])
    assert {run.info.run_id for run in found} == run_ids
    assert {run.info.status for run in found} == {"FINISHED"}
    assert len(found) == 2


# -- processes that were killed while they recorded ---------------------------------------------

_KILLED = """
import os, sys
from pathlib import Path
from mlflow import MlflowClient
from closecast.settings import Settings
from closecast.tracking.mlflow import record_run

MlflowClient.log_batch = lambda *_, **__: os.kill(os.getpid(), 9)
folder = Path(sys.argv[1])
settings = Settings(
    _env_file=None,
    mlflow_tracking_uri=f"sqlite:///{folder}/mlflow.sqlite",
    mlflow_artifact_dir=folder / "artifacts",
)
record_run(
    settings, experiment="MSFT", run_name="v1", parameters={}, metrics={"mae": 1.0}, curves={},
    tags={}, artifacts={},
)
"""


def test_a_run_whose_process_was_killed_is_closed_by_the_next_worker(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _KILLED, str(tmp_path)], check=False
    )
    assert done.returncode == -9
    settings = settings_in(
        tmp_path,
        mlflow_tracking_uri=f"sqlite:///{tmp_path}/mlflow.sqlite",
        mlflow_artifact_dir=tmp_path / "artifacts",
    )
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=settings.mlflow_tracking_uri)
    [left] = client.search_runs([experiment_id(client, "MSFT")])
    assert left.info.status == "RUNNING"
    mine = client.create_run(left.info.experiment_id, tags={"closecast.owner": owner_name()})
    assert has_abandoned_runs(settings)
    assert close_abandoned_runs(settings) == [left.info.run_id]
    assert not has_abandoned_runs(settings)
    assert client.get_run(left.info.run_id).info.status == "KILLED"
    assert client.get_run(mine.info.run_id).info.status == "RUNNING", "whoever records lives"
    assert close_abandoned_runs(settings) == []


def test_where_nobody_was_killed_mlflow_is_not_even_loaded(tmp_path: Path) -> None:
    program = (
        "import sys; from closecast.settings import Settings;"
        "from closecast.tracking.mlflow import close_abandoned_runs;"
        f"settings = Settings(_env_file=None, mlflow_artifact_dir={str(tmp_path / 'a')!r});"
        "assert close_abandoned_runs(settings) == []; assert 'mlflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == 0


def test_a_run_that_could_not_be_closed_stays_noted_when_the_next_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    settings = settings_in(tmp_path, mlflow_tracking_uri=f"sqlite:///{tmp_path}/mlflow.sqlite")

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("MLflow is away")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", fail)
        assert record(settings) is None
    assert record(settings) is not None
    assert not has_abandoned_runs(settings), "their process lives"
    monkeypatch.setattr(leftovers, "is_alive", lambda owner: owner != owner_name())
    assert has_abandoned_runs(settings)
    [closed] = close_abandoned_runs(settings)
    client = MlflowClient(tracking_uri=settings.mlflow_tracking_uri)
    assert client.get_run(closed).info.status == "KILLED"
    assert not has_abandoned_runs(settings)


def test_a_server_that_is_away_is_asked_three_times_and_not_for_a_quarter_of_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    settings = settings_in(tmp_path, mlflow_tracking_uri="http://127.0.0.1:9")
    notes = tmp_path / "mlruns" / ".recording"
    notes.mkdir(parents=True)
    place, _, start = owner_name().rsplit(":", 2)
    (notes / quote(f"{place}:999999999:{start}", safe="")).touch()  # as written before
    monkeypatch.setattr("mlflow.MlflowClient.search_experiments", lambda _: [])
    monkeypatch.setattr("mlflow.MlflowClient.search_runs", lambda *_: [])
    assert close_abandoned_runs(settings) == []
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"
    assert list(notes.iterdir()) == []


def test_a_note_is_gone_once_its_run_is_closed(tracked: Settings) -> None:
    assert record(tracked) is not None
    notes = tracked.mlflow_artifact_dir.parent / ".recording"
    assert list(notes.glob(f"*{os.getpid()}*")) == []
