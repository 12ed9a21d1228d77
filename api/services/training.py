"""The training service: queue trainings, resolve their parameters, show jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.middleware.prefix import public
from api.schemas.training import JobAnswer, TrainBody
from api.service import Service
from closecast.core.symbols import canonical_list, exchange_of, panel_name, readable_panel
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
from closecast.sources import source_names


def submit_training(service: Service, body: TrainBody, idempotency_key: str | None = None) -> Job:
    """Queue a training, or return an equal one that is queued or running already.

    Raises
    ------
    TrainingUnavailable, InvalidSymbol, UnknownName, InvalidHyperparameters, JobConflict
    StorageFailed
        Also where the worker of this service could not write its model: at once, not after hours.
    """
    request = body.model_dump_json()
    # A repeated request gets the first one's job, even if models or settings changed meanwhile.
    if idempotency_key is not None:
        job = service.database.jobs.replayed("train", idempotency_key, request)
        if job is not None:
            return job
    require_training()
    service.require_places()
    symbols = _symbols(service, body)
    source = _allowed_source(service, body.source)
    if source.partition(":")[0] != "file":  # a column of the file may name the exchange
        for symbol in symbols:
            exchange_of(symbol)
    configured = symbols[0] if body.symbol or body.symbols else service.models.default_symbol
    forecaster, hyperparameters = resolve(service, configured, body)
    arguments = {
        "symbols": list(symbols),
        "source": source,
        "start": body.start.isoformat() if body.start else None,
        "end": body.end.isoformat() if body.end else None,
        "forecaster": forecaster,
        "hyperparameters": hyperparameters,
        "fine_tune": body.fine_tune,
        **({"name": body.name} if body.name else {}),
    }
    job, _ = service.database.jobs.submit(
        "train", panel_name(symbols), arguments, idempotency_key, request
    )
    return job


def _symbols(service: Service, body: TrainBody) -> tuple[str, ...]:
    """Symbols of the request; without any, all symbols of the default symbol's model."""
    if body.symbols:
        return canonical_list(body.symbols)
    if body.symbol is not None:
        return (service.models.canonical(body.symbol),)
    try:
        return service.models.get(None).manifest.info.symbols
    except (NoModel, DamagedBundle, UnverifiedModel, StorageFailed):
        return (service.models.default_symbol,)


def job_answer(job: Job) -> JobAnswer:
    """Answer that shows a job."""
    return JobAnswer(
        id=job.id,
        url=public(f"/train/{job.id}"),
        task=job.task,
        queue=job.queue,
        symbol=job.arguments.get("name") or readable_panel(job.symbol),
        key=job.symbol,
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


def resolve(service: Service, symbol: str, body: TrainBody) -> tuple[str, dict[str, Any]]:
    """Choose the forecaster of a training, and complete its hyper-parameters.

    Of defaults, configuration, preset and request the last one wins. Fine-tuning starts from the
    hyper-parameters of the model that it continues, so that the weights fit. If the request names
    no forecaster, the first one that knows the request's hyper-parameters and preset is chosen: the
    model's that is continued, the configured one, the default, then all others.
    """
    configuration = SymbolConfiguration.of(service.database.configurations.newest(symbol))
    preferred = [configuration.forecaster] if configuration.forecaster else []
    base: dict[str, Any] = {}
    values = configuration.values
    if body.fine_tune:
        served = service.models.get(symbol).manifest.info
        base, values = served.hyperparameters, {}
        preferred.insert(0, served.forecaster)
    forecaster = canonical_name(
        body.forecaster or forecaster_for(body.hyperparameters, body.preset, preferred)
    )
    known = parameters_type(forecaster).model_fields
    chosen = {
        **{name: value for name, value in {**base, **values}.items() if name in known},
        **preset(forecaster, body.preset or "default"),
        **body.hyperparameters,
    }
    return forecaster, make_parameters(forecaster, chosen).model_dump()


@dataclass(frozen=True, slots=True)
class SymbolConfiguration:
    """Configuration of a symbol: hyper-parameters, and a forecaster if one was set."""

    forecaster: str | None
    values: dict[str, Any]

    @classmethod
    def of(cls, stored: Configuration) -> SymbolConfiguration:
        """Read a stored configuration."""
        values = dict(stored.hyperparameters)
        name = values.pop("forecaster", None)
        return cls(name and canonical_name(name), values)


def _allowed_source(service: Service, named: str | None) -> str:
    """Check the name of a price source; ``file`` is the file that the service is configured with.

    A caller cannot name a file or an address, or could have the service read any of them; nor
    is the configured one shown, which may hold a password.

    Raises
    ------
    UnknownName
    """
    has_file = service.settings.source.partition(":")[0] == "file"
    if named is None:
        return "file" if has_file else service.settings.source
    allowed = [*source_names(with_urls=False), *(["file"] if has_file else [])]
    name = named.strip().lower()
    if name in allowed:
        return name
    raise UnknownName("price source", named, allowed, sentence=_refused_source(named, allowed))


def _refused_source(named: str, allowed: Sequence[str]) -> str | None:
    """Sentence on a name that is refused though it looks like one of a source."""
    kind, colon, argument = named.strip().partition(":")
    kind = kind.lower()
    if kind == "file" or _LOOKS_LIKE_A_FILE.search(named):
        meant = (
            'send "source": "file" for the one that this service is configured with'
            if "file" in allowed
            else "this service is configured with another source, and its operator can set "
            "CLOSECAST_SOURCE=file:URL"
        )
        return f"a request cannot name a file or an address to read: {meant}"
    if colon and kind in allowed:
        return f"the price source {kind!r} has no variant {argument[:40]!r}"
    return None


_LOOKS_LIKE_A_FILE = re.compile(r"[/\\]|\.(?:csv|parquet|json|xlsx?|zip|gz|txt)\Z", re.I)
