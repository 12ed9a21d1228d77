"""What it takes to queue a training, and to show a job; several routes do both."""

from __future__ import annotations

from typing import Any

from api.deps import Service
from api.schemas.training import JobAnswer, TrainBody
from closecast.errors import UnknownName
from closecast.forecasters import make_parameters, parameters_type
from closecast.forecasters.lstm.parameters import PRESETS
from closecast.jobs.supervisor import require_training
from closecast.ledger import Job
from closecast.sources import SOURCES
from closecast.symbols import exchange_of


def submit_training(service: Service, asked: TrainBody, idempotency_key: str | None = None) -> Job:
    """Queue a training, or answer the same one that is queued or running already.

    Raises
    ------
    TrainingUnavailable, InvalidSymbol, UnknownName, InvalidHyperparameters, JobConflict
    StorageFailed
    """
    require_training()
    symbol = service.models.canonical(asked.symbol)
    exchange_of(symbol)
    arguments = {
        "symbols": [symbol],
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
    return job


def job_answer(job: Job) -> JobAnswer:
    """A job as callers see it."""
    return JobAnswer(
        id=job.id,
        url=f"/train/{job.id}",
        task=job.task,
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


def resolve_hyperparameters(
    service: Service,
    symbol: str,
    forecaster: str,
    preset: str | None,
    asked: dict[str, Any],
    fine_tune: bool,
) -> dict[str, Any]:
    """Complete hyper-parameters: defaults, configuration, preset, request; the last one wins.

    Fine-tuning starts from those of the model it continues, so that the weights fit.
    """
    if preset is not None and preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    known = parameters_type(forecaster).model_fields
    configured = {
        name: value
        for name, value in service.ledger.configurations.newest(symbol).hyperparameters.items()
        if name in known
    }
    base: dict[str, Any] = {}
    if fine_tune:
        served = service.models.get(symbol).manifest.info.hyperparameters
        base = {name: value for name, value in served.items() if name in known}
        configured = {}
    chosen = {name: v for name, v in PRESETS[preset or "default"].items() if name in known}
    values = {**base, **configured, **chosen, **asked}
    return make_parameters(forecaster, values).model_dump()


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
