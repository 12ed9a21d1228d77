"""Records of the prediction log, as tests compare them."""

from __future__ import annotations

from closecast.database import Database, PredictionFilter, PredictionRecord


def newest_predictions(database: Database, limit: int = 50) -> list[PredictionRecord]:
    """Return the newest records, the last logged first."""
    return [record for _, record in database.predictions.page(PredictionFilter(), limit)]
