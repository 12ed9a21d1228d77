"""Step 4: score a candidate beside naive, check it for leaks, let the gate decide, publish."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from closecast.atomic import storage
from closecast.bundle import (
    EVALUATION_FILE,
    INTERVALS_FILE,
    LIVE_FILE,
    TABLE_FILE,
    BundleInfo,
    DataSpan,
    Manifest,
    of_symbol,
)
from closecast.dataset import make_examples
from closecast.errors import ClosecastError
from closecast.evaluation import Contender, Evaluation, as_table, evaluate_panel, summary_table
from closecast.forecasters import (
    BASELINES,
    Predictor,
    TrainingReport,
    load_predictor,
    make_forecaster,
)
from closecast.forecasters.base import Parameters, Watch, ignore_progress
from closecast.gate import Decision, decide
from closecast.intervals import Calibration, dump_states
from closecast.leaks import LeakCheck, check_leaks
from closecast.pipeline.reporting import git_commit, libraries, track, write_results
from closecast.pipeline.workspace import Prepared, Workspace
from closecast.plots import draw_all
from closecast.registry import Registry
from closecast.settings import Settings
from closecast.symbols import folder_name


@dataclass(frozen=True, slots=True)
class Published:
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
    settings: Settings, symbols: Sequence[str], watch: Watch = ignore_progress
) -> Published:
    """Score the candidate of some symbols on the untouched part, publish it, promote it.

    It becomes current for each symbol for which the gate lets it. Writes
    ``results/<panel>/<version>/`` (JSON, table, training log, pictures) and one MLflow run with
    all of it and the bundle.

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
    name = str(about["forecaster"])
    predictor = load_predictor(name, candidate.files)
    calibrations = {
        symbol: Calibration.from_json(of_symbol(candidate.files, INTERVALS_FILE, symbol))
        for symbol in prepared.symbols
    }
    leak_check = check_leaks(
        [one.processed for one in prepared.series],
        prepared.splits,
        prepared.train_size,
        predictor,
        calibrations,
        seed=0,
    )
    if not leak_check.passed:
        raise LookAheadFound(f"{workspace.name}: not published; {'; '.join(leak_check.failures)}")
    watch({"stage": "evaluate"})
    naive, others = _baselines(prepared, name)
    contender = Contender(dict.fromkeys(prepared.symbols, predictor), calibrations)
    found, followed = evaluate_panel(prepared.splits, naive, [*others, contender])
    live = followed[-1]
    assert live is not None
    evaluations = {evaluation.symbol: evaluation for evaluation in found}
    report = TrainingReport(**about["training"])
    table = _table(found, name, report, prepared.left_out)
    decisions = {symbol: _decide(e, name) for symbol, e in evaluations.items()}

    watch({"stage": "publish"})  # the last chance to cancel
    registry = Registry(settings.models_url)
    info = _info(prepared, about, evaluations, decisions, leak_check)
    every_row = {symbol: e.to_dict() for symbol, e in evaluations.items()}
    files = {
        **candidate.files,
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
    promoted = []  # after everything that can fail: what is current is also complete
    for symbol, decision in decisions.items():
        if _may_serve(settings, registry, symbol, name, decision):
            registry.promote(symbol, manifest.version, decision.reason)
            promoted.append(symbol)
    run = track(settings, manifest, files, evaluations, decisions, report, results)
    return Published(
        manifest,
        evaluations,
        decisions,
        tuple(promoted),
        prepared.left_out,
        table,
        results,
        run,
    )


def _baselines(prepared: Prepared, name: str) -> tuple[dict[str, Predictor], list[Contender]]:
    """Naive per symbol, and the other baselines, each fitted to its symbol alone."""
    shared = Parameters(seq_length=prepared.seq_length, horizon=prepared.horizon)

    def fit(baseline: str) -> dict[str, Predictor]:
        return {
            s.train.symbol: make_forecaster(baseline, shared).fit([s.train], [s.valid])
            for s in prepared.splits
        }

    others = [
        Contender(fit(baseline), {}, with_history=baseline == "ewma")
        for baseline in BASELINES
        if baseline not in ("naive", name)
    ]
    return fit("naive"), others


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


def _decide(evaluation: Evaluation, name: str) -> Decision:
    """The less favourable of both modes: a bundle serves both."""
    decisions = [
        decide(evaluation.row(name, mode), evaluation.origins)
        for mode in ("with history", "window only")
    ]
    order = ("rejected", "not_enough_evidence", "promoted")
    return min(decisions, key=lambda decision: order.index(decision.outcome))


def _may_serve(
    settings: Settings, registry: Registry, symbol: str, forecaster: str, decision: Decision
) -> bool:
    if forecaster in BASELINES and registry.pointer(symbol) is None:
        return True  # something has to answer; everything else is held against it
    if decision.outcome == "not_enough_evidence":
        return settings.promote_without_evidence
    return decision.outcome == "promoted"


def _info(
    prepared: Prepared,
    about: Mapping[str, Any],
    evaluations: Mapping[str, Evaluation],
    decisions: Mapping[str, Decision],
    leak_check: LeakCheck,
) -> BundleInfo:
    name = about["forecaster"]
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
        git_commit=git_commit(),
        libraries=libraries(),
        training=about["training"],
        evaluation={
            symbol: {
                mode: {
                    key: getattr(evaluation.row(name, mode).overall, key)
                    for key in ("relative_mae", "p_mae", "crps_ratio", "p_crps")
                }
                for mode in ("window only", "with history")
            }
            for symbol, evaluation in evaluations.items()
        },
        gate={symbol: asdict(decision) for symbol, decision in decisions.items()},
        leak_check=leak_check.to_dict(),
    )
