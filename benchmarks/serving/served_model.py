"""What the serving benchmarks serve: real bundles of one symbol, and windows to ask about."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.serving.load import ROOT
from closecast.registry.registry import Registry
from closecast.sources.sample import SampleSource

SYMBOL = "MSFT"
FORECASTER = "lstm"
LENGTH = 60
WINDOWS = 200

SERVE = (sys.executable, "-m", "closecast.cli", "serve")


@dataclass(frozen=True)
class Served:
    """Published bundles of one symbol, and how a service finds them.

    Attributes
    ----------
    environment : mapping
        Settings of the service.
    versions : tuple of str
        Newest last; that one is current. The oldest is the ``ewma`` that a first training
        publishes.
    forecaster : str
        Of the newest one.
    """

    environment: Mapping[str, str]
    versions: tuple[str, ...]
    forecaster: str


def settings_in(folder: Path) -> dict[str, str]:
    """Environment of a service whose every file lies in ``folder``; the rest as it ships."""
    return {
        "CLOSECAST_DEFAULT_SYMBOL": SYMBOL,
        "CLOSECAST_SOURCE": "sample",
        "CLOSECAST_MODELS_URL": str(folder / "models"),
        "CLOSECAST_DATA_DIR": str(folder / "data"),
        "CLOSECAST_RESULTS_DIR": str(folder / "results"),
        "CLOSECAST_LEDGER_URL": f"sqlite:///{folder}/data/ledger.sqlite",
        "CLOSECAST_MLFLOW_TRACKING_URI": "off",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    }


def trained(folder: Path, seeds: Sequence[int] = (1,), forecaster: str = FORECASTER) -> Served:
    """One bundle per seed, at the default size; one epoch each, for only speed is measured.

    Raises
    ------
    RuntimeError
        If a training fails, with what it said last.
    """
    environment = settings_in(folder)
    command = [sys.executable, "-m", "closecast.cli", "train", "--symbols", SYMBOL]
    command += ["--source", "sample", "--forecaster", forecaster, "--set", "num_epochs=1"]
    for seed in seeds:
        print(f"training {forecaster}, seed {seed} ...", flush=True)
        done = subprocess.run(
            [*command, "--set", f"seed={seed}"],
            cwd=ROOT,
            env={**os.environ, **environment, "CLOSECAST_LOG_LEVEL": "ERROR"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the training failed: {done.stderr[-1000:]}")
    registry = Registry(environment["CLOSECAST_MODELS_URL"])
    made = [*registry.versions(SYMBOL)]
    newest = made[0]
    registry.promote(SYMBOL, newest.version, "one epoch is no match for the gate", by="benchmark")
    versions = tuple(manifest.version for manifest in reversed(made))
    return Served(environment, versions, newest.info.forecaster)


def asked_windows(count: int = WINDOWS, since: date | None = None) -> list[list[float]]:
    """Real consecutive closes of the symbol and walks of noise, in turn, all different."""
    closes = SampleSource().read(SYMBOL, since, None).closes
    starts = np.linspace(0, len(closes) - LENGTH, (count + 1) // 2).astype(int)
    rng = np.random.default_rng(0)
    windows = []
    for i in range(count):
        if i % 2 == 0:
            start = starts[i // 2]
            window = closes[start : start + LENGTH]
        else:
            window = 200 * np.exp(np.cumsum(rng.normal(0, 0.015, LENGTH)))
        windows.append(np.round(window, 2).tolist())
    return windows
