"""Registry entry of a forecaster: where its classes are, and its role beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from closecast.forecasters.base import Forecaster, Predictor
from closecast.forecasters.parameters import Parameters

_PACKAGE = "closecast.forecasters"


@dataclass(frozen=True, slots=True)
class ForecasterEntry:
    """One registered forecaster; its modules are imported on first use.

    Attributes
    ----------
    path : str
        ``MODULE:PREFIX``; a module that begins with a dot lies in this package. A single file
        defines ``<PREFIX>Forecaster`` and ``<PREFIX>Predictor``, and ``PRESETS`` if there are
        any. A folder has ``fit`` (``<PREFIX>Forecaster``), ``predict`` (``<PREFIX>Predictor``)
        and ``parameters`` (``<PREFIX>Parameters``, ``PRESETS``), so that serving loads no
        training library.
    is_baseline : bool
        A simple model that every candidate is compared with; retraining prefers any other.
    with_history : bool
        Whether an evaluation also scores its forecasts under live calibration, which follows
        the history of closes.
    bootstrap : bool
        The model that is published before any training has ended. One entry has it.
    """

    path: str
    is_baseline: bool = False
    with_history: bool = True
    bootstrap: bool = False

    def forecaster(self) -> type[Forecaster]:
        """The trainable class; in a folder this imports the training libraries."""
        kind: type[Forecaster] = self._find("fit", "Forecaster")
        return kind

    def predictor(self) -> type[Predictor]:
        """The class of trained models."""
        kind: type[Predictor] = self._find("predict", "Predictor")
        return kind

    def parameters(self) -> type[Parameters]:
        """The hyper-parameters that it takes."""
        if not self._is_folder:
            return self.forecaster().Parameters
        kind: type[Parameters] = self._find("parameters", "Parameters")
        return kind

    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """Named hyper-parameters; may be empty."""
        module = f"{self._module}.parameters" if self._is_folder else self._module
        presets: Mapping[str, Mapping[str, Any]] = getattr(_imported(module), "PRESETS", {})
        return presets

    @property
    def uses_history(self) -> bool:
        """True if forecasts along a history differ from those of the window alone."""
        return self.predictor().uses_history

    @property
    def _module(self) -> str:
        return self.path.partition(":")[0]

    @property
    def _is_folder(self) -> bool:
        return hasattr(_imported(self._module), "__path__")

    def _find(self, file: str, suffix: str) -> Any:
        module, _, prefix = self.path.partition(":")
        if self._is_folder:
            module = f"{module}.{file}"
        return getattr(_imported(module), f"{prefix}{suffix}")


def _imported(module: str) -> Any:
    return import_module(module, _PACKAGE)
