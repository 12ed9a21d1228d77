"""Step 4: score a candidate beside naive, check it for leaks, let the gate decide, publish."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from closecast.calibration import SplitConformal, dump_states
from closecast.core.dataset import make_examples
from closecast.core.prices import Prices
from closecast.core.progress import part
from closecast.core.symbols import folder_name
from closecast.errors import ClosecastError
from closecast.evaluation import (
    MODES,
    Evaluation,
    ScoredModel,
    as_table,
    evaluate_panel,
    summary_table,
)
from closecast.evaluation.training_plots import draw_all
from closecast.forecasters import (
    FORECASTERS,
    REFERENCE,
    Forecaster,
    Predictor,
    TrainingReport,
    canonical_name,
    load_predictor,
    make_forecaster,
    make_parameters,
)
from closecast.forecasters.base import Parameters, Watch, ignore_progress
from closecast.infra.files import storage
from closecast.pipeline.preprocess import without_faults
from closecast.pipeline.progress import stage_watch
from closecast.pipeline.promotion import (
    incumbents,
    judge,
    promote,
    rolled_back_before,
    scored,
    told,
)
from closecast.pipeline.reports import git_commit, libraries, track, write_results
from closecast.pipeline.workspace import Prepared, Workspace
from closecast.registry.closes import dump_closes
from closecast.registry.documents import (
    CLOSES_FILE,
    EVALUATION_FILE,
    INTERVALS_FILE,
    LIVE_FILE,
    TABLE_FILE,
    BundleInfo,
    DataSpan,
    Manifest,
    hashes_of,
    of_symbol,
)
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources.file import without_secrets
from closecast.validation.gate import Decision
from closecast.validation.leakage import LeakCheck, LeakEvidence, check_evaluation, check_leaks

log = logging.getLogger(__name__)

_LEAK_CHECK_SHARE = 0.08
"""Share of the evaluation's time that the leak check before it takes."""

_ATTEMPTS = 3
"""Decisions anew, should somebody else promote at the same time, again and again."""


@dataclass(frozen=True, slots=True)
class PublishedBundle:
    """What came of a candidate; everything by symbol where symbols differ."""

    manifest: Manifest
    evaluations: Mapping[str, Evaluation]
    decisions: Mapping[str, Decision]
    promoted: tuple[str, ...]
    left_out: Mapping[str, str]
    table: str
    results: Path
    mlflow_run: str | None


class LookAheadFound(ClosecastError):
    """A feature, a split or a forecast depends on the future."""

    code = "look_ahead_found"


def evaluate_candidate(
    settings: Settings,
    symbols: Sequence[str],
    watch: Watch = ignore_progress,
    source: str | None = None,
    only: Sequence[str] | None = None,
) -> PublishedBundle:
    """Score the candidate of some symbols on the untouched part, publish it, promote it.

    It becomes current for each symbol for which the gate lets it. Writes
    ``results/<panel>/<version>/`` (JSON, table, training log, pictures) and one MLflow run with
    all of it and the bundle.

    Parameters
    ----------
    source : str, optional
        As it was asked for: with the URL of a file, for the receipt.
    only : sequence of str, optional
        Symbols that it may become current for; all by default.

    Raises
    ------
    MissingStep
        If nothing was trained.
    ClosecastError
        If the look-ahead check fails: such a bundle is not published.
    """
    workspace = Workspace(settings, symbols)
    prepared = workspace.prepared()
    candidate = workspace.candidate(prepared)
    about = candidate.about
    name = canonical_name(str(about["forecaster"]))
    predictor = load_predictor(name, candidate.files)
    calibrations = {
        symbol: SplitConformal.from_json(of_symbol(candidate.files, INTERVALS_FILE, symbol))
        for symbol in prepared.symbols
    }
    report = TrainingReport(**about["training"])
    collected = entered(workspace)
    forecaster = make_forecaster(name, make_parameters(name, about["hyperparameters"]))
    evidence = evidence_of(prepared, collected, forecaster, predictor, report, calibrations)
    report_evaluation = stage_watch(watch, "evaluate")
    leak_check = check_leaks(evidence, watch=part(report_evaluation, 0.0, _LEAK_CHECK_SHARE))
    _require(leak_check, workspace.name)
    registry = Registry(settings.models_url)
    wanted = [s for s in prepared.splits if only is None or s.test.symbol in only]
    standing = incumbents(settings, registry, wanted)
    naive, others = fit_baselines(prepared, name)
    contender = ScoredModel(dict.fromkeys(prepared.symbols, predictor), calibrations)
    found = evaluate_panel(
        prepared.splits,
        naive,
        [contender, *others, *scored(standing)],
        watch=part(report_evaluation, _LEAK_CHECK_SHARE, 1.0),
    )
    live, evaluations = found.followed[0], found.evaluations
    assert live is not None
    fitted = [pair for one in (naive, *(c.predictors for c in others)) for pair in one.items()]
    leak_check = check_evaluation(leak_check, evidence, list(evaluations.values()), live, fitted)
    _require(leak_check, workspace.name)
    table = _table(list(evaluations.values()), name, report, prepared.left_out)
    attempts = len(about.get("chosen_from", {}).get("confidence_set", [name]))
    refused = rolled_back_before(registry, prepared.symbols, hashes_of(candidate.model_files))
    decisions = judge(settings, found.losses, name, standing, refused, attempts)
    stated = {symbol: decisions.get(symbol) or told(None, done=False) for symbol in evaluations}

    watch({"stage": "publish", "percent": 0.0})  # the last chance to cancel
    info = _info(prepared, about, evaluations, stated, leak_check, source)
    every_row = {symbol: e.to_dict() for symbol, e in evaluations.items()}
    files = {
        **candidate.files,
        CLOSES_FILE: dump_closes(collected),
        LIVE_FILE: dump_states(live.states),
        EVALUATION_FILE: json.dumps(every_row).encode(),
        TABLE_FILE: table.encode(),
    }
    manifest = registry.publish(info, files)
    results = settings.results_dir / folder_name(workspace.symbols[0]) / manifest.version
    write_results(results, manifest, every_row, table, report)
    first = prepared.series[0]
    examples = make_examples(first.split.test, prepared.seq_length, prepared.horizon)
    row = evaluations[first.prices.symbol].row(name, "with history")
    forecast = live.forecasts[first.prices.symbol]
    with storage(results):
        draw_all(
            results, first.split.test, examples, forecast, row, report.epochs, report.best_epoch
        )
    # After everything that can fail: what is current is also complete.
    promoted, moved = promote(registry, manifest, decisions, standing)
    for _ in range(_ATTEMPTS):
        if not moved:
            break
        log.warning("pointers moved while this was judged", extra={"symbols": moved})
        standing = incumbents(
            settings, registry, [s for s in prepared.splits if s.test.symbol in moved]
        )
        refused = rolled_back_before(registry, moved, hashes_of(candidate.model_files))
        found = evaluate_panel(prepared.splits, naive, [contender, *others, *scored(standing)])
        decisions |= judge(settings, found.losses, name, standing, refused, attempts)
        more, moved = promote(registry, manifest, decisions, standing)
        promoted += more
    decisions = {symbol: told(decisions.get(symbol), symbol in promoted) for symbol in evaluations}
    _log_decisions(manifest.version, decisions)
    run = track(settings, manifest, files, evaluations, decisions, report, results)
    return PublishedBundle(
        manifest,
        evaluations,
        decisions,
        tuple(promoted),
        prepared.left_out,
        table,
        results,
        run,
    )


