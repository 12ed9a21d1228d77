"""The ledger: what must survive a restart. The only package that speaks SQL.

Jobs and configurations so far. SQLite in a file by default, PostgreSQL by URL.
"""

from __future__ import annotations

from closecast.ledger.configurations import Configuration, Configurations
from closecast.ledger.database import Clock, Database, utc_now
from closecast.ledger.jobs import ACTIVE, Job, Jobs, JobState


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
        self._database = Database(url)
        self.jobs = Jobs(self._database, clock)
        self.configurations = Configurations(self._database, clock)

    def close(self) -> None:
        """Give connections back."""
        self._database.close()

    def check(self) -> None:
        """Raise :class:`closecast.errors.StorageFailed` if the database cannot be used."""
        self._database.check()


__all__ = ["ACTIVE", "Configuration", "Configurations", "Job", "JobState", "Jobs", "Ledger"]
