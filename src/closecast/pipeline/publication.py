"""Publication of an assessed candidate: the bundle in the registry, scores and pictures on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from closecast.calibration import dump_states
from closecast.core.dataset import make_examples
from closecast.core.point_forecasts import flat_path_note
from closecast.core.short_history import SHORT_HISTORY
from closecast.core.symbols import folder_name
from closecast.evaluation import MODES, as_table, summary_table
from closecast.evaluation.training_plots import draw_all, draw_symbol
from closecast.infra.files import storage
from closecast.pipeline.assessment import Assessment
from closecast.pipeline.reports import git_commit, libraries, write_results
from closecast.registry.closes import dump_closes
from closecast.registry.documents import (
    CLOSES_FILE,
    EVALUATION_FILE,
    LIVE_FILE,
    TABLE_FILE,
    BundleInfo,
    DataSpan,
    Manifest,
)
from closecast.registry.registry import Registry
from closecast.sources.file import without_secrets
from closecast.validation.gate import Decision

MOST_DRAWN = 24
"""Symbols of a panel that get a picture: a picture takes half a second."""


def publish(
    registry: Registry,
    assessment: Assessment,
    decisions: Mapping[str, Decision],
    source: str | None,
    name: str | None = None,
) -> tuple[Manifest, dict[str, bytes]]:
    """Store a candidate as a bundle; no pointer moves.

    Parameters
    ----------
    decisions : mapping of symbol to Decision
        The gate's, for the manifest.
    source : str, optional
        As requested: with the URL of a file, for the receipt.
    name : str, optional
        Name that a person gave the panel.

    Returns
    -------
    manifest, files
    """
    files = {
        **assessment.candidate.files,
        CLOSES_FILE: dump_closes(assessment.collected),
        LIVE_FILE: dump_states(assessment.followed.states),
        EVALUATION_FILE: json.dumps(_every_row(assessment)).encode(),
        TABLE_FILE: table_of(assessment).encode(),
    }
    info = _info(assessment, decisions, source).model_copy(update={"name": name})
    return registry.publish(info, files), files


def write_scores(folder: Path, manifest: Manifest, assessment: Assessment) -> None:
    """Write scores, table, training log and pictures to a folder.

    Beside the pictures of the first symbol lies one of each symbol of a panel under ``symbols/``;
    of a large panel, those of the :data:`MOST_DRAWN` whose CRPS is worst beside naive's.
    """
    report, prepared = assessment.report, assessment.prepared
    write_results(folder, manifest, _every_row(assessment), table_of(assessment), report)
    first = prepared.series[0]
    symbol, test = first.prices.symbol, first.split.test
    examples = make_examples(test, prepared.seq_length, prepared.horizon)
    row = assessment.evaluations[symbol].row(assessment.forecaster, "with history")
    forecast = assessment.followed.forecasts[symbol]
    with storage(folder):
        draw_all(folder, test, examples, forecast, row, report.epochs, report.best_epoch)
        _draw_symbols(folder / "symbols", assessment)


def _draw_symbols(folder: Path, assessment: Assessment) -> None:
    """Draw every symbol of a panel, or the worst ones of a large panel."""
    prepared, name = assessment.prepared, assessment.forecaster
    if len(prepared.series) == 1:
        return
    rows = {s: e.row(name, "with history") for s, e in assessment.evaluations.items()}
    worst = sorted(rows, key=lambda symbol: rows[symbol].overall.crps_ratio, reverse=True)
    for one in prepared.series:
        symbol, test = one.prices.symbol, one.split.test
        if symbol in worst[:MOST_DRAWN]:
            examples = make_examples(test, prepared.seq_length, prepared.horizon)
            forecast = assessment.followed.forecasts[symbol]
            path = folder / f"{folder_name(symbol)}.png"
            draw_symbol(path, test, examples, forecast, rows[symbol])


def table_of(assessment: Assessment) -> str:
    """Scores of the candidate beside the others, as text for a terminal."""
    evaluations, report = list(assessment.evaluations.values()), assessment.report
    lines = [as_table(evaluations[0]) if len(evaluations) == 1 else summary_table(evaluations)]
    if report.best_valid_loss is not None:
        lines.append(
            f"{assessment.forecaster}: best validation loss {report.best_valid_loss:.4f} in epoch "
            f"{report.best_epoch} of {len(report.epochs)}, trained in {report.seconds:.0f} s"
        )
    if note := report.notes.get(SHORT_HISTORY):
        lines.append(str(note))
    if note := flat_path_note(assessment.about["location"]):
        lines.append(f"{assessment.forecaster}: {note}")
    lines += [
        f"left out: {symbol}: {reason}" for symbol, reason in assessment.prepared.left_out.items()
    ]
    return "\n".join(lines)


def _every_row(assessment: Assessment) -> dict[str, object]:
    return {symbol: one.to_dict() for symbol, one in assessment.evaluations.items()}


def _info(
    assessment: Assessment, decisions: Mapping[str, Decision], source: str | None
) -> BundleInfo:
    prepared, about, name = assessment.prepared, assessment.about, assessment.forecaster
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
            for symbol, evaluation in assessment.evaluations.items()
        },
        gate={symbol: asdict(decision) for symbol, decision in decisions.items()},
        leak_check=assessment.leak_check.to_dict(),
    )
