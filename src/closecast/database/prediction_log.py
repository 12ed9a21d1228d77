"""Prediction log: every answered window, written by a thread while requests go on."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Row

from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA, Engine
from closecast.errors import StorageFailed

log = logging.getLogger(__name__)

_predictions = sa.Table(
    "predictions",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("request_id", sa.String(200)),
    sa.Column("symbol", sa.String(40), nullable=False),
    sa.Column("version", sa.String(100), nullable=False),
    sa.Column("last_close", sa.Double, nullable=False),
    sa.Column("predicted_price", sa.Double, nullable=False),
    sa.Column("drift_warning", sa.Boolean, nullable=False),
    sa.Column("findings", sa.JSON, nullable=False),
    sa.Column("duration_ms", sa.Double, nullable=False),
    sa.Column("memory_percent", sa.Double),
    sqlite_autoincrement=True,  # a pruned number is not used again: numbers give the order
)
_BATCH = 2_000


class PredictionRecord(NamedTuple):
    """The record of one answered window, alone or in a batch.

    A named tuple, for a dataclass takes longer to create.

    Attributes
    ----------
    at : datetime
        Aware.
    last_close, predicted_price : float
        Last close of the window, and the predicted close one session later, in one unit.
    findings : tuple of str
        Codes of the drift findings.
    duration_ms : float
        Time that the answer took to compute.
    memory_percent : float or None
        Of the machine's memory in use meanwhile, in [0, 100]; ``None`` in rows that are older than
        this column.
    """

    at: datetime
    request_id: str | None
    symbol: str
    version: str
    last_close: float
    predicted_price: float
    drift_warning: bool
    findings: tuple[str, ...]
    duration_ms: float
    memory_percent: float | None = None


@dataclass(frozen=True, slots=True)
class PredictionFilter:
    """Conditions on records; without any, all records match.

    Attributes
    ----------
    since, until : datetime or None
        Aware; records from ``since`` on and before ``until`` match.
    """

    symbol: str | None = None
    version: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class PredictionLog:
    """Table of the newest answers; older ones are pruned."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def log(self, rows: Sequence[PredictionRecord]) -> None:
        """Append records, all in one transaction."""
        if not rows:
            return
        values = [row._asdict() | {"findings": list(row.findings)} for row in rows]
        with self._engine.transaction() as connection:
            connection.execute(_predictions.insert(), values)

    def page(
        self, wanted: PredictionFilter, limit: int, before_id: int | None = None
    ) -> list[tuple[int, PredictionRecord]]:
        """Return a page of records with their numbers, the newest first.

        Parameters
        ----------
        before_id : int, optional
            Only records with a smaller number: the page after the one that ended with it.
        """
        c = _predictions.c
        query = _predictions.select().order_by(c.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(c.id < before_id)
        if wanted.symbol is not None:
            query = query.where(c.symbol == wanted.symbol)
        if wanted.version is not None:
            query = query.where(c.version == wanted.version)
        if wanted.since is not None:
            query = query.where(c.at >= wanted.since)
        if wanted.until is not None:
            query = query.where(c.at < wanted.until)
        with self._engine.transaction(read_only=True) as connection:
            return [(row.id, _prediction(row)) for row in connection.execute(query)]

    def prune(self, keep: int) -> int:
        """Delete all but the newest ``keep`` records; return the number of deleted ones."""
        c = _predictions.c
        newest_to_go = sa.select(c.id).order_by(c.id.desc()).offset(keep).limit(1).scalar_subquery()
        with self._engine.transaction() as connection:
            gone = connection.execute(_predictions.delete().where(c.id <= newest_to_go))
        return gone.rowcount


class PredictionLogWriter:
    """A thread that logs answers while the next request is served.

    Parameters
    ----------
    predictions : PredictionLog
    capacity : int
        Largest number of waiting answers; further ones are dropped and counted.
    interval_s : float
        Seconds between two writes.
    keep : int
        Number of answers that the database keeps, at times a tenth more for each writing
        process; older ones are deleted, for the first time after the first write.
    """

    def __init__(
        self,
        predictions: PredictionLog,
        capacity: int = 10_000,
        interval_s: float = 1.0,
        keep: int = 100_000,
    ) -> None:
        self._predictions = predictions
        self._keep = keep
        self._since_pruned = keep  # prunes at once: earlier processes may have left more
        self._capacity = capacity
        self._waiting: queue.SimpleQueue[PredictionRecord] = queue.SimpleQueue()
        self._interval_s = interval_s
        self._closed = threading.Event()
        self._counting = threading.Lock()
        self._dropped = 0
        self._written = 0
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Number of answers not written: too many waited, or the database failed."""
        return self._dropped

    @property
    def written(self) -> int:
        """Number of answers written so far, pruned ones included."""
        return self._written

    @property
    def waiting(self) -> int:
        """Number of answers waiting to be written."""
        return self._waiting.qsize()

    def put(self, prediction: PredictionRecord) -> None:
        """Queue an answer for the thread; neither waits nor raises."""
        if self._closed.is_set() or self._waiting.qsize() >= self._capacity:
            self._drop(1)
        else:
            self._waiting.put(prediction)

    def close(self, timeout_s: float = 15.0) -> None:
        """Write the waiting answers, then end; give up after ``timeout_s`` seconds."""
        self._closed.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closed.wait(self._interval_s):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        while batch := self._take():
            try:
                self._predictions.log(batch)
            except Exception as error:  # a thread that ended would lose every answer from now on
                self._drop(len(batch))
                if not self._failing:
                    log.error(
                        "answers are not logged until the ledger can be written again: %s", error
                    )
                self._failing = True
                continue
            self._written += len(batch)
            if self._failing:
                log.warning("answers are logged again; %d were not", self._dropped)
            self._failing = False
            self._prune(len(batch))

    def _prune(self, written: int) -> None:
        self._since_pruned += written
        if self._since_pruned > self._keep / 10:
            try:
                self._predictions.prune(self._keep)
                self._since_pruned = 0
            except StorageFailed as error:  # the next batch is the next occasion
                log.warning("old answers are not deleted: %s", error)

    def _take(self) -> list[PredictionRecord]:
        batch: list[PredictionRecord] = []
        while len(batch) < _BATCH:
            try:
                batch.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return batch

    def _drop(self, n: int) -> None:
        with self._counting:
            self._dropped += n


def _prediction(row: Row[Any]) -> PredictionRecord:
    values = {name: getattr(row, name) for name in PredictionRecord._fields}
    return PredictionRecord(**values | {"findings": tuple(row.findings)})
