"""Fixtures that many tests share: settings inside ``tmp_path``, models that train in seconds."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from filelock import FileLock

from api.main import create_app
from closecast.forecasters import preset
from closecast.pipeline import TrainRequest, run_training
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.support.local_client import LocalClient


def settings_in(folder: Path, **changes: object) -> Settings:
    """Settings whose every folder lies in ``folder``; no worker, no MLflow."""
    values: dict[str, object] = {
        "models_url": str(folder / "models"),
        "data_dir": folder / "data",
        "results_dir": folder / "results",
        "ledger_url": f"sqlite:///{folder}/data/ledger.sqlite",
        "mlflow_tracking_uri": "",
        "mlflow_artifact_dir": folder / "mlruns" / "artifacts",
        "worker_enabled": False,
        "pointer_poll_s": 0.2,
        "_env_file": None,
    }
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Logging belongs to the whole process: what one test sets up is put back for the next."""
    names = (None, "uvicorn", "uvicorn.error", "uvicorn.access")
    loggers = [logging.getLogger(name) for name in names]
    before = [(x, x.handlers[:], x.level, x.propagate) for x in loggers]
    yield
    for logger, handlers, level, propagate in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Empty folders."""
    return settings_in(tmp_path)


@pytest.fixture(scope="session")
def _published(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """MSFT and AAPL with an ``ewma``, a tiny pooled ``mlp``, and for MSFT a tiny LSTM on top.

    Three bundles: the first two are of both symbols.

    Made once for all parallel test processes, by whichever comes first.
    """
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    folder = shared / "published"
    with FileLock(shared / "published.lock"):
        if not (folder / "complete").exists():
            _train_into(settings_in(folder))
            (folder / "complete").touch()
    return folder


def _train_into(settings: Settings) -> None:
    registry = Registry(settings.models_url)
    span = {"source": "sample", "start": "2016-01-04"}
    tiny = {"num_layers": 1, "hidden_size": 4, "num_epochs": 1, "batch_size": 512}
    quick = preset("mlp", "quick")
    for request in (
        {"symbols": ["MSFT", "AAPL"], "forecaster": "mlp", "hyperparameters": quick},
        {"symbols": ["MSFT"], "forecaster": "lstm", "hyperparameters": tiny},
    ):
        published = run_training(settings, TrainRequest.model_validate({**span, **request}))
        for symbol in set(published.decisions) - set(published.promoted):  # tiny, so hardly better
            registry.promote(symbol, published.manifest.version, "for tests", by="tests")


@pytest.fixture
def published(_published: Path, tmp_path: Path) -> Settings:
    """A copy of trained models that a test may damage."""
    shutil.copytree(_published, tmp_path, dirs_exist_ok=True)
    return settings_in(tmp_path)


@pytest.fixture
def client(published: Settings) -> Iterator[TestClient]:
    """The API over trained models; server errors come as answers, like for a real caller."""
    with LocalClient(create_app(published), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def empty_client(settings: Settings) -> Iterator[TestClient]:
    """The API before anything was trained."""
    with LocalClient(create_app(settings), raise_server_exceptions=False) as made:
        yield made
