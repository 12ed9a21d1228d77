"""Evaluations as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.evaluation.scores import Evaluation, Mode, Scores
from closecast.forecasters import REFERENCE

_COLUMNS = (
    ("MAPE %", "mape", "{:.3f}"),
    (REFERENCE, "naive_mape", "{:.3f}"),
    ("MAE", "mae", "{:.4g}"),
    ("MSE", "mse", "{:.4g}"),
    ("RMSE", "rmse", "{:.4g}"),
    ("R²", "r2", "{:.4f}"),
    (REFERENCE, "naive_r2", "{:.4f}"),
    ("rel. MAE", "relative_mae", "{:.4f}"),
    ("2-sided p", "p_mae", "{:.2f}"),
    ("MASE", "mase", "{:.3f}"),
    ("CRPS/naive", "crps_ratio", "{:.4f}"),
    ("2-sided p", "p_crps", "{:.2f}"),
    ("cover 80", "coverage_80", "{:.3f}"),
    ("cover 95", "coverage_95", "{:.3f}"),
)


def summary_table(evaluations: Sequence[Evaluation], steps: Sequence[int] = (1, 5, 10)) -> str:
    """Several symbols for a terminal: means over symbols, the worst in brackets."""
    first = evaluations[0]
    lines = [
        f"{len(evaluations)} symbols ({', '.join(e.symbol for e in evaluations)}); "
        f"{sum(e.origins for e in evaluations)} origins, {first.first_origin} to "
        f"{first.last_origin}; ratios to naive = tomorrow is today, with a constant Gaussian",
        f"{'forecaster':<18}{'step':>5}{'rel. MAE (worst)':>20}{'CRPS/naive (worst)':>21}"
        f"{'cover 80 (miss)':>18}{'cover 95 (miss)':>18}{'MAPE %':>9}{REFERENCE:>8}",
    ]
    keys = dict.fromkeys((row.forecaster, row.mode) for e in evaluations for row in e.rows)
    for key in keys:
        name, mode = key
        rows = [row for e in evaluations for row in e.rows if (row.forecaster, row.mode) == key]
        label = _label(name, mode)
        if len(rows) < len(evaluations):
            label += f" ({len(rows)})"
        for step in (s for s in steps if s <= min(len(row.steps) for row in rows)):
            found = [row.steps[step - 1] for row in rows]

            def column(key: str, found: Sequence[Scores] = found) -> FloatArray:
                return np.array([getattr(scores, key) for scores in found])

            mae, crps = column("relative_mae"), column("crps_ratio")
            c80, c95 = column("coverage_80"), column("coverage_95")
            lines.append(
                f"{label:<18}{step:>5}{mae.mean():>11.4f} ({mae.max():.4f})"
                f"{crps.mean():>12.4f} ({crps.max():.4f})"
                f"{c80.mean():>11.3f} ({100 * np.abs(c80 - 0.8).mean():.1f})"
                f"{c95.mean():>12.3f} ({100 * np.abs(c95 - 0.95).mean():.1f})"
                f"{column('mape').mean():>9.3f}{column('naive_mape').mean():>8.3f}"
            )
            label = ""
    return "\n".join(lines)


def _label(forecaster: str, mode: Mode) -> str:
    """Name of a row: the forecaster, and the mode where that is not the window alone."""
    marks: dict[Mode, str] = {"with history": " + history", "as trained": " as trained"}
    return forecaster + marks.get(mode, "")


def as_table(evaluation: Evaluation, steps: Sequence[int] = (1, 5, 10)) -> str:
    """The evaluation for a terminal: one line per forecaster, mode and step."""
    head = ["forecaster", "step", *(title for title, _, _ in _COLUMNS)]
    body = []
    for row in evaluation.rows:
        label = _label(row.forecaster, row.mode)
        shown = [(str(s), row.steps[s - 1]) for s in steps if s <= len(row.steps)]
        for step, scores in [*shown, ("all", row.overall)]:
            body.append([label, step, *(f.format(getattr(scores, k)) for _, k, f in _COLUMNS)])
            label = ""
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        return "  ".join([first, *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])

    title = (
        f"{evaluation.symbol}: {evaluation.origins} origins, {evaluation.first_origin} to "
        f"{evaluation.last_origin}; naive = tomorrow is today, with a constant Gaussian"
    )
    return "\n".join([title, line(head), *map(line, body)])
