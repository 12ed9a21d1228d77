"""Verification of a bundle: reproduce all that can be reproduced, and compare it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from closecast.errors import ClosecastError, DamagedBundle
from closecast.forecasters import Watch, canonical_name
from closecast.forecasters.base import ignore_progress
from closecast.pipeline.verification.checks import (
    CheckFailed,
    check_calibration,
    check_closes,
    check_evaluation_rows,
    check_files,
    check_look_ahead,
    check_preprocessing,
)
from closecast.pipeline.verification.reproduce import (
    NotPossible,
    closes_of,
    judge_again,
    remake,
    train_again,
)
from closecast.pipeline.verification.retraining import check_another_future, check_training
from closecast.pipeline.workspace import Candidate
from closecast.registry.registry import Registry
from closecast.settings import Settings

Outcome = Literal["passed", "failed", "not possible", "left out"]


@dataclass(frozen=True, slots=True)
class Check:
    """A check: its name, its outcome, and one sentence with the result."""

    name: str
    outcome: Outcome
    said: str


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks of one bundle."""

    version: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True if no check failed."""
        return all(check.outcome != "failed" for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {**asdict(self), "passed": self.passed}


def verify(
    settings: Settings,
    version: str,
    *,
    quick: bool = False,
    seed: int | None = None,
    watch: Watch = ignore_progress,
) -> Verification:
    """Compare a published bundle with its reproduction from its own closes.

    Nothing of the registry, the data or the results is written.

    Parameters
    ----------
    quick : bool
        Leave out the two trainings.
    seed : int, optional
        Chooses the days of the long look-ahead check; without it they are others each time.

    Raises
    ------
    UnknownVersion
        If there is no such bundle.
    """
    if seed is None:
        seed = int(np.random.default_rng().integers(2**31))
    return Verification(version, tuple(_checks(settings, version, quick, seed, watch)))


def _checks(
    settings: Settings, version: str, quick: bool, seed: int, watch: Watch
) -> Iterator[Check]:
    """Run the checks in turn; later ones are left out where one that they need fails."""
    registry = Registry(settings.models_url)
    try:
        bundle = registry.load(version)
        yield Check("files", "passed", check_files(bundle, registry))
    except (DamagedBundle, CheckFailed) as error:
        yield Check("files", "failed", str(error))
        return
    try:
        collected = closes_of(bundle)
        yield Check("closes", "passed", check_closes(bundle, collected))
        remade = remake(settings, bundle, collected)
        yield Check("preprocessing", "passed", check_preprocessing(bundle, remade))
    except (ClosecastError, CheckFailed) as error:
        outcome: Outcome = "not possible" if isinstance(error, NotPossible) else "failed"
        yield Check("closes and preprocessing", outcome, str(error))
        return
    watch({"stage": "evaluate"})
    judged = judge_again(remade.prepared, canonical_name(bundle.manifest.info.forecaster), bundle)
    yield _attempt("look-ahead", lambda: check_look_ahead(bundle, remade, judged, seed))
    yield _attempt("calibration", lambda: check_calibration(bundle, remade, judged))
    yield _attempt("evaluation", lambda: check_evaluation_rows(bundle, judged))
    if quick:
        for name in ("training again", "another future"):
            yield Check(name, "left out", "--quick makes no training")
        return
    again: list[Candidate] = []

    def train() -> str:
        stage = _stage(watch, "train again")
        again.append(train_again(settings, bundle, remade.prepared, remade.parameters, stage))
        return check_training(bundle, remade, judged, again[0])

    def train_blind() -> str:
        stage = _stage(watch, "train on another future")
        return check_another_future(settings, bundle, remade, again, seed, stage)

    yield _attempt("training again", train)
    yield _attempt("another future", train_blind)


def _attempt(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, "passed", check())
    except NotPossible as error:
        return Check(name, "not possible", str(error))
    except (ClosecastError, CheckFailed) as error:
        return Check(name, "failed", str(error))


def _stage(watch: Watch, stage: str) -> Watch:
    """Reports of one training, under the name of a stage."""
    watch({"stage": stage})
    return lambda progress: watch({**progress, "stage": stage})
