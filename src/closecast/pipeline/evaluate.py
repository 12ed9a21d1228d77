"""Step 4: assess a candidate, let the gate decide, publish it, and move the pointers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from closecast.core.symbols import folder_name
from closecast.evaluation import Evaluation
from closecast.forecasters.base import Watch, ignore_progress
from closecast.pipeline.assessment import Assessment, assess
from closecast.pipeline.progress import stage_watch
from closecast.pipeline.promotion import (
    Champion,
    champions_of,
    decide_all,
    final_decision,
    promote,
    rolled_back_before,
    scored_models,
)
from closecast.pipeline.publication import publish, table_of, write_scores
from closecast.pipeline.reports import track
from closecast.pipeline.workspace import Workspace
from closecast.registry.documents import Manifest, hashes_of
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.tracking.live_run import LiveRun
from closecast.validation.gate import Decision

log = logging.getLogger(__name__)

_ATTEMPTS = 3
"""New decisions after another process has moved pointers, before giving up."""


@dataclass(frozen=True, slots=True)
class PublishedBundle:
    """A published candidate, its scores, and the gate's decision for each symbol."""

    manifest: Manifest
    evaluations: Mapping[str, Evaluation]
    decisions: Mapping[str, Decision]
    promoted: tuple[str, ...]
    left_out: Mapping[str, str]
    table: str
    results: Path
    mlflow_run: str | None


def evaluate_candidate(
    settings: Settings,
    symbols: Sequence[str],
    watch: Watch = ignore_progress,
    source: str | None = None,
    only: Sequence[str] | None = None,
    name: str | None = None,
    run: LiveRun | None = None,
) -> PublishedBundle:
    """Score the candidate of some symbols on the test part, publish it, promote it.

    It becomes current for each symbol for which the gate decides so. Writes
    ``results/<panel>/<version>/`` (JSON, table, training log, pictures) and one MLflow run with
    all of it and the bundle.

    Parameters
    ----------
    source : str, optional
        As requested: with the URL of a file, for the receipt.
    only : sequence of str, optional
        Symbols that it may become current for; all by default.
    name : str, optional
        Name that a person gave the panel.
    run : LiveRun, optional
        The training's run of MLflow, which is completed; a new one by default.

    Raises
    ------
    MissingStep
        If nothing was trained.
    LookAheadFound
        If the look-ahead check fails: such a bundle is not published.
    """
    workspace = Workspace(settings, symbols)
    prepared = workspace.prepared()
    candidate = workspace.candidate(prepared)
    registry = Registry(settings.models_url)
    registry.finish_moves()
    eligible = [s for s in prepared.splits if only is None or s.test.symbol in only]
    champions = champions_of(settings, registry, eligible)
    assessment = assess(
        prepared,
        candidate,
        workspace.closes_in_split(),
        scored_models(champions),
        stage_watch(watch, "evaluate"),
    )
    refused = rolled_back_before(registry, prepared.symbols, hashes_of(candidate.model_files))
    decisions = decide_all(settings, assessment, champions, refused)
    stated = {s: decisions.get(s) or final_decision(None, done=False) for s in prepared.symbols}

    watch({"stage": "publish", "percent": 0.0})  # the last chance to cancel
    manifest, files = publish(registry, assessment, stated, source, name)
    results = settings.results_dir / folder_name(workspace.symbols[0]) / manifest.version
    write_scores(results, manifest, assessment)
    # After everything that can fail: what is current is also complete.
    promoted, decisions = _promote(settings, registry, manifest, assessment, champions, decisions)
    final = {s: final_decision(decisions.get(s), s in promoted) for s in prepared.symbols}
    _log_decisions(manifest.version, final)
    evaluations = assessment.evaluations
    run_id = track(settings, manifest, files, evaluations, final, assessment.report, results, run)
    return PublishedBundle(
        manifest,
        evaluations,
        final,
        promoted,
        prepared.left_out,
        table_of(assessment),
        results,
        run_id,
    )


def _promote(
    settings: Settings,
    registry: Registry,
    manifest: Manifest,
    assessment: Assessment,
    champions: Sequence[Champion],
    decisions: Mapping[str, Decision],
) -> tuple[tuple[str, ...], dict[str, Decision]]:
    """Move the pointers; decide again for those that another process moved since the decision.

    Returns
    -------
    promoted, decisions
        Symbols that the bundle is current for, and the latest decisions.
    """
    latest = dict(decisions)
    promoted, moved = promote(registry, manifest, latest, champions)
    for _ in range(_ATTEMPTS):
        if not moved:
            break
        log.warning("pointers moved while this was judged", extra={"symbols": moved})
        splits = [s for s in assessment.prepared.splits if s.test.symbol in moved]
        champions = champions_of(settings, registry, splits)
        hashes = hashes_of(assessment.candidate.model_files)
        refused = rolled_back_before(registry, moved, hashes)
        losses = assessment.contest.score(scored_models(champions)).losses
        latest |= decide_all(settings, assessment, champions, refused, losses)
        more, moved = promote(registry, manifest, latest, champions)
        promoted += more
    return tuple(promoted), latest


def _log_decisions(version: str, decisions: Mapping[str, Decision]) -> None:
    """Log the gate's decisions on all symbols of a bundle in one line."""
    log.info(
        "gate decided",
        extra={
            "version": version,
            "outcomes": dict(Counter(decision.outcome for decision in decisions.values())),
            "decisions": [
                {"symbol": symbol, "outcome": decision.outcome, "reason": decision.reason}
                for symbol, decision in decisions.items()
            ],
        },
    )
