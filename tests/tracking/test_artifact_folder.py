"""Artefacts of MLflow are found where the project is now, not where it was first trained."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from closecast.settings import Settings
from closecast.tracking.artifact_folder import follow_folder
from closecast.tracking.mlflow import connected, record_run
from tests.conftest import settings_in
from tests.support.database_url import on_postgres, postgres

__all__ = ["on_postgres", "postgres"]

# MLflow, and the libraries it brings, warn of their own affairs.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's logger and environment belong to the whole process."""
    level = logging.getLogger("mlflow").level
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    yield
    logging.getLogger("mlflow").setLevel(level)


@pytest.fixture(scope="module")
def first_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with one recorded run; a new database takes MLflow seconds to make."""
    home = tmp_path_factory.mktemp("first place")
    assert recorded(placed(home)) is not None
    return home


@pytest.fixture
def moved(first_home: Path, tmp_path: Path) -> Settings:
    """The project in another folder, the first one without it."""
    home = tmp_path / "second"
    shutil.copytree(first_home, home)
    return placed(home)


def placed(home: Path, **changes: Any) -> Settings:
    values = {
        "mlflow_tracking_uri": f"sqlite:///{home}/mlruns/mlflow.sqlite",
        "mlflow_artifact_dir": home / "mlruns" / "artifacts",
    }
    return settings_in(home, **{**values, **changes})


def recorded(settings: Settings, experiment: str = "closecast/PEP") -> str | None:
    scores = settings.results_dir / "scores"
    scores.mkdir(parents=True, exist_ok=True)
    (scores / "evaluation.txt").write_text("mae 1\n")
    return record_run(
        settings,
        experiment=experiment,
        run_name="v1",
        parameters={},
        metrics={},
        curves={},
        tags={},
        artifacts={"results": scores},
    )


def places(settings: Settings) -> dict[str, str]:
    """Place of the artefacts by run, as MLflow's database holds it."""
    with connected(settings) as client:
        found = client.search_experiments()
        runs = client.search_runs([one.experiment_id for one in found])
        for run in runs:
            listed = client.list_artifacts(run.info.run_id, "results")
            assert [one.path for one in listed] == ["results/evaluation.txt"]
        return {run.info.run_id: run.info.artifact_uri for run in runs}


def test_a_run_of_before_the_move_is_found_after_it(moved: Settings) -> None:
    (place,) = places(moved).values()
    assert place.startswith(f"{moved.mlflow_artifact_dir.as_uri()}/")


def test_a_run_after_the_move_is_written_to_the_new_folder(
    moved: Settings, first_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = sorted(first_home.rglob("*"))
    with caplog.at_level(logging.INFO, "closecast.tracking"):
        run_id = recorded(moved)
    assert places(moved)[str(run_id)].startswith(f"{moved.mlflow_artifact_dir.as_uri()}/")
    assert sorted(first_home.rglob("*")) == before
    assert [line.getMessage() for line in caplog.records if "another folder" in line.getMessage()]


def test_an_experiment_without_artefacts_here_gets_the_new_folder(
    moved: Settings, first_home: Path
) -> None:
    shutil.rmtree(moved.mlflow_artifact_dir)
    run_id = recorded(moved)
    with connected(moved) as client:
        place = client.get_run(str(run_id)).info.artifact_uri
        experiment = client.get_experiment_by_name("closecast/PEP")
    assert place.startswith(f"{moved.mlflow_artifact_dir.as_uri()}/")
    assert experiment is not None
    assert experiment.artifact_location == moved.mlflow_artifact_dir.as_uri()


def test_the_second_look_changes_nothing(moved: Settings) -> None:
    with connected(moved) as client:
        assert follow_folder(client, moved.mlflow_artifact_dir.resolve()) == 0


def test_places_on_an_object_store_stay(moved: Settings) -> None:
    bucket = "s3://bucket/artefacts"
    with connected(moved) as client:
        experiment_id = client.create_experiment("closecast/KO", artifact_location=bucket)
        run = client.create_run(experiment_id)
        own = moved.mlflow_artifact_dir / run.info.run_id / "artifacts"
        own.mkdir(parents=True)
        assert follow_folder(client, moved.mlflow_artifact_dir.resolve()) == 0
        assert client.get_run(run.info.run_id).info.artifact_uri.startswith(bucket)
        assert client.get_experiment(experiment_id).artifact_location == bucket


def test_two_places_that_share_a_database_each_write_to_their_own(
    moved: Settings, tmp_path: Path
) -> None:
    """As a container does that sees the same volume at another path."""
    other = placed(tmp_path / "other", mlflow_tracking_uri=moved.mlflow_tracking_uri)
    for settings in (moved, other, moved):
        run_id = recorded(settings)
        with connected(settings) as client:
            place = client.get_run(str(run_id)).info.artifact_uri
        assert place.startswith(f"{settings.mlflow_artifact_dir.as_uri()}/")


def test_a_moved_folder_is_followed_on_postgresql(on_postgres: sa.URL, tmp_path: Path) -> None:
    url = on_postgres.set(drivername="postgresql+psycopg")
    uri = url.render_as_string(hide_password=False)
    first = placed(tmp_path / "a", mlflow_tracking_uri=uri)
    run_id = recorded(first)
    assert run_id is not None
    (tmp_path / "a").rename(tmp_path / "b")
    second = placed(tmp_path / "b", mlflow_tracking_uri=uri)
    assert places(second)[run_id].startswith(f"{second.mlflow_artifact_dir.as_uri()}/")
