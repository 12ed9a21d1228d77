"""``/train``: queue, watch, cancel. The work is done by the worker process."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Body, Header, Path, Query, Response

from api.deps import Service, ServiceDep
from api.errors import responses
from api.routes.config import resolve_hyperparameters
from api.schemas import JobAnswer, JobList, TrainBody
from closecast.errors import JobConflict, UnknownName
from closecast.jobs.supervisor import require_training
from closecast.ledger import ACTIVE, Job
from closecast.sources import SOURCES
from closecast.symbols import exchange_of

router = APIRouter(prefix="/train", tags=["training"])

JobId = Annotated[str, Path(max_length=64, description="As answered by `POST /train`.")]


@router.post("", status_code=202, responses=responses(400, 409, 413, 415, 422, 503))
def start_training(
    service: ServiceDep,
    background: BackgroundTasks,
    response: Response,
    body: Annotated[TrainBody | None, Body()] = None,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            description="The same key with the same request answers the first job, for good.",
        ),
    ] = None,
) -> JobAnswer:
    """Collect, train, evaluate, publish, in the background; predictions go on meanwhile.

    The same request again while it runs is the same job; another one for the same symbol is
    a conflict (409) that names the running one.
    """
    require_training()
    asked = body or TrainBody()
    symbol = service.models.canonical(asked.symbol)
    exchange_of(symbol)
    arguments = {
        "symbol": symbol,
        "source": _allowed_source(service, asked.source),
        "start": asked.start.isoformat() if asked.start else None,
        "end": asked.end.isoformat() if asked.end else None,
        "forecaster": asked.forecaster,
        "hyperparameters": resolve_hyperparameters(
            service, symbol, asked.forecaster, asked.preset, asked.hyperparameters, asked.fine_tune
        ),
        "fine_tune": asked.fine_tune,
    }
    job, _ = service.ledger.jobs.submit(
        "train", symbol, arguments, idempotency_key, asked.model_dump_json()
    )
    if service.supervisor is not None:
        background.add_task(service.supervisor.hand_over)
    response.headers["Location"] = f"/train/{job.id}"
    return _answer(job)


@router.get("", responses=responses(422, 503))
def list_trainings(service: ServiceDep, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> JobList:
    """Trainings, newest first."""
    return JobList(jobs=[_answer(job) for job in service.ledger.jobs.newest(limit)])


@router.get("/{job_id}", responses=responses(404, 422, 503))
def show_training(job_id: JobId, service: ServiceDep) -> JobAnswer:
    """How far a training is, or how it ended."""
    return _answer(service.ledger.jobs.get(job_id))


@router.delete("/{job_id}", responses=responses(404, 409, 422, 503))
def cancel_training(job_id: JobId, service: ServiceDep) -> JobAnswer:
    """Stop a training: at once if it is queued, between two batches if it runs."""
    job = service.ledger.jobs.get(job_id)
    if job.state not in ACTIVE:
        raise JobConflict(f"the job has {job.state} already: there is nothing to cancel", job.id)
    return _answer(service.ledger.jobs.cancel(job_id))


def _allowed_source(service: Service, named: str | None) -> str:
    """A source by name; ``file`` is the one that the service is configured with.

    A caller cannot name a file or an address, or could have the service read any of them; nor
    is the configured one shown, which may hold a password.
    """
    configured = service.settings.source.partition(":")[0]
    allowed = {*SOURCES, "yahoo:raw"} - ({"file"} if configured != "file" else set())
    if named is None:
        return "file" if configured == "file" else service.settings.source
    if named not in allowed:
        raise UnknownName("price source", named[:40].partition(":")[0], allowed)
    return named


def _answer(job: Job) -> JobAnswer:
    return JobAnswer(
        id=job.id,
        url=f"/train/{job.id}",
        symbol=job.symbol,
        state=job.state,
        cancel_requested=job.cancel_requested,
        request=dict(job.arguments),
        progress=dict(job.progress),
        result=dict(job.result) if job.result else None,
        reason=job.reason,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )
