"""Before anything else: a model that answers, and that everything later is held against."""

from __future__ import annotations

from collections.abc import Sequence

from closecast.errors import DamagedBundle, MissingStep
from closecast.forecasters import Parameters
from closecast.pipeline.evaluating import evaluate_candidate
from closecast.pipeline.training import train_candidate
from closecast.pipeline.workspace import Workspace
from closecast.registry import Registry
from closecast.settings import Settings

FIRST = "ewma"


def publish_first(settings: Settings, symbols: Sequence[str], source: str | None = None) -> bool:
    """Publish ``ewma`` for prepared symbols, unless each has a model already.

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
    if not _without_model(settings, prepared.symbols):
        return False
    try:
        waiting = workspace.candidate(prepared)
    except MissingStep:
        waiting = None
    parameters = Parameters(
        seq_length=prepared.seq_length, horizon=prepared.horizon, train_size=prepared.train_size
    )
    train_candidate(settings, symbols, FIRST, parameters)
    evaluate_candidate(settings, symbols, source=source)
    if waiting is not None:
        workspace.put_candidate(waiting)
    return True


def _without_model(settings: Settings, symbols: Sequence[str]) -> bool:
    """Whether nothing answers for a symbol, or its pointer is damaged."""
    registry = Registry(settings.models_url)
    try:
        return any(registry.pointer(symbol) is None for symbol in symbols)
    except DamagedBundle:
        return True
