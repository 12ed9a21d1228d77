"""The forecast ledger: dated forecasts of named sessions, and their outcomes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from closecast.core.records import DatedForecast, DatedStep, Kind, Outcome, ScoredStep
from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA, Clock, Engine
from closecast.errors import StorageFailed, UnknownForecast

_FORECAST_ID = re.compile(r"[0-9a-f]{32}")

_forecasts = sa.Table(
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
    sa.Index("forecasts_of_a_symbol", "symbol", "issued_at"),
    sa.Index("forecasts_for_a_session", "symbol", "session"),
)
_OPEN = _forecasts.c.scored_at.is_(None) & _forecasts.c.voided_at.is_(None)
_OF_FORECAST = [name for name in DatedForecast.__slots__ if name != "steps"]

Outcomes = tuple[Outcome | None, ...]
"""One per step; ``None`` without a close: the session is to come, or never took place."""


class ForecastLedger:
    """Table of forecasts. A forecast is never altered; a step is scored once, or voided."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def commit(self, forecast: DatedForecast) -> str:
        """Store all steps of a forecast; return its identifier.

        The same forecast again, from any process, stores nothing.

        Raises
        ------
        ValueError
            If the forecast has no steps.
        StorageFailed
        """
        if not forecast.steps:
            raise ValueError("a dated forecast needs at least one step")
        shared = {name: getattr(forecast, name) for name in _OF_FORECAST}
        forecast_id = forecast.forecast_id
        rows = [
            {
                **shared,
                "forecast_id": forecast_id,
                "step": step.step,
                "session": step.session,
                "price": step.price,
                "quantiles": list(step.quantiles),
            }
            for step in forecast.steps
        ]
        if self._holds(forecast_id):
            return forecast_id
        try:
            with self._engine.transaction() as connection:
                connection.execute(_forecasts.insert(), rows)
        except sa.exc.IntegrityError as error:
            if not self._holds(forecast_id):
                raise StorageFailed(
                    f"the ledger refused the forecast of {forecast.symbol}: {error.orig}"
                ) from error
        return forecast_id

    def get(self, forecast_id: str) -> tuple[DatedForecast, Outcomes]:
        """Return a forecast and the outcomes of its steps.

        Raises
        ------
        UnknownForecast
        """
        found = []
        if _FORECAST_ID.fullmatch(forecast_id):  # PostgreSQL refuses to look for some texts
            with self._engine.transaction(read_only=True) as connection:
                found = _whole(connection, [forecast_id])
        if not found:
            raise UnknownForecast(f"no forecast {forecast_id[:40]!r}")
        [(_, forecast, outcomes)] = found
        return forecast, outcomes

    def newest(
        self, symbol: str, kind: Kind | None = None, limit: int = 50
    ) -> list[tuple[str, DatedForecast, Outcomes]]:
        """List forecasts of a symbol with identifiers and outcomes, the last issued first."""
        c = _forecasts.c
        which = (
            sa.select(c.forecast_id)
            .where(c.symbol == symbol)
            .group_by(c.forecast_id, c.issued_at, c.origin)
            .order_by(c.issued_at.desc(), c.origin.desc(), c.forecast_id)
            .limit(limit)
        )
        if kind is not None:
            which = which.where(c.kind == kind)
        with self._engine.transaction(read_only=True) as connection:
            order = connection.execute(which).scalars().all()
            found = {whole[0]: whole for whole in _whole(connection, order)}
        return [found[forecast_id] for forecast_id in order]

    def due(self, symbol: str, until: date) -> list[tuple[str, DatedForecast, DatedStep]]:
        """List open steps with a session up to ``until``, oldest session first.

        Each comes with the identifier of its forecast and the forecast itself, the input of
        :func:`closecast.metrics.outcomes.score_step`.
        """
        c = _forecasts.c
        which = (
            sa.select(c.forecast_id, c.step)
            .where(c.symbol == symbol, c.session <= until, _OPEN)
            .order_by(c.session, c.origin, c.forecast_id)
        )
        with self._engine.transaction(read_only=True) as connection:
            waiting = [(row.forecast_id, row.step) for row in connection.execute(which)]
            found = {
                forecast_id: (forecast, {step.step: step for step in forecast.steps})
                for forecast_id, forecast, _ in _whole(connection, {name for name, _ in waiting})
            }
        return [(name, found[name][0], found[name][1][step]) for name, step in waiting]

    def score(self, outcomes: Sequence[tuple[str, int, Outcome]]) -> int:
        """Store outcomes, all in one transaction; return the number of new ones.

        A scored step keeps its score: a restated history changes no old one.

        Parameters
        ----------
        outcomes : sequence of (forecast_id, step, Outcome)
        """
        values = [
            (
                forecast_id,
                step,
                {name: getattr(outcome, name) for name in Outcome.__slots__}
                | {"hits": list(outcome.hits)},
            )
            for forecast_id, step, outcome in outcomes
        ]
        return self._settle(values)

    def void(self, steps: Sequence[tuple[str, int]]) -> int:
        """Close steps whose session never took place: they get no outcome and are not due.

        Parameters
        ----------
        steps : sequence of (forecast_id, step)

        Returns
        -------
        int
            Number of steps that were still open.
        """
        now = self._clock()
        return self._settle([(*key, {"voided_at": now}) for key in steps])

    def scored(
        self, symbol: str, kind: Kind, version: str | None = None, since: date | None = None
    ) -> list[ScoredStep]:
        """List scored steps, oldest origin first.

        Of several forecasts for the same origin and step (another revision of the calibration,
        another history, another model where none is named), only the first that was issued
        counts: frequent requests give an origin no more weight, and a forecast is not chosen
        because it turned out better.

        Parameters
        ----------
        since : date, optional
            First session that counts.
        """
        c = _forecasts.c
        rank = sa.func.row_number().over(
            partition_by=(c.origin, c.step),
            order_by=(c.issued_at, c.revision, c.forecast_id),
        )
        columns = [column for column in c if column.name != "quantiles"]  # large, and not needed
        ranked = sa.select(*columns, rank.label("rank")).where(c.symbol == symbol, c.kind == kind)
        if version is not None:
            ranked = ranked.where(c.version == version)
        first = ranked.subquery()
        query = (
            sa.select(first)
            .where(first.c.rank == 1, first.c.scored_at.is_not(None))
            .order_by(first.c.origin, first.c.step, first.c.version)
        )
        if since is not None:
            query = query.where(first.c.session >= since)
        with self._engine.transaction(read_only=True) as connection:
            return [_scored(row) for row in connection.execute(query)]

    def _holds(self, forecast_id: str) -> bool:
        query = sa.select(_forecasts.c.step).where(_forecasts.c.forecast_id == forecast_id).limit(1)
        with self._engine.transaction(read_only=True) as connection:
            return connection.execute(query).first() is not None

    def _settle(self, values: Sequence[tuple[str, int, dict[str, Any]]]) -> int:
        c = _forecasts.c
        changed = 0
        with self._engine.transaction() as connection:
            # All writers in one order: PostgreSQL locks rows, and two orders may deadlock.
            for forecast_id, step, new in sorted(values, key=lambda value: value[:2]):
                changed += connection.execute(
                    _forecasts.update()
                    .where(c.forecast_id == forecast_id, c.step == step, _OPEN)
                    .values(new)
                ).rowcount
        return changed


