"""First training: its progress or its failure in the error raised while there is no model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from api.middleware.prefix import public
from closecast.database import ACTIVE, Job, Jobs, JobState
from closecast.database.engine import Clock, utc_now
from closecast.errors import ClosecastError, NoModel
from closecast.serving.model_manager import Missing

_LOOKED_AT = 200
"""Newest trainings among which one of the symbol is searched."""
_FIRST_LOOK_S = 30
"""Seconds until a training that has just begun, or waits, shows how fast it is."""
_SHORTEST_S, _LONGEST_S = 5, 600


def with_training(error: Missing, symbol: str, jobs: Jobs, clock: Clock = utc_now) -> Missing:
    """Add the state of a symbol's newest training to the error.

    Parameters
    ----------
    error : NoModel or UnknownSymbol
        The error of a model manager.
    symbol : str
        Canonical spelling.
    jobs : Jobs
        The table of jobs.
    clock : callable
        Returns the time (aware) of the machine, which the jobs are dated by.

    Returns
    -------
    NoModel or UnknownSymbol
        A new error, `NoModel` also for another symbol than the default one while its training is
        queued or runs. `error` itself where there was no training or the last one succeeded, and
        where the database cannot be read.
    """
    try:
        job = _newest(jobs, symbol, ACTIVE)
        # Of a symbol that was never heard of, not all past trainings are looked through.
        if job is None and isinstance(error, NoModel):
            job = _newest(jobs, symbol)
    except ClosecastError:
        return error
    if job is None or job.state == "succeeded":
        return error
    phase, percent = job.progress.get("stage"), job.progress.get("percent")
    training = {
        "state": job.state,
        "phase": phase,
        "percent": percent,
        "url": public(f"/train/{job.id}"),
        "reason": job.reason,
    }
    subject = f"no model for {symbol} yet"
    if job.state not in ACTIVE:
        return NoModel(f"{subject}; {_failure(job)}", training)
    wait_s = _remaining_s(job, percent, clock())
    far = ", ".join(filter(None, [phase, "" if percent is None else f"{percent:g} %"]))
    return NoModel(
        f"{subject}; its first training is under way: {far or job.state}. GET /train/{job.id} "
        f"shows more; ask again in {wait_s} s",
        training,
        wait_s,
    )


def _remaining_s(job: Job, percent: float | None, now: datetime) -> int:
    """Guess the seconds that a training still takes, as if each percent took the same time."""
    if job.started_at is None or not percent:
        return _FIRST_LOOK_S
    passed_s = (now - job.started_at).total_seconds()
    guessed = passed_s * (100 - percent) / percent
    return round(min(max(guessed, _SHORTEST_S), _LONGEST_S))


def _newest(jobs: Jobs, symbol: str, states: tuple[JobState, ...] | None = None) -> Job | None:
    trainings = jobs.newest(_LOOKED_AT, states, task="train")
    return next((job for job in trainings if symbol in _symbols(job)), None)


def _symbols(job: Job) -> Sequence[str]:
    return job.arguments.get("symbols") or [job.symbol]


def _failure(job: Job) -> str:
    return (
        f"the last training has {job.state}: {job.reason}. Mend that, then train again with "
        "`make serve` or POST /train"
    )
