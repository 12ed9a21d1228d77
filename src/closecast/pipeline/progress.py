"""Progress of a training over all of its stages, from 0 to 100 percent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from closecast.core.progress import FractionWatch
from closecast.forecasters.base import Watch

STAGE_SECONDS = {
    "collect": 1,
    "preprocess": 2,
    "first model": 13,
    "train": 28,
    "evaluate": 41,
    "publish": 3,
}
"""Stages in their order, weighted by the seconds they took for three symbols of the sample."""


class OverallProgress:
    """Adds the percentage of the whole training to the reports of its stages.

    A stage reports ``stage`` and its own ``percent``. Passed on are ``percent`` of the whole,
    which never decreases, ``stage_percent`` of the stage, and everything else unchanged.

    Parameters
    ----------
    watch : callable
        Receives the completed reports; may raise to stop the training.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._percent = 0.0

    def __call__(self, progress: Mapping[str, Any]) -> None:
        stage, of_stage = str(progress["stage"]), float(progress.get("percent", 0.0))
        names = list(STAGE_SECONDS)
        before = sum(STAGE_SECONDS[name] for name in names[: names.index(stage)])
        done = before + STAGE_SECONDS[stage] * of_stage / 100
        percent = round(100 * done / sum(STAGE_SECONDS.values()), 1)
        self._percent = max(self._percent, percent)
        self._watch({**progress, "percent": self._percent, "stage_percent": of_stage})


def stage_watch(watch: Watch, stage: str) -> FractionWatch:
    """A receiver of fractions (0 to 1) that reports them as percentages of a stage."""
    return lambda fraction: watch({"stage": stage, "percent": round(100 * fraction, 1)})
