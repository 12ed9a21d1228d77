"""``/model``: the served model, earlier versions, promotion and rollback."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Query, Request, Response

from api.middleware.json_routes import StrictRoute
from api.middleware.negotiation import name_model
from api.problems.openapi import Problems, responses
from api.routes.config import SymbolQuery
from api.schemas.base import EXAMPLE_VERSION
from api.schemas.models import (
    ModelAnswer,
    PointerMoveAnswer,
    PointerMoveBody,
    PointerStep,
    PromoteBody,
    ReloadAnswer,
    ReloadOutcome,
    RollbackBody,
    SymbolBody,
    VersionList,
    VersionSummary,
    WorkerState,
)
from api.security.access import caller_name
from api.service import Service, ServiceDep
from closecast.core.point_forecasts import flat_path_note
from closecast.core.symbols import canonical, panel_label
from closecast.infra.processes import host_of
from closecast.registry.documents import Manifest, Pointer
from closecast.serving import Fleet, Reload

router = APIRouter(prefix="/model", tags=["models"], route_class=StrictRoute)

_STEPS_SHOWN = 20
_UNVERIFIED = (
    f"bundle {EXAMPLE_VERSION} carries no passed leak check, so it is neither made current nor "
    f"served: `closecast verify {EXAMPLE_VERSION}` says what fails; mend that and train again"
)
_DAMAGED = {
    "damaged_bundle": f"bundle {EXAMPLE_VERSION}: network.onnx is missing",
    "storage_failed": "cannot write models/current/MSFT.json: No space left on device",
}
_NOT_PROMOTED: Problems = {
    409: {
        "unverified_bundle": _UNVERIFIED,
        "rolled_back": f"ana rolled MSFT back from {EXAMPLE_VERSION} at 2026-01-05T09:00:00Z: "
        "intervals far too narrow. The gate does not undo that; a person can: POST /model/promote "
        "with a reason",
    },
    422: {"invalid_request": "/reason: Field required"},
    503: _DAMAGED,
}
_NOT_ROLLED_BACK: Problems = {
    404: {"unknown_version": "MSFT has no earlier bundle that is whole and verified"},
    409: {"unverified_bundle": _UNVERIFIED},
    422: {"invalid_request": "/reason: Field required"},
    503: _DAMAGED,
}


@router.get("", responses=responses(404, 422, 503))
def get_model(service: ServiceDep, response: Response, symbol: SymbolQuery = None) -> ModelAnswer:
    """The served model: its data, its hyper-parameters, its scores beside naive's."""
    snapshot = service.models.get(symbol)
    info = snapshot.manifest.info
    pointer = service.pointer(snapshot.symbol)
    steps = reversed(pointer.history[-_STEPS_SHOWN:] if pointer else ())
    name_model(response, snapshot.version, snapshot.generation)
    fleet = service.fleet.fleet([snapshot.symbol])
    return ModelAnswer(
        workers=_workers(service, fleet),
        workers_unknown=fleet.unknown,
        symbol=snapshot.symbol,
        version=snapshot.version,
        generation=snapshot.generation,
        published_version=pointer.version if pointer else None,
        history=[PointerStep.model_validate(step) for step in steps],
        loaded_at=snapshot.loaded_at,
        created_at=snapshot.manifest.created_at,
        forecaster=info.forecaster,
        seq_length=info.seq_length,
        horizon=info.horizon,
        data=[span.model_dump() for span in info.data],
        hyperparameters=info.hyperparameters,
        training=info.training,
        location=info.location,
        note=flat_path_note(info.location),
        chosen_from=info.chosen_from,
        symbols=list(info.symbols),
        name=info.name or panel_label(info.symbols),
        left_out=info.left_out,
        evaluation=snapshot.evaluation,
        gate=info.gate.get(snapshot.symbol, {}),
        leak_check=info.leak_check,
        fine_tuned_from=info.fine_tuned_from,
        libraries=info.libraries,
        git_commit=info.git_commit,
    )


