"""``/metrics`` and ``/monitor``: measurements of the service, for Prometheus and for people."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest

from api.problems.openapi import responses
from api.schemas.monitoring import MonitorAnswer, RecentRequest, ResponseTimes
from api.service import ServiceDep

router = APIRouter(tags=["health"])

_MEDIA_TYPE = "text/plain; version=0.0.4"
_EXAMPLE = """# HELP closecast_requests_total Requests answered.
# TYPE closecast_requests_total counter
closecast_requests_total{method="POST",route="/predict",status="200",version="…"} 12.0
"""


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={
        200: {
            "description": "Prometheus' text format; `docs/metrics.md` lists the metrics.",
            "content": {"text/plain": {"example": _EXAMPLE}},
        },
        **responses(
            503, examples={503: {"storage_failed": "the counters of all processes cannot be read"}}
        ),
    },
)
def get_metrics(service: ServiceDep) -> PlainTextResponse:
    """Counters of all processes, and gauges of models, closes, skill, jobs and the machine.

    Any process answers for all of them. A part that cannot be read is left out, and counted in
    `closecast_scrape_errors_total`.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(service.gauges)
    gauges = generate_latest(registry)  # first: its failures are counted in the next line
    return PlainTextResponse(gauges + service.telemetry.exposition(), media_type=_MEDIA_TYPE)


@router.get("/monitor", responses=responses(422))
def get_monitor(
    service: ServiceDep,
    limit: Annotated[int, Query(ge=0, le=10_000, description="Recent requests shown.")] = 50,
) -> MonitorAnswer:
    """CPU, memory, and the recent requests of this process with time, response time and memory."""
    telemetry = service.telemetry
    machine = telemetry.machine
    recent = tuple(telemetry.recent)
    free, _ = machine.disk()
    return MonitorAnswer(
        process_id=os.getpid(),
        uptime_s=round(machine.uptime_s, 1),
        cpu_percent=machine.cpu_percent,
        memory_percent=machine.memory_percent,
        process_memory_mb=round(machine.resident_bytes / 1e6, 1),
        disk_free_gb=round(free / 1e9, 1),
        requests_in_flight=telemetry.in_flight(),
        response_times=_quantiles([request.duration_s for request in recent]),
        recent=[
            RecentRequest(
                time=datetime.fromtimestamp(request.at, UTC),
                request_id=request.request_id,
                method=request.method,
                route=request.route,
                status=request.status,
                response_time_sec=round(request.duration_s, 6),
                memory_usage_percent=request.memory_percent,
            )
            for request in reversed(recent[len(recent) - min(limit, len(recent)) :])
        ],
    )


def _quantiles(durations_s: Sequence[float]) -> ResponseTimes:
    ordered = sorted(durations_s)

    def at(share: float) -> float | None:
        """By nearest rank: a duration that was measured, not one between two."""
        return round(ordered[math.ceil(share * len(ordered)) - 1], 6) if ordered else None

    return ResponseTimes(n=len(ordered), p50_sec=at(0.5), p95_sec=at(0.95), p99_sec=at(0.99))