def _whole(
    connection: Connection, forecast_ids: Iterable[str]
) -> list[tuple[str, DatedForecast, Outcomes]]:
    """Read forecasts with all their steps, in order of their identifiers."""
    wanted = sorted(forecast_ids)
    rows: list[Row[Any]] = []
    for first in range(0, len(wanted), 500):  # SQLite may bind a thousand values at most
        rows += connection.execute(
            _forecasts.select()
            .where(_forecasts.c.forecast_id.in_(wanted[first : first + 500]))
            .order_by(_forecasts.c.forecast_id, _forecasts.c.step)
        )
    found = []
    for forecast_id, group in groupby(rows, key=lambda row: str(row.forecast_id)):
        steps = list(group)
        shared = {name: getattr(steps[0], name) for name in _OF_FORECAST}
        dated = tuple(DatedStep(r.step, r.session, r.price, tuple(r.quantiles)) for r in steps)
        forecast = DatedForecast(**shared, steps=dated)
        found.append((forecast_id, forecast, tuple(_outcome(row) for row in steps)))
    return found


def _outcome(row: Row[Any]) -> Outcome | None:
    if row.scored_at is None:
        return None
    values = {name: getattr(row, name) for name in Outcome.__slots__}
    return Outcome(**values | {"hits": tuple(row.hits)})


def _scored(row: Row[Any]) -> ScoredStep:
    values = {name: getattr(row, name) for name in ScoredStep.__slots__ if name != "outcome"}
    outcome = _outcome(row)
    assert outcome is not None
    return ScoredStep(**values, outcome=outcome)