@router.get("/versions", responses=responses(422, 503))
def list_model_versions(
    service: ServiceDep,
    symbol: SymbolQuery = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> VersionList:
    """Complete bundles, newest first; of one symbol if named."""
    registry = service.registry
    pointers = [service.pointer(s) for s in registry.symbols()]
    current = {pointer.version for pointer in pointers if pointer}
    found = []
    for manifest in registry.versions(symbol):
        found.append(_summary(manifest, current))
        if len(found) == limit:
            break
    return VersionList(versions=found)


@router.post("/reload", responses=responses(400, 404, 413, 415, 422, 503))
def reload_model(
    service: ServiceDep, body: Annotated[SymbolBody | None, Body()] = None
) -> ReloadAnswer:
    """Follow the pointers now. A bundle that cannot be loaded leaves the old one serving.

    Every process follows the pointers by itself within two seconds. The answer waits up to that
    long for all of them, and lists the version that each serves, or the reason of its failure.
    """
    if body is not None and body.symbol is not None:
        symbol = canonical(body.symbol)
        outcomes = [service.models.look(symbol)]
        service.models.get(symbol)  # 404 for a symbol that has no model at all
    else:
        outcomes = service.models.look_at_all()
    return _reloaded(service, outcomes)


@router.post(
    "/promote",
    responses=responses(400, 404, 409, 413, 415, 422, 503, examples=_NOT_PROMOTED),
)
def promote_model(
    service: ServiceDep,
    request: Request,
    body: Annotated[PromoteBody, Body()],
) -> PointerMoveAnswer:
    """Make a bundle current for a symbol, also one that the gate rejected, and load it.

    All symbols that are served by the same version as this one, and that the bundle was made for,
    move with it; `only` moves one. The answer lists them all under `steps`.

    This is a person's override of the gate. A damaged bundle, or one without a passed leak check,
    is refused all the same. The caller and the reason stay in the pointer's history.
    """
    registry = service.registry
    return _move(service, request, body, body.version, registry.promote_panel, registry.promote)


@router.post(
    "/rollback",
    responses=responses(400, 404, 409, 413, 415, 422, 503, examples=_NOT_ROLLED_BACK),
)
def rollback_model(
    service: ServiceDep,
    request: Request,
    body: Annotated[RollbackBody, Body()],
) -> PointerMoveAnswer:
    """Make the model before this one current again (or a named earlier one), and load it.

    A panel goes back whole: all symbols that the same version serves, or none of them where one
    has no earlier version; `only` moves one. The answer lists them all under `steps`.

    "Before" is the version that was current when the present one first became current: a version
    that was rolled back does not return by another rollback. The gate never promotes the abandoned
    version again; a person can.
    """
    registry = service.registry
    return _move(service, request, body, body.version, registry.rollback_panel, registry.rollback)


def _move(
    service: Service,
    request: Request,
    body: PointerMoveBody,
    version: str | None,
    move_all: Callable[..., list[Pointer]],
    move_one: Callable[..., Pointer],
) -> PointerMoveAnswer:
    """Move pointers by a method of the registry, and load the versions they lead to."""
    arguments = {
        "version": version,
        "reason": body.reason,
        "by": caller_name(request.scope, body.by),
        "expected": body.expected_generation,
    }
    symbol = service.models.canonical(body.symbol)
    moved = [move_one(symbol, **arguments)] if body.only else move_all(symbol, **arguments)
    loaded = _reloaded(service, [service.models.look(one.symbol) for one in moved], moved)
    steps = {one.symbol: PointerStep.model_validate(one.history[-1]) for one in moved}
    return PointerMoveAnswer(**dict(loaded), steps=steps)


def _reloaded(
    service: Service, outcomes: list[Reload], moved: Sequence[Pointer] = ()
) -> ReloadAnswer:
    """Outcome of following the pointers here, and in every other process."""
    pointers: Sequence[Pointer | None] = moved or [service.pointer(one.symbol) for one in outcomes]
    generations = {pointer.symbol: pointer.generation for pointer in pointers if pointer}
    fleet = service.fleet.wait_for(generations)
    return ReloadAnswer(
        process_id=os.getpid(),
        followed=all(outcome.outcome != "failed" for outcome in outcomes)
        and all(
            worker.has_followed(generations[worker.symbol])
            and (worker.serving is None or worker.serving.failure is None)
            for worker in fleet.workers
        ),
        reloads=[ReloadOutcome.model_validate(o) for o in outcomes],
        workers=_workers(service, fleet),
        workers_unknown=fleet.unknown,
    )


def _workers(service: Service, fleet: Fleet) -> list[WorkerState]:
    return [
        WorkerState(
            process=worker.process,
            host=host_of(worker.process),
            answering=worker.process == service.fleet.process,
            symbol=worker.symbol,
            version=worker.serving.version if worker.serving else None,
            generation=worker.serving.generation if worker.serving else None,
            since=worker.since,
            started_at=worker.started_at,
            seen_at=worker.seen_at,
            failure=worker.serving.failure if worker.serving else None,
        )
        for worker in fleet.workers
    ]


def _summary(manifest: Manifest, current: set[str]) -> VersionSummary:
    info = manifest.info
    rows = [row["with history"] for row in info.evaluation.values()]
    outcomes = sorted({gate["outcome"] for gate in info.gate.values()})

    def mean(key: str) -> float | None:
        return sum(row[key] for row in rows) / len(rows) if rows else None

    return VersionSummary(
        version=manifest.version,
        created_at=manifest.created_at,
        symbols=list(info.symbols),
        forecaster=info.forecaster,
        gate=", ".join(outcomes) or "unknown",
        current=manifest.version in current,
        relative_mae=mean("relative_mae"),
        crps_ratio=mean("crps_ratio"),
    )
