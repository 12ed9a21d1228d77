"""``/train``: queue, watch and cancel trainings, which the worker process carries out."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Header, Path, Query, Response

from api.contracts.other_names import AnyTraining
from api.middleware.json_routes import StrictRoute
from api.middleware.prefix import public
from api.problems.openapi import responses
from api.schemas.training import JobAnswer, JobList, QueuedJob, TrainBody
from api.service import ServiceDep
from api.services.training import job_answer, submit_training
from closecast.database import ACTIVE, Queue
from closecast.errors import JobConflict

router = APIRouter(prefix="/train", tags=["training"], route_class=StrictRoute)

JobId = Annotated[str, Path(max_length=64, description="As answered by `POST /train`.")]


@router.post("", status_code=202, responses=responses(400, 404, 409, 413, 415, 422, 503))
def train(
    service: ServiceDep,
    response: Response,
    body: Annotated[AnyTraining | None, Body()] = None,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            description="The same key with the same request always returns the first job.",
        ),
    ] = None,
) -> QueuedJob:
    """Collect, train, evaluate, publish, in the background; predictions go on meanwhile.

    The same request while the job runs returns the same job; another request for the same symbol
    is a conflict (409) that names the running job. A call of another system is understood, too:
    `{"stock": "VALE3", "inicio": "2015-01-01", "fim": "2024-12-31"}`.
    """
    job = submit_training(service, body or TrainBody(), idempotency_key)
    answer = job_answer(job)
    response.headers["Location"] = answer.url
    return QueuedJob(**answer.model_dump(), message=_message(answer))


def _message(job: JobAnswer) -> str:
    return f"the training of {job.symbol} is {job.state}: GET {job.url} shows its progress"


@router.get("", responses=responses(404, 422, 503))
def list_jobs(
    service: ServiceDep,
    task: Annotated[
        Literal["train", "update"] | None,
        Query(description="Trainings only, or collections of closes only; both by default."),
    ] = None,
    queue: Annotated[Queue | None, Query(description="Jobs of this queue only.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before_id: Annotated[
        str | None, Query(max_length=64, description="Taken from `next` of the page before.")
    ] = None,
) -> JobList:
    """Trainings and collections of closes, newest first."""
    jobs = service.database.jobs
    before = None if before_id is None else jobs.get(before_id)
    found = jobs.newest(limit + 1, task=task, queue=queue, before=before)
    shown = found[:limit]
    more = None
    if len(found) > limit:
        parameters = {"task": task, "queue": queue, "limit": limit, "before_id": shown[-1].id}
        given = {name: value for name, value in parameters.items() if value is not None}
        more = public(f"/train?{urlencode(given)}")
    return JobList(jobs=[job_answer(job) for job in shown], next=more)


@router.get("/{job_id}", responses=responses(404, 422, 503))
def get_job(job_id: JobId, service: ServiceDep) -> JobAnswer:
    """Progress or result of a training, or of a collection of closes for a forecast."""
    return job_answer(service.database.jobs.get(job_id))


@router.delete("/{job_id}", responses=responses(404, 409, 422, 503))
def cancel_job(job_id: JobId, service: ServiceDep) -> JobAnswer:
    """Cancel a training: at once if it is queued, between two batches if it runs."""
    job = service.database.jobs.get(job_id)
    if job.state not in ACTIVE:
        raise JobConflict(f"the job has {job.state} already: there is nothing to cancel", job.id)
    return job_answer(service.database.jobs.cancel(job_id))