def entered(workspace: Workspace) -> list[Prices]:
    """Collected closes that took part in the split, read from where collecting left them."""
    found = [workspace.collected.get(symbol) for symbol in workspace.symbols]
    return without_faults([prices for prices in found if prices is not None])[0]


def evidence_of(
    prepared: Prepared,
    collected: Sequence[Prices],
    forecaster: Forecaster,
    predictor: Predictor,
    report: TrainingReport,
    calibrations: Mapping[str, SplitConformal],
) -> LeakEvidence:
    """What the look-ahead check looks at."""
    return LeakEvidence(
        collected,
        prepared.splits,
        prepared.train_size,
        forecaster,
        predictor,
        report,
        calibrations,
    )


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


def _require(leak_check: LeakCheck, name: str) -> None:
    if not leak_check.passed:
        raise LookAheadFound(f"{name}: not published; {'; '.join(leak_check.failures)}")


def fit_baselines(prepared: Prepared, name: str) -> tuple[dict[str, Predictor], list[ScoredModel]]:
    """Naive per symbol, and the other baselines, each fitted to its symbol alone."""
    shared = Parameters(seq_length=prepared.seq_length, horizon=prepared.horizon)

    def fit(baseline: str) -> dict[str, Predictor]:
        return {
            s.train.symbol: make_forecaster(baseline, shared).fit([s.train], [s.valid])
            for s in prepared.splits
        }

    others = [
        ScoredModel(fit(baseline), {}, with_history=entry.with_history)
        for baseline, entry in FORECASTERS.items()
        if entry.is_baseline and baseline not in (REFERENCE, name)
    ]
    return fit(REFERENCE), others


def _table(
    found: Sequence[Evaluation], name: str, report: TrainingReport, left_out: Mapping[str, str]
) -> str:
    lines = [as_table(found[0]) if len(found) == 1 else summary_table(found)]
    if report.best_valid_loss is not None:
        lines.append(
            f"{name}: best validation loss {report.best_valid_loss:.4f} in epoch "
            f"{report.best_epoch} of {len(report.epochs)}, trained in {report.seconds:.0f} s"
        )
    lines += [f"left out: {symbol}: {reason}" for symbol, reason in left_out.items()]
    return "\n".join(lines)


def _info(
    prepared: Prepared,
    about: Mapping[str, Any],
    evaluations: Mapping[str, Evaluation],
    decisions: Mapping[str, Decision],
    leak_check: LeakCheck,
    source: str | None,
) -> BundleInfo:
    name = canonical_name(about["forecaster"])
    return BundleInfo(
        forecaster=name,
        symbols=prepared.symbols,
        seq_length=prepared.seq_length,
        horizon=prepared.horizon,
        data=tuple(
            DataSpan(
                symbol=one.prices.symbol,
                source=one.prices.source,
                basis=one.prices.basis,
                first_session=one.prices.span[0],
                last_session=one.prices.span[1],
                closes=len(one.prices),
                content_hash=one.prices.content_hash,
                valid_start=one.split.boundaries[0],
                test_start=one.split.boundaries[1],
            )
            for one in prepared.series
        ),
        left_out=dict(prepared.left_out),
        hyperparameters=about["hyperparameters"],
        fine_tuned_from=about["fine_tuned_from"],
        asked_source=source and without_secrets(source),
        git_commit=git_commit(),
        libraries=libraries(),
        training=about["training"],
        location=about["location"],
        chosen_from=about.get("chosen_from", {}),
        evaluation={
            symbol: {
                mode: {
                    key: getattr(evaluation.row(name, mode).overall, key)
                    for key in ("relative_mae", "p_mae", "crps_ratio", "p_crps")
                }
                for mode in MODES
            }
            for symbol, evaluation in evaluations.items()
        },
        gate={symbol: asdict(decision) for symbol, decision in decisions.items()},
        leak_check=leak_check.to_dict(),
    )
