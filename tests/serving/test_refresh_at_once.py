"""Updates that several requests ask for at once."""

from __future__ import annotations

from datetime import UTC, datetime

from closecast.database import Database
from closecast.serving.dated.refresh import UPDATE, Refresh, _Attempts
from closecast.settings import Settings


def test_a_first_look_that_was_lost_is_no_error(settings: Settings) -> None:
    database = Database(settings.ledger_url)
    job, _ = database.jobs.submit(UPDATE, "MSFT", {"version": "v"})
    quick = settings.model_copy(update={"forecast_wait_s": 0.1})
    refresh = Refresh(database, quick, lambda: datetime.now(UTC), has_worker=True)
    assert refresh._wait(job, _Attempts()).id == job.id
    database.close()
