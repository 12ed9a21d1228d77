"""The forecast ledger: dated forecasts of named sessions, and their outcomes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from closecast.core.records import (
    DatedForecast,
    DatedStep,
    Kind,
    Outcome,
    ScoredStep,
    SettledStep,
)
from closecast.database.engine import Clock, Engine
from closecast.database.forecast_rows import (
    FORECASTS,
    OF_FORECAST,
    Outcomes,
    scored_step,
    whole_forecasts,
)
from closecast.database.outcome_revisions import (
    OUTCOME_COLUMNS,
    columns_of,
    keep_outcome,
    kept_outcomes,
    take_back_equal,
)
from closecast.errors import StorageFailed, UnknownForecast

T = TypeVar("T")

_FORECAST_ID = re.compile(r"[0-9a-f]{32}")

_OPEN = FORECASTS.c.scored_at.is_(None) & FORECASTS.c.voided_at.is_(None)
_OF_SETTLED = SettledStep.__slots__
_OF_OUTCOME = [
    FORECASTS.c[name]
    for name in ("forecast_id", "step", "voided_at", "corrections", *OUTCOME_COLUMNS)
]


class ForecastLedger:
    """Table of forecasts. A forecast is never altered; a step is scored, or voided.

    An outcome follows its closes: where they are corrected, the step gets another outcome, and the
    one before is kept.
    """

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
        shared = {name: getattr(forecast, name) for name in OF_FORECAST}
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
                connection.execute(FORECASTS.insert(), rows)
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
                found = whole_forecasts(connection, [forecast_id])
        if not found:
            raise UnknownForecast(f"no forecast {forecast_id[:40]!r}; GET /forecasts lists them")
        [(_, forecast, outcomes)] = found
        return forecast, outcomes

    def newest(
        self, symbol: str, kind: Kind | None = None, limit: int = 50
    ) -> list[tuple[str, DatedForecast, Outcomes]]:
        """List forecasts of a symbol with identifiers and outcomes, the last issued first."""
        c = FORECASTS.c
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
            found = {whole[0]: whole for whole in whole_forecasts(connection, order)}
        return [found[forecast_id] for forecast_id in order]

    def due(self, symbol: str, until: date) -> list[tuple[str, DatedForecast, DatedStep]]:
        """List open steps with a session up to ``until``, oldest session first.

        Each comes with the identifier of its forecast and the forecast itself, the input of
        :func:`closecast.metrics.outcomes.score_step`.
        """
        c = FORECASTS.c
        which = (
            sa.select(c.forecast_id, c.step)
            .where(c.symbol == symbol, c.session <= until, _OPEN)
            .order_by(c.session, c.origin, c.forecast_id)
        )
        with self._engine.transaction(read_only=True) as connection:
            waiting = [(row.forecast_id, row.step) for row in connection.execute(which)]
            found = {
                forecast_id: (forecast, {step.step: step for step in forecast.steps})
                for forecast_id, forecast, _ in whole_forecasts(
                    connection, {name for name, _ in waiting}
                )
            }
        return [(name, found[name][0], found[name][1][step]) for name, step in waiting]

    def settled(self, symbol: str, since: date) -> list[SettledStep]:
        """List scored and voided steps with a session from ``since`` on, oldest session first."""
        c = FORECASTS.c
        query = (
            sa.select(*(c[name] for name in _OF_SETTLED))
            .where(c.symbol == symbol, c.session >= since, ~_OPEN)
            .order_by(c.session, c.origin, c.forecast_id)
        )
        with self._engine.transaction(read_only=True) as connection:
            return [SettledStep(**row._mapping) for row in connection.execute(query)]

    def score(self, outcomes: Sequence[tuple[str, int, Outcome]]) -> int:
        """Store outcomes of open steps, all in one transaction; return the number of new ones.

        A step that is scored or voided stays as it is.

        Parameters
        ----------
        outcomes : sequence of (forecast_id, step, Outcome)
        """

        def new(connection: Connection, row: Row[Any], outcome: Outcome) -> dict[str, Any] | None:
            if row.scored_at is not None or row.voided_at is not None:
                return None
            values = columns_of(outcome)
            if row.corrections:
                values["corrections"] = take_back_equal(connection, row, outcome)
            return values

        return self._change(outcomes, new)

    def correct(self, outcomes: Sequence[tuple[str, int, Outcome]]) -> int:
        """Replace outcomes that corrected closes changed; return the number of changes.

        The outcome before is kept (:meth:`replaced_outcomes`). A voided step whose closes came
        after all is scored, and no longer void.

        Parameters
        ----------
        outcomes : sequence of (forecast_id, step, Outcome)
        """

        def new(connection: Connection, row: Row[Any], outcome: Outcome) -> dict[str, Any] | None:
            values = columns_of(outcome) | {"voided_at": None}
            if row.scored_at is None:
                return None if row.voided_at is None else values
            if row.log_return == outcome.log_return:  # another process was faster
                return None
            return values | {"corrections": keep_outcome(connection, row, self._clock())}

        return self._change(outcomes, new)

    def reopen(self, steps: Sequence[tuple[str, int]]) -> int:
        """Open scored steps whose closes turned out to have a fault; return their number.

        The outcome is kept (:meth:`replaced_outcomes`), unless the step is scored alike later.

        Parameters
        ----------
        steps : sequence of (forecast_id, step)
        """

        def new(connection: Connection, row: Row[Any], _: None) -> dict[str, Any] | None:
            if row.scored_at is None:
                return None
            nothing: dict[str, Any] = dict.fromkeys(OUTCOME_COLUMNS)
            nothing["hits"] = sa.null()  # not the JSON value null
            return nothing | {"corrections": keep_outcome(connection, row, self._clock())}

        return self._change([(*key, None) for key in steps], new)

    def void(self, steps: Sequence[tuple[str, int]]) -> int:
        """Close open steps whose session never took place: they get no outcome and are not due.

        Parameters
        ----------
        steps : sequence of (forecast_id, step)

        Returns
        -------
        int
            Number of steps that were still open.
        """

        def new(_: Connection, row: Row[Any], __: None) -> dict[str, Any] | None:
            if row.scored_at is not None or row.voided_at is not None:
                return None
            return {"voided_at": self._clock()}

        return self._change([(*key, None) for key in steps], new)

    def replaced_outcomes(self, forecast_id: str) -> list[tuple[int, Outcome]]:
        """List the outcomes of a forecast that others replaced, with their steps.

        Oldest first within a step; the newest outcome of a step is that of :meth:`get`.
        """
        with self._engine.transaction(read_only=True) as connection:
            return kept_outcomes(connection, forecast_id)

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
        c = FORECASTS.c
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
            return [scored_step(row) for row in connection.execute(query)]

    def _holds(self, forecast_id: str) -> bool:
        query = sa.select(FORECASTS.c.step).where(FORECASTS.c.forecast_id == forecast_id).limit(1)
        with self._engine.transaction(read_only=True) as connection:
            return connection.execute(query).first() is not None

    def _change(
        self,
        wanted: Sequence[tuple[str, int, T]],
        new: Callable[[Connection, Row[Any], T], dict[str, Any] | None],
    ) -> int:
        """Give steps the columns that ``new`` returns of their rows; count those it changes."""
        c = FORECASTS.c
        changed = 0
        with self._engine.transaction() as connection:
            # All writers in one order: PostgreSQL locks rows, and two orders may deadlock.
            for forecast_id, step, argument in sorted(wanted, key=lambda one: one[:2]):
                own = (c.forecast_id == forecast_id) & (c.step == step)
                query = sa.select(*_OF_OUTCOME).where(own).with_for_update()
                row = connection.execute(query).first()
                values = None if row is None else new(connection, row, argument)
                if values is not None:
                    connection.execute(FORECASTS.update().where(own).values(values))
                    changed += 1
        return changed
