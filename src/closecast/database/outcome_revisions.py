"""Outcome revisions: outcomes that were replaced when a close turned out to be wrong.

The row of a forecast's step holds its newest outcome. An outcome that a corrected close changed,
or that a close with a fault brought about, moves to a table of its own and stays there.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from closecast.core.corrections import ROUNDING
from closecast.core.records import Outcome
from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA

OUTCOME_COLUMNS = tuple(Outcome.__slots__)

_outcome_revisions = sa.Table(
    "outcome_revisions",
    METADATA,
    sa.Column("forecast_id", sa.String(32), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("actual", sa.Double, nullable=False),
    sa.Column("log_return", sa.Double, nullable=False),
    sa.Column("error", sa.Double, nullable=False),
    sa.Column("naive_error", sa.Double, nullable=False),
    sa.Column("hits", sa.JSON, nullable=False),
    sa.Column("crps", sa.Double, nullable=False),
    sa.Column("pit", sa.Double, nullable=False),
    sa.Column("scored_at", UtcDateTime, nullable=False),
    sa.Column("replaced_at", UtcDateTime, nullable=False),
)


def outcome_of(row: Row[Any]) -> Outcome | None:
    """Read the outcome in a row of forecasts or of revisions; ``None`` if the step is open."""
    if row.scored_at is None:
        return None
    values = {name: getattr(row, name) for name in OUTCOME_COLUMNS}
    return Outcome(**values | {"hits": tuple(row.hits)})


def columns_of(outcome: Outcome) -> dict[str, Any]:
    """Return the values of an outcome by column."""
    values = {name: getattr(outcome, name) for name in OUTCOME_COLUMNS}
    return values | {"hits": list(outcome.hits)}


def keep_outcome(connection: Connection, row: Row[Any], replaced_at: Any) -> int:
    """Keep the outcome of a scored step that is about to be replaced; return how many are kept."""
    revision = int(row.corrections or 0) + 1
    connection.execute(
        _outcome_revisions.insert().values(
            forecast_id=row.forecast_id,
            step=row.step,
            revision=revision,
            replaced_at=replaced_at,
            **{name: getattr(row, name) for name in OUTCOME_COLUMNS},
        )
    )
    return revision


def take_back_equal(connection: Connection, row: Row[Any], outcome: Outcome) -> int:
    """Forget the last kept outcome of an open step that comes out as it was; return how many stay.

    A close that was held back and then accepted corrects nothing.
    """
    kept = int(row.corrections or 0)
    c = _outcome_revisions.c
    last = (c.forecast_id == row.forecast_id) & (c.step == row.step) & (c.revision == kept)
    before = connection.execute(sa.select(c.log_return).where(last)).scalar()
    if before is None or abs(before - outcome.log_return) > ROUNDING:
        return kept
    connection.execute(_outcome_revisions.delete().where(last))
    return kept - 1


def kept_outcomes(connection: Connection, forecast_id: str) -> list[tuple[int, Outcome]]:
    """List the replaced outcomes of a forecast with their steps, oldest first within a step."""
    c = _outcome_revisions.c
    query = (
        _outcome_revisions.select().where(c.forecast_id == forecast_id).order_by(c.step, c.revision)
    )
    found = []
    for row in connection.execute(query):
        outcome = outcome_of(row)
        assert outcome is not None
        found.append((row.step, outcome))
    return found
