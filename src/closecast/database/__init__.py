"""The ledger: what must survive a restart. The only package that speaks SQL.

Jobs and configurations; dated forecasts with their outcomes; the state of live calibration; the
sessions under watch; the log of what ``POST /predict`` answered; the API processes. SQLite in a
file by default, PostgreSQL by URL.
"""

from __future__ import annotations

from closecast.core.records import DriftDay, ScoredStep
from closecast.database.calibrations import Calibrations, PanelDay, StoredCalibration
from closecast.database.configurations import Configuration, Configurations
from closecast.database.drift_history import DriftDays
from closecast.database.engine import Clock, Database, utc_now
from closecast.database.forecast_ledger import Forecasts
from closecast.database.jobs import ACTIVE, Job, Jobs, JobState
from closecast.database.prediction_log import Prediction, PredictionLog, Predictions, Wanted
from closecast.database.processes import Processes, ProcessState, Serving


class Ledger:
    """All tables of one database.

    Parameters
    ----------
    url : str
        SQLAlchemy URL; nothing is opened before the first use.
    clock : callable
        Answers the time (aware); injected by tests.
    """

    def __init__(self, url: str, clock: Clock = utc_now) -> None:
        self.clock = clock
        self._database = Database(url)
        self.jobs = Jobs(self._database, clock)
        self.configurations = Configurations(self._database, clock)
        self.forecasts = Forecasts(self._database, clock)
        self.calibrations = Calibrations(self._database, clock)
        self.drift_days = DriftDays(self._database)
        self.predictions = Predictions(self._database)
        self.processes = Processes(self._database, clock)

    def close(self) -> None:
        """Give connections back."""
        self._database.close()

    def check(self) -> None:
        """Raise :class:`closecast.errors.StorageFailed` if the database cannot be used."""
        self._database.check()


__all__ = [
    "ACTIVE",
    "Calibrations",
    "Configuration",
    "Configurations",
    "DriftDay",
    "DriftDays",
    "Forecasts",
    "Job",
    "JobState",
    "Jobs",
    "Ledger",
    "PanelDay",
    "Prediction",
    "PredictionLog",
    "Predictions",
    "ProcessState",
    "Processes",
    "ScoredStep",
    "Serving",
    "StoredCalibration",
    "Wanted",
]
