"""Step 4: score a candidate beside naive, check it for leaks, let the gate decide, publish."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from closecast.atomic import storage, write_atomically
from closecast.bundle import BundleInfo, DataSpan, Manifest
from closecast.dataset import make_examples
from closecast.errors import ClosecastError
from closecast.evaluation import Evaluation, Row, as_table, evaluate, roll
from closecast.forecasters import BASELINES, TrainingReport, load_predictor, make_forecaster
from closecast.forecasters.base import Parameters, Watch, ignore_progress
from closecast.gate import Decision, decide
from closecast.intervals import Calibration
from closecast.leaks import LeakCheck, check_leaks
from closecast.pipeline.workspace import Prepared, Workspace
from closecast.plots import draw_all
from closecast.registry import Registry
from closecast.serving import INTERVALS_FILE
from closecast.settings import Settings
from closecast.symbols import folder_name
from closecast.tracking import record_run

TABLE_FILE = "evaluation.txt"


@dataclass(frozen=True, slots=True)
class Published:
    """What came of a candidate."""

    manifest: Manifest
    evaluation: Evaluation
    decision: Decision
    promoted: bool
    table: str
    results: Path
    mlflow_run: str | None


def evaluate_candidate(
    settings: Settings, symbol: str, watch: Watch = ignore_progress
) -> Published:
    """Score the symbol's candidate on the untouched part, publish it, promote it if it may be.

    Writes ``results/<symbol>/<version>/`` (JSON, table, training log, pictures) and one
    MLflow run with all of it and the bundle.

    Raises
    ------
    MissingStep
        If nothing was trained.
    ClosecastError
        If the look-ahead check fails: such a bundle is not published.
    """
    workspace = Workspace(settings, symbol)
    prepared = workspace.prepared()
    candidate = workspace.candidate(prepared)
    about = candidate.about
    name = str(about["forecaster"])
    predictor = load_predictor(name, candidate.files)
    calibration = Calibration.from_json(candidate.files[INTERVALS_FILE])
    leak_check = check_leaks(
        prepared.prices,
        prepared.split,
        prepared.train_size,
        prepared.processed,
        predictor,
        calibration,
        seed=0,
    )
    if not leak_check.passed:
        raise LookAheadFound(f"{workspace.symbol}: not published; {'; '.join(leak_check.failures)}")
    split = prepared.split
    shared = Parameters(seq_length=prepared.seq_length, horizon=prepared.horizon)
    naive, *others = (
        make_forecaster(baseline, shared).fit([split.train], [split.valid])
        for baseline in BASELINES
    )
    contenders = [(baseline, None) for baseline in others if baseline.name != name]
    evaluation = evaluate(split, naive, [*contenders, (predictor, calibration)])
    report = TrainingReport(**about["training"])
    table = "\n".join([as_table(evaluation), *_training_line(name, report)])
    row = evaluation.row(name)
    decision = decide(row, evaluation.origins)

    watch({"stage": "publish"})  # the last chance to cancel
    registry = Registry(settings.models_url)
    info = _info(prepared, about, evaluation, decision, leak_check)
    files = {**candidate.files, TABLE_FILE: table.encode()}
    manifest = registry.publish(info, files)
    results = settings.results_dir / folder_name(workspace.symbol) / manifest.version
    _write_results(results, manifest, evaluation, table, report)
    examples = make_examples(split.test, prepared.seq_length, prepared.horizon)
    forecast = roll(predictor, calibration, examples)
    with storage(results):
        draw_all(results, split.test, examples, forecast, row, report.epochs, report.best_epoch)
    promoted = _may_serve(settings, registry, workspace.symbol, name, decision)
    if promoted:  # after everything that can fail: what is current is also complete
        registry.promote(workspace.symbol, manifest.version, decision.reason)
    run = _track(settings, manifest, files, row, decision, report, results)
    return Published(manifest, evaluation, decision, promoted, table, results, run)


class LookAheadFound(ClosecastError):
    """A feature, a split or a forecast depends on the future."""

    code = "look_ahead_found"


def _training_line(name: str, report: TrainingReport) -> list[str]:
    if report.best_valid_loss is None:
        return []
    return [
        f"{name}: best validation loss {report.best_valid_loss:.4f} in epoch {report.best_epoch} "
        f"of {len(report.epochs)}, trained in {report.seconds:.0f} s"
    ]


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
    evaluation: Evaluation,
    decision: Decision,
    leak_check: LeakCheck,
) -> BundleInfo:
    prices = prepared.prices
    first, last = prices.span
    valid_start, test_start = prepared.split.boundaries
    return BundleInfo(
        forecaster=about["forecaster"],
        symbols=(prices.symbol,),
        seq_length=prepared.seq_length,
        horizon=prepared.horizon,
        data=(
            DataSpan(
                symbol=prices.symbol,
                source=prices.source,
                basis=prices.basis,
                first_session=first,
                last_session=last,
                closes=len(prices),
                content_hash=prices.content_hash,
                valid_start=valid_start,
                test_start=test_start,
            ),
        ),
        hyperparameters=about["hyperparameters"],
        fine_tuned_from=about["fine_tuned_from"],
        git_commit=_git_commit(),
        libraries=_libraries(),
        training=about["training"],
        evaluation=evaluation.to_dict(),
        gate=asdict(decision),
        leak_check=leak_check.to_dict(),
    )


def _write_results(
    folder: Path, manifest: Manifest, evaluation: Evaluation, table: str, report: TrainingReport
) -> None:
    scores = {
        "version": manifest.version,
        "best_valid_loss": report.best_valid_loss,
        "training_seconds": report.seconds,
        "gate": manifest.info.gate,
        **evaluation.to_dict(),
    }
    write_atomically(folder / "evaluation.json", json.dumps(scores, indent=1).encode())
    write_atomically(folder / TABLE_FILE, f"{table}\n".encode())
    if report.epochs:
        log = io.StringIO()
        writer = csv.DictWriter(log, list(report.epochs[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(report.epochs)
        write_atomically(folder / "training_log.csv", log.getvalue().encode())


def _track(
    settings: Settings,
    manifest: Manifest,
    files: Mapping[str, bytes],
    row: Row,
    decision: Decision,
    report: TrainingReport,
    results: Path,
) -> str | None:
    metrics = {f"overall_{key}": value for key, value in asdict(row.overall).items()}
    for step, scores in enumerate(row.steps, start=1):
        metrics |= {f"{key}_step_{step:02}": value for key, value in asdict(scores).items()}
    metrics["training_seconds"] = report.seconds
    if report.best_valid_loss is not None:
        metrics["best_valid_loss"] = report.best_valid_loss
    info, data = manifest.info, manifest.info.data[0]
    with tempfile.TemporaryDirectory(prefix="closecast-bundle-") as scratch:
        bundle = Path(scratch)
        for name, content in files.items():
            (bundle / name).write_bytes(content)
        (bundle / "manifest.json").write_text(manifest.model_dump_json(indent=1))
        return record_run(
            settings,
            experiment=f"closecast/{data.symbol}",
            run_name=manifest.version,
            parameters={**info.hyperparameters, "forecaster": info.forecaster},
            metrics=metrics,
            curves={
                key: [epoch[key] for epoch in report.epochs]
                for key in ("train_loss", "valid_loss")
                if report.epochs
            },
            tags={
                "symbol": data.symbol,
                "version": manifest.version,
                "source": data.source,
                "basis": data.basis,
                "span": f"{data.first_session} to {data.last_session}",
                "data_hash": data.content_hash,
                "git_commit": info.git_commit or "unknown",
                "gate": decision.outcome,
                "gate_reason": decision.reason,
            },
            artifacts={"bundle": bundle, "results": results},
        )


def _git_commit() -> str | None:
    given = os.environ.get("CLOSECAST_GIT_COMMIT")
    if given:
        return given
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _libraries() -> dict[str, str]:
    found = {}
    for name in ("closecast", "numpy", "onnxruntime", "pytorch-lightning", "scikit-learn", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
