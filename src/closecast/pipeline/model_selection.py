"""``auto``: train what is registered, within a time budget, and keep the simplest of the best."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from closecast.calibration import SplitConformal
from closecast.errors import TrainingFailed
from closecast.evaluation import Losses, Mode, ScoredModel, evaluate_panel
from closecast.forecasters import (
    FORECASTERS,
    REFERENCE,
    Parameters,
    Runtime,
    Watch,
    load_predictor,
    make_forecaster,
    make_parameters,
)
from closecast.forecasters.base import ignore_progress
from closecast.pipeline.train import train_candidate
from closecast.pipeline.workspace import Candidate, Prepared, Workspace
from closecast.registry.documents import INTERVALS_FILE, of_symbol
from closecast.settings import Settings
from closecast.validation.gate import choose

log = logging.getLogger(__name__)


class _OutOfTime(Exception):
    """Raised inside a training whose share of the budget is used up."""


def train_and_choose(
    settings: Settings,
    symbols: Sequence[str],
    parameters: Parameters,
    *,
    runtime: Runtime = Runtime(),
    watch: Watch = ignore_progress,
) -> Candidate:
    """Train every forecaster, the simplest first, and leave the chosen one as the candidate.

    All are scored on the rows that the gate judges by. Of the model confidence set (CRPS, with
    history) the simplest is chosen: a model that is not distinguishable from the best is as good.
    A training that does not end within ``CLOSECAST_AUTO_BUDGET_S``, or diverges, is left out, and
    the manifest of the bundle names it.

    Parameters
    ----------
    parameters : Parameters
        Those that all forecasters share; each keeps its own defaults beside them.
    """
    workspace = Workspace(settings, symbols)
    prepared = workspace.prepared()
    deadline = time.monotonic() + settings.auto_budget_s

    def limited(progress: Mapping[str, Any]) -> None:
        done = len(trained) + len(left_out) + progress.get("percent", 0.0) / 100
        watch({**progress, "percent": round(100 * done / len(FORECASTERS), 1)})
        if time.monotonic() > deadline:
            raise _OutOfTime

    trained: dict[str, Candidate] = {}
    left_out: dict[str, str] = {}
    for name in FORECASTERS:
        if time.monotonic() > deadline:
            left_out[name] = f"no time was left of {settings.auto_budget_s:g} s"
            continue
        own = make_parameters(name, parameters.model_dump())
        try:
            trained[name] = train_candidate(
                settings, symbols, name, own, runtime=runtime, watch=limited
            )
        except _OutOfTime:
            left_out[name] = f"not trained to its end within {settings.auto_budget_s:g} s"
        except TrainingFailed as error:
            left_out[name] = str(error)
    for name, reason in left_out.items():
        log.warning("forecaster left out", extra={"forecaster": name, "reason": reason})
    chosen, p_values = choose(_losses(prepared, trained), list(trained))
    best = trained[chosen]
    choice = {"confidence_set": p_values, "left_out": left_out}
    candidate = Candidate(best.files, {**best.about, "chosen_from": choice})
    workspace.put_candidate(candidate)
    return candidate


def _losses(
    prepared: Prepared, trained: Mapping[str, Candidate]
) -> dict[str, dict[tuple[str, Mode], Losses]]:
    """Losses of every candidate on the same rows; computed in turn, as forecasts are large."""
    shared = Parameters(seq_length=prepared.seq_length, horizon=prepared.horizon)
    naive = {
        s.train.symbol: make_forecaster(REFERENCE, shared).fit([s.train], [s.valid])
        for s in prepared.splits
    }
    found: dict[str, dict[tuple[str, Mode], Losses]] = {s: {} for s in prepared.symbols}
    for name, candidate in trained.items():
        predictor = load_predictor(name, candidate.files)
        contender = ScoredModel(
            dict.fromkeys(prepared.symbols, predictor),
            {
                s: SplitConformal.from_json(of_symbol(candidate.files, INTERVALS_FILE, s))
                for s in prepared.symbols
            },
        )
        losses = evaluate_panel(prepared.splits, naive, [contender]).losses
        for symbol in prepared.symbols:
            found[symbol] = {**losses[symbol], **found[symbol]}
    return found
