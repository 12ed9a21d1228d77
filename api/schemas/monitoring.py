"""``GET /monitor``: one process, its machine, its recent requests."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from api.schemas.base import Answer


class RecentRequest(Answer):
    """One request that this process answered."""

    time: datetime = Field(description="Time of arrival.")
    request_id: str
    method: str = Field(examples=["POST"])
    route: str = Field(
        description="The route's template; `unmatched` where a path leads nowhere.",
        examples=["/predict"],
    )
    status: int = Field(description="499: the caller hung up before there was an answer.")
    response_time_sec: float = Field(
        description="Time from its head to the last byte of the answer."
    )
    memory_usage_percent: float = Field(
        description="Of the machine's memory, measured at most a second before."
    )


class ResponseTimes(Answer):
    """Quantiles over the remembered requests, all routes together; `null` without any."""

    n: int
    p50_sec: float | None
    p95_sec: float | None
    p99_sec: float | None


class MonitorAnswer(Answer):
    """Measurements of this process; `/metrics` sums over all processes."""

    process_id: int
    uptime_s: float
    cpu_percent: float | None = Field(
        description="CPU use of the machine over the last second; `null` in the first 0.1 s."
    )
    memory_percent: float = Field(description="Memory use of the machine.")
    process_memory_mb: float = Field(description="Resident memory of this process.")
    disk_free_gb: float
    requests_in_flight: int = Field(description="In this process, this one included.")
    response_times: ResponseTimes
    recent: list[RecentRequest] = Field(description="The last answered first.")
