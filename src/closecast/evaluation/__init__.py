"""Evaluation on rows nobody learned from, with the naive forecast beside everything."""

from closecast.evaluation.rolling import (
    Contender,
    Followed,
    calibrate,
    roll,
    roll_with_history,
)
from closecast.evaluation.scores import (
    MODES,
    Evaluated,
    Evaluation,
    Losses,
    Mode,
    Row,
    Scores,
    evaluate,
    evaluate_panel,
)
from closecast.evaluation.tables import as_table, summary_table

__all__ = [
    "MODES",
    "Contender",
    "Evaluated",
    "Evaluation",
    "Followed",
    "Losses",
    "Mode",
    "Row",
    "Scores",
    "as_table",
    "calibrate",
    "evaluate",
    "evaluate_panel",
    "roll",
    "roll_with_history",
    "summary_table",
]
