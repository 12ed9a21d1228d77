"""What callers are told while there is no model yet."""

from __future__ import annotations

from closecast.errors import ClosecastError, NoModel
from closecast.ledger import ACTIVE, Job, Jobs


def with_training(error: NoModel, jobs: Jobs) -> NoModel:
    """The same error, with how far the newest training is, or how it ended.

    As it was where nobody has asked for a training, or the ledger does not answer.
    """
    try:
        newest = jobs.newest(limit=1, states=ACTIVE, task="train") or jobs.newest(1, task="train")
    except ClosecastError:
        return error
    if not newest or newest[0].state == "succeeded":
        return error
    [job] = newest
    phase, percent = job.progress.get("stage"), job.progress.get("percent")
    training = {
        "state": job.state,
        "phase": phase,
        "percent": percent,
        "url": f"/train/{job.id}",
        "reason": job.reason,
    }
    subject = str(error).partition(":")[0]
    return NoModel(f"{subject}; {_said(job, phase, percent)}", training)


def _said(job: Job, phase: str | None, percent: float | None) -> str:
    if job.state in ACTIVE:
        far = ", ".join(filter(None, [phase, "" if percent is None else f"{percent:g} %"]))
        return (
            f"its first training is under way: {far or job.state}. GET /train/{job.id} shows more"
        )
    return (
        f"the last training has {job.state}: {job.reason}. Mend that, then train again with "
        "`make serve` or POST /train"
    )
