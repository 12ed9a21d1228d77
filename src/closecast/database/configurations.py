"""Configurations: hyper-parameters set by hand, with all their revisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA, Clock, Engine
from closecast.errors import PreconditionFailed, StorageFailed

_configurations = sa.Table(
    "configurations",
    METADATA,
    sa.Column("symbol", sa.String(40), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("hyperparameters", sa.JSON, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Hyper-parameters of a symbol; revision 0 means that none were set."""

    symbol: str
    revision: int
    hyperparameters: Mapping[str, Any]


class Configurations:
    """Table of configurations: a history of revisions for each symbol."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def newest(self, symbol: str) -> Configuration:
        """Return the newest configuration of a symbol."""
        with self._engine.transaction(read_only=True) as connection:
            return self._newest(connection, symbol)

    def store(
        self, symbol: str, hyperparameters: Mapping[str, Any], if_revision: int | None = None
    ) -> Configuration:
        """Store a new revision; the earlier ones stay.

        Raises
        ------
        PreconditionFailed
            If ``if_revision`` is given and is not the newest.
        """
        for _ in range(5):
            try:
                with self._engine.transaction() as connection:
                    newest = self._newest(connection, symbol)
                    if if_revision is not None and if_revision != newest.revision:
                        raise PreconditionFailed(
                            f"the configuration of {symbol} is at revision {newest.revision}, "
                            f"not {if_revision}: read it again, then repeat the change"
                        )
                    connection.execute(
                        _configurations.insert().values(
                            symbol=symbol,
                            revision=newest.revision + 1,
                            hyperparameters=dict(hyperparameters),
                            created_at=self._clock(),
                        )
                    )
                return Configuration(symbol, newest.revision + 1, dict(hyperparameters))
            except sa.exc.IntegrityError:
                continue  # another process stored this revision at the same moment
        raise StorageFailed(
            f"could not store the configuration of {symbol}: the ledger is too busy"
        )

    def _newest(self, connection: Connection, symbol: str) -> Configuration:
        c = _configurations.c
        row = connection.execute(
            _configurations.select().where(c.symbol == symbol).order_by(c.revision.desc()).limit(1)
        ).first()
        if row is None:
            return Configuration(symbol, 0, {})
        return Configuration(symbol, row.revision, row.hyperparameters)
