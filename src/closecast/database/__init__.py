"""The database: everything that must survive a restart. The only package that uses SQL.

It holds jobs and configurations, dated forecasts with their outcomes (the forecast ledger), the
state of live calibration, the drift history, decisions about closes, the log of answers of
``POST /predict``, and the API processes. SQLite in a file by default, PostgreSQL by URL.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from closecast.core.records import DriftDay, ScoredStep
from closecast.database.calibrations import CalibrationChange, Calibrations, StoredCalibration
from closecast.database.close_decisions import CloseDecisions
from closecast.database.configurations import Configuration, Configurations
from closecast.database.drift_history import DriftHistory
from closecast.database.engine import Clock, Engine, utc_now
from closecast.database.forecast_ledger import ForecastLedger
from closecast.database.job_records import ACTIVE, QUEUES, Job, JobState, Queue, queue_of
from closecast.database.jobs import Jobs
from closecast.database.ledger_watch import LedgerWatch
from closecast.database.other_clocks import OtherClocks
from closecast.database.prediction_log import (
    PredictionFilter,
    PredictionLog,
    PredictionLogWriter,
    PredictionRecord,
)
from closecast.database.processes import ApiProcesses, ProcessState, ServedModel
from closecast.database.queue_states import QueueState, queue_states


class Database:
    """All tables of one database.

    Parameters
    ----------
    url : str
        SQLAlchemy URL; nothing is opened before the first use.
    clock : callable
        Returns the current time (aware); injected by tests.
    monotonic : callable
        Seconds on a clock that only goes forward, by which leases are judged; injected by tests.
    """

    def __init__(
        self,
        url: str,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._engine = Engine(url)
        self.jobs = Jobs(self._engine, clock, monotonic)
        self.configurations = Configurations(self._engine, clock)
        self.forecasts = ForecastLedger(self._engine, clock)
        self.calibrations = Calibrations(self._engine, clock)
        self.close_decisions = CloseDecisions(self._engine, clock)
        self.drift_days = DriftHistory(self._engine)
        self.predictions = PredictionLog(self._engine)
        self.other_clocks = OtherClocks(self._engine, clock, monotonic)
        self.processes = ApiProcesses(self._engine, clock, monotonic)

    def close(self) -> None:
        """Close all connections."""
        self._engine.close()

    @property
    def folder(self) -> Path | None:
        """The folder of a SQLite file; ``None`` of a server's database."""
        file = self._engine.sqlite_file
        return None if file is None else file.parent

    def watch(self, note: Path) -> LedgerWatch:
        """Make a watch that notices a replaced or damaged ledger, with its note at a path."""
        return LedgerWatch(self._engine, note, self.clock)

    def check(self) -> None:
        """Raise :class:`closecast.errors.StorageFailed` if the database cannot be used."""
        self._engine.check()


__all__ = [
    "ACTIVE",
    "QUEUES",
    "ApiProcesses",
    "CalibrationChange",
    "Calibrations",
    "CloseDecisions",
    "Configuration",
    "Configurations",
    "Database",
    "DriftDay",
    "DriftHistory",
    "ForecastLedger",
    "Job",
    "JobState",
    "Jobs",
    "LedgerWatch",
    "OtherClocks",
    "PredictionFilter",
    "PredictionLog",
    "PredictionLogWriter",
    "PredictionRecord",
    "ProcessState",
    "Queue",
    "QueueState",
    "ScoredStep",
    "ServedModel",
    "StoredCalibration",
    "queue_of",
    "queue_states",
]
