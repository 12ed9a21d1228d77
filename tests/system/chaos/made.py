"""What is broken: small models of two symbols, trained in seconds, in folders of their own."""

from __future__ import annotations

from pathlib import Path

from closecast.forecasters import preset
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.system.chaos.callers import START
from tests.system.chaos.siege import SYMBOLS

_TINY = {"num_layers": 1, "hidden_size": 4, "num_epochs": 1, "batch_size": 512}


def settings_in(folder: Path, *, tracking: bool = False) -> Settings:
    """Settings whose every folder lies in ``folder``; no worker but the service's own."""
    return Settings(
        default_symbol=SYMBOLS[0],
        source="sample",
        models_url=str(folder / "models"),
        data_dir=folder / "data",
        results_dir=folder / "results",
        ledger_url=f"sqlite:///{folder}/data/ledger.sqlite",
        mlflow_tracking_uri=f"sqlite:///{folder}/mlruns/mlflow.sqlite" if tracking else "",
        mlflow_artifact_dir=folder / "mlruns" / "artifacts",
        worker_enabled=False,
        _env_file=None,  # type: ignore[call-arg]
    )


def trained_in(folder: Path) -> None:
    """An ``ewma`` and a pooled ``mlp`` of both symbols, and for the first one an LSTM on top."""
    # Not at the top: every child that is killed imports what its parent's main module does.
    from closecast.pipeline import TrainRequest, run_training

    settings = settings_in(folder)
    registry = Registry(settings.models_url)
    span = {"source": "sample", "start": START}
    for request in (
        {"symbols": SYMBOLS, "forecaster": "mlp", "hyperparameters": preset("mlp", "quick")},
        {"symbols": SYMBOLS[:1], "forecaster": "lstm", "hyperparameters": _TINY},
    ):
        published = run_training(settings, TrainRequest.model_validate({**span, **request}))
        for symbol in set(published.decisions) - set(published.promoted):  # tiny, so hardly better
            registry.promote(symbol, published.manifest.version, "for chaos", by="chaos")
