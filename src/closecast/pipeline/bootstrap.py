"""Bootstrap: a first model, published before a network is trained, so that requests get answers."""

from __future__ import annotations

from collections.abc import Sequence

from closecast.errors import DamagedBundle, MissingStep
from closecast.forecasters import BOOTSTRAP, Parameters, Watch
from closecast.forecasters.base import ignore_progress
from closecast.pipeline.evaluate import evaluate_candidate
from closecast.pipeline.train import train_candidate
from closecast.pipeline.workspace import Workspace
from closecast.registry.registry import Registry
from closecast.serving.loading import is_outdated
from closecast.settings import Settings


def publish_first(
    settings: Settings,
    symbols: Sequence[str],
    source: str | None = None,
    watch: Watch = ignore_progress,
) -> bool:
    """Publish the bootstrap forecaster for prepared symbols, unless each has a model already.

    It becomes current for symbols that have none; the current models of the others stay.

    A candidate that was trained before and waits to be judged is left as it is.

    Returns
    -------
    bool
        Whether one was needed.

    Raises
    ------
    MissingStep
        If preprocessing was not run.
    """
    workspace = Workspace(settings, symbols)
    prepared = workspace.prepared()
    needing = _without_model(settings, prepared.symbols)
    if not needing:
        return False
    try:
        waiting = workspace.candidate(prepared)
    except MissingStep:
        waiting = None
    parameters = Parameters(
        seq_length=prepared.seq_length,
        horizon=prepared.horizon,
        train_size=prepared.train_size,
        valid_size=prepared.valid_size,
    )
    try:
        train_candidate(settings, symbols, BOOTSTRAP, parameters)
        evaluate_candidate(settings, symbols, watch, source, only=needing)
    finally:
        if waiting is not None:
            workspace.put_candidate(waiting)
    return True


def _without_model(settings: Settings, symbols: Sequence[str]) -> list[str]:
    """The symbols that have no pointer, a damaged one, or one to a bundle of an older format."""
    registry = Registry(settings.models_url)
    found = []
    for symbol in symbols:
        try:
            pointer = registry.pointer(symbol)
            if pointer is None or is_outdated(registry, pointer.version, symbol):
                found.append(symbol)
        except DamagedBundle:
            found.append(symbol)
    return found
