"""First training: its progress or its failure in the error raised while there is no model."""

from __future__ import annotations

from collections.abc import Sequence

from api.middleware.prefix import public
from closecast.database import ACTIVE, Job, Jobs, JobState
from closecast.errors import ClosecastError, NoModel

_LOOKED_AT = 200
"""Newest trainings among which one of the symbol is searched."""


def with_training(error: NoModel, symbol: str, jobs: Jobs) -> NoModel:
    """Add the state of a symbol's newest training to the error.

    Parameters
    ----------
    error : NoModel
        The error of a model manager.
    symbol : str
        Canonical spelling.
    jobs : Jobs
        The table of jobs.

    Returns
    -------
    NoModel
        A new error; `error` itself where there was no training or the last one succeeded, and
        where the database cannot be read.
    """
    try:
        job = _newest(jobs, symbol, ACTIVE) or _newest(jobs, symbol)
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
    subject = str(error).partition(":")[0]
    return NoModel(f"{subject}; {_description(job, phase, percent)}", training)


def _newest(jobs: Jobs, symbol: str, states: tuple[JobState, ...] | None = None) -> Job | None:
    trainings = jobs.newest(_LOOKED_AT, states, task="train")
    return next((job for job in trainings if symbol in _symbols(job)), None)


def _symbols(job: Job) -> Sequence[str]:
    return job.arguments.get("symbols") or [job.symbol]


def _description(job: Job, phase: str | None, percent: float | None) -> str:
    if job.state in ACTIVE:
        far = ", ".join(filter(None, [phase, "" if percent is None else f"{percent:g} %"]))
        return (
            f"its first training is under way: {far or job.state}. GET /train/{job.id} shows more"
        )
    return (
        f"the last training has {job.state}: {job.reason}. Mend that, then train again with "
        "`make serve` or POST /train"
    )
