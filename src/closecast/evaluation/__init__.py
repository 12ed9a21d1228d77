"""Evaluation on rows that no model has learned from, beside the naive forecast."""

from closecast.evaluation.rolling import (
    HistoryForecasts,
    ScoredModel,
    calibrate,
    roll,
    roll_with_history,
)
from closecast.evaluation.scores import (
    AS_TRAINED,
    MODES,
    Evaluation,
    EvaluationResult,
    Losses,
    Mode,
    Row,
    Scores,
    evaluate,
    evaluate_panel,
)
from closecast.evaluation.tables import as_table, summary_table

__all__ = [
    "AS_TRAINED",
    "MODES",
    "Evaluation",
    "EvaluationResult",
    "HistoryForecasts",
    "Losses",
    "Mode",
    "Row",
    "ScoredModel",
    "Scores",
    "as_table",
    "calibrate",
    "evaluate",
    "evaluate_panel",
    "roll",
    "roll_with_history",
    "summary_table",
]
