"""Rows of forecasts: the table with one row per step, and its rows read as records."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from closecast.core.records import DatedForecast, DatedStep, Outcome, ScoredStep
from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA
from closecast.database.outcome_revisions import outcome_of

FORECASTS = sa.Table(
    "forecasts",
    METADATA,
    sa.Column("forecast_id", sa.String(32), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("symbol", sa.String(40), nullable=False),
    sa.Column("version", sa.String(100), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("forecaster", sa.String(100), nullable=False),
    sa.Column("origin", sa.Date, nullable=False),
    sa.Column("origin_close", sa.Double, nullable=False),
    sa.Column("basis", sa.String(20), nullable=False),
    sa.Column("source", sa.String(100), nullable=False),
    sa.Column("issued_at", UtcDateTime, nullable=False),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("price", sa.Double, nullable=False),
    sa.Column("quantiles", sa.JSON, nullable=False),
    sa.Column("actual", sa.Double),
    sa.Column("log_return", sa.Double),
    sa.Column("error", sa.Double),
    sa.Column("naive_error", sa.Double),
    sa.Column("hits", sa.JSON),
    sa.Column("crps", sa.Double),
    sa.Column("pit", sa.Double),
    sa.Column("scored_at", UtcDateTime),
    sa.Column("voided_at", UtcDateTime),
    sa.Column("corrections", sa.Integer),
    sa.Index("forecasts_of_a_symbol", "symbol", "issued_at"),
    sa.Index("forecasts_for_a_session", "symbol", "session"),
)

OF_FORECAST = tuple(name for name in DatedForecast.__slots__ if name != "steps")
"""Columns that all steps of a forecast share."""

_OF_SCORED = [n for n in ScoredStep.__slots__ if n not in ("outcome", "corrections")]

Outcomes = tuple[Outcome | None, ...]
"""One per step; ``None`` without a close: the session is to come, or never took place."""


def whole_forecasts(
    connection: Connection, forecast_ids: Iterable[str]
) -> list[tuple[str, DatedForecast, Outcomes]]:
    """Read forecasts with all their steps, in order of their identifiers."""
    wanted = sorted(forecast_ids)
    rows: list[Row[Any]] = []
    for first in range(0, len(wanted), 500):  # SQLite may bind a thousand values at most
        rows += connection.execute(
            FORECASTS.select()
            .where(FORECASTS.c.forecast_id.in_(wanted[first : first + 500]))
            .order_by(FORECASTS.c.forecast_id, FORECASTS.c.step)
        )
    found = []
    for forecast_id, group in groupby(rows, key=lambda row: str(row.forecast_id)):
        steps = list(group)
        shared = {name: getattr(steps[0], name) for name in OF_FORECAST}
        dated = tuple(DatedStep(r.step, r.session, r.price, tuple(r.quantiles)) for r in steps)
        forecast = DatedForecast(**shared, steps=dated)
        found.append((forecast_id, forecast, tuple(outcome_of(row) for row in steps)))
    return found


def scored_step(row: Row[Any]) -> ScoredStep:
    """Read the row of a scored step."""
    values = {name: getattr(row, name) for name in _OF_SCORED}
    outcome = outcome_of(row)
    assert outcome is not None
    return ScoredStep(**values, outcome=outcome, corrections=row.corrections or 0)
