"""``/health``: liveness, readiness, and the state of the machine."""

from __future__ import annotations

from fastapi import APIRouter

from api.problems.openapi import responses
from api.schemas.health import Alive, Artefacts, HealthAnswer, ServedAnswer
from api.service import Service, ServiceDep
from closecast import __version__
from closecast.core.records import HeldCloses
from closecast.errors import ClosecastError
from closecast.jobs.supervisor import can_train

router = APIRouter(prefix="/health", tags=["health"])


@router.get("")
def get_health(service: ServiceDep) -> HealthAnswer:
    """CPU, memory, artefacts, and the served beside the published models."""
    models = service.models
    served = models.serving(models.default_symbol)
    failures = models.failures()
    files: set[str] = set()
    try:
        files = service.registry.files_of(served.version) if served else files
    except ClosecastError as error:
        failures.setdefault(models.default_symbol, str(error))
    database, held = _ledger_state(service)
    machine = service.telemetry.machine
    free, _ = machine.disk()
    if served is None:
        status = "no_model"
    else:
        status = "ok" if database == "ok" and not failures else "degraded"
    return HealthAnswer.model_validate(
        {
            "status": status,
            "version": __version__,
            "uptime_s": round(machine.uptime_s, 1),
            "cpu_percent": machine.cpu_percent,
            "memory_percent": machine.memory_percent,
            "process_memory_mb": round(machine.resident_bytes / 1e6, 1),
            "disk_free_gb": round(free / 1e9, 1),
            "default_symbol": models.default_symbol,
            "artefacts": Artefacts(
                model="predictor.json" in files,
                intervals="intervals.json" in files,
                drift_baseline="baseline_stats.json" in files,
                collected_prices=models.closes.cache.path(models.default_symbol).exists(),
            ),
            "models": [
                ServedAnswer(
                    symbol=snapshot.symbol,
                    serving_version=snapshot.version,
                    published_version=service.published_version(snapshot.symbol),
                )
                for snapshot in models.loaded()
            ],
            "failures": failures,
            "held": held,
            "ledger": database,
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


def _ledger_state(service: Service) -> tuple[str, dict[str, HeldCloses]]:
    """State of the ledger, and the closes that it holds back."""
    try:
        return "ok", service.database.close_decisions.all_held()
    except ClosecastError as error:
        return str(error), {}
