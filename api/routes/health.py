"""``/health``: liveness, readiness, and the state of the machine."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from api.problems.openapi import responses
from api.schemas.health import (
    Alive,
    Artefacts,
    HealthAnswer,
    QueueAnswer,
    ReasonAnswer,
    ServedAnswer,
)
from api.service import ServiceDep
from closecast import __version__
from closecast.infra.trouble import Trouble
from closecast.jobs.supervisor import can_train

router = APIRouter(prefix="/health", tags=["health"])


@router.get("")
def get_health(service: ServiceDep) -> HealthAnswer:
    """CPU, memory, artefacts, the served beside the published models, and what is amiss.

    Answers within a second or two, also where a disk or the ledger does not. The status code is
    200 as long as the process lives: `status` and `reasons` hold the verdict.
    """
    models = service.models
    served = models.serving(models.default_symbol)
    found = service.health.look()
    machine = service.telemetry.machine
    failures = models.failures()
    if found.store.failure is not None:
        failures.setdefault(models.default_symbol, found.store.failure)
    troubles = list(found.troubles)
    if served is None and not failures:
        troubles.insert(0, _no_model(models.default_symbol))
    if served is None:
        status = "no_model"
    else:
        status = "degraded" if troubles or failures or found.ledger.said != "ok" else "ok"
    files = found.store.files
    return HealthAnswer.model_validate(
        {
            "status": status,
            "reasons": [ReasonAnswer(**asdict(trouble)) for trouble in troubles],
            "version": __version__,
            "uptime_s": round(machine.uptime_s, 1),
            "cpu_percent": machine.cpu_percent,
            "memory_percent": machine.memory_percent,
            "process_memory_mb": round(machine.resident_bytes / 1e6, 1),
            "disk_free_gb": None if found.free_bytes is None else round(found.free_bytes / 1e9, 1),
            "default_symbol": models.default_symbol,
            "artefacts": Artefacts(
                model="predictor.json" in files,
                intervals="intervals.json" in files,
                drift_baseline="baseline_stats.json" in files,
                collected_prices=found.store.collected,
            ),
            "models": [
                ServedAnswer(
                    symbol=snapshot.symbol,
                    serving_version=snapshot.version,
                    published_version=found.store.published.get(snapshot.symbol),
                )
                for snapshot in models.loaded()
            ],
            "failures": failures,
            "held": found.ledger.held,
            "ledger": found.ledger.said,
            "queues": {
                queue: QueueAnswer(
                    queued=state.queued,
                    running=state.running,
                    waiting_s=state.waiting_s(service.database.clock()),
                )
                for queue, state in found.ledger.queues.items()
            },
            "can_train": can_train(),
        }
    )


@router.get("/live")
async def get_liveness() -> Alive:
    """The process answers."""
    return Alive(status="alive")


@router.get("/ready", responses=responses(503))
def get_readiness(service: ServiceDep) -> Alive:
    """The default symbol can be forecast. Stays so while a reload is under way."""
    service.models.get()
    return Alive(status="ready")


def _no_model(symbol: str) -> Trouble:
    return Trouble(
        "no_model",
        f"there is no model for {symbol} yet (CLOSECAST_DEFAULT_SYMBOL)",
        "Train one: POST /train, or `closecast train`; GET /train shows one that is under way",
    )
