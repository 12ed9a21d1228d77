"""What it takes to queue a training, and to show a job; several routes do both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.schemas.training import JobAnswer, TrainBody
from api.service import Service
from closecast.core.symbols import canonical_list, exchange_of, panel_name
from closecast.database import Configuration, Job
from closecast.errors import (
    DamagedBundle,
    NoModel,
    StorageFailed,
    UnknownName,
    UnverifiedModel,
)
from closecast.forecasters import (
    canonical_name,
    forecaster_for,
    make_parameters,
    parameters_type,
    preset,
)
from closecast.jobs.supervisor import require_training
from closecast.sources import SOURCES


def submit_training(service: Service, asked: TrainBody, idempotency_key: str | None = None) -> Job:
    """Queue a training, or answer the same one that is queued or running already.

    Raises
    ------
    TrainingUnavailable, InvalidSymbol, UnknownName, InvalidHyperparameters, JobConflict
    StorageFailed
    """
    request = asked.model_dump_json()
    if idempotency_key is not None:  # a replay stays one, whatever is served or configured now
        job = service.database.jobs.replayed("train", idempotency_key, request)
        if job is not None:
            return job
    require_training()
    symbols = _symbols(service, asked)
    for symbol in symbols:
        exchange_of(symbol)
    configured = symbols[0] if asked.symbol or asked.symbols else service.models.default_symbol
    forecaster, hyperparameters = resolve(service, configured, asked)
    arguments = {
        "symbols": list(symbols),
        "source": _allowed_source(service, asked.source),
        "start": asked.start.isoformat() if asked.start else None,
        "end": asked.end.isoformat() if asked.end else None,
        "forecaster": forecaster,
        "hyperparameters": hyperparameters,
        "fine_tune": asked.fine_tune,
    }
    job, _ = service.database.jobs.submit(
        "train", panel_name(symbols), arguments, idempotency_key, request
    )
    return job


def _symbols(service: Service, asked: TrainBody) -> tuple[str, ...]:
    """Those named; else all that the default symbol's model is for."""
    if asked.symbols:
        return canonical_list(asked.symbols)
    if asked.symbol is not None:
        return (service.models.canonical(asked.symbol),)
    try:
        return service.models.get(None).manifest.info.symbols
    except (NoModel, DamagedBundle, UnverifiedModel, StorageFailed):
        return (service.models.default_symbol,)


def job_answer(job: Job) -> JobAnswer:
    """A job as callers see it."""
    return JobAnswer(
        id=job.id,
        url=f"/train/{job.id}",
        task=job.task,
        symbol=job.symbol,
        state=job.state,
        cancel_requested=job.cancel_requested,
        attempts=job.attempts,
        request=dict(job.arguments),
        progress=dict(job.progress),
        result=dict(job.result) if job.result else None,
        reason=job.reason,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def resolve(service: Service, symbol: str, asked: TrainBody) -> tuple[str, dict[str, Any]]:
    """The forecaster, and its hyper-parameters, complete.

    Of defaults, configuration, preset and request the last one wins.
    Fine-tuning starts from those of the model it continues, so that the weights fit. Where no
    forecaster is named, it is the first that knows what is asked for, of the one to continue, the
    configured one, the default and all others.
    """
    configuration = SymbolConfiguration.of(service.database.configurations.newest(symbol))
    preferred = [configuration.forecaster] if configuration.forecaster else []
    base: dict[str, Any] = {}
    values = configuration.values
    if asked.fine_tune:
        served = service.models.get(symbol).manifest.info
        base, values = served.hyperparameters, {}
        preferred.insert(0, served.forecaster)
    forecaster = canonical_name(
        asked.forecaster or forecaster_for(asked.hyperparameters, asked.preset, preferred)
    )
    known = parameters_type(forecaster).model_fields
    chosen = {
        **{name: value for name, value in {**base, **values}.items() if name in known},
        **preset(forecaster, asked.preset or "default"),
        **asked.hyperparameters,
    }
    return forecaster, make_parameters(forecaster, chosen).model_dump()


@dataclass(frozen=True, slots=True)
class SymbolConfiguration:
    """What was set by hand for a symbol; the forecaster only where it was."""

    forecaster: str | None
    values: dict[str, Any]

    @classmethod
    def of(cls, stored: Configuration) -> SymbolConfiguration:
        """As the ledger keeps it."""
        values = dict(stored.hyperparameters)
        name = values.pop("forecaster", None)
        return cls(name and canonical_name(name), values)


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
