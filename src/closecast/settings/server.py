"""The API processes: address, limits on requests, restart."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ServerSettings(BaseModel):
    """The API processes: address, limits on requests, restart."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to bind.")
    port: int = Field(8000, ge=1, le=65535, description="Port to bind.")
    workers: int = Field(1, ge=1, le=64, description="API processes.")
    max_body_bytes: int = Field(
        1_000_000,
        ge=1_000,
        le=100_000_000,
        description="Bytes of a request body, as it came or inflated; a larger one answers 413.",
    )
    max_batch_body_bytes: int = Field(
        8_000_000,
        ge=1_000,
        le=1_000_000_000,
        description="The same, of POST /predict/batch in lines (NDJSON); JSON may have 256 kB.",
    )
    max_json_depth: int = Field(
        16, ge=4, le=200, description="Bodies with more brackets inside each other answer 400."
    )
    body_timeout_s: float = Field(
        30.0, gt=0, le=600, description="Seconds to receive a request's body in; then 408."
    )
    head_timeout_s: float = Field(
        15.0,
        ge=0.5,
        le=600,
        description="Seconds in which a new connection has to send the head of a request, and a "
        "later request its whole head; then the connection is closed.",
    )
    answer_timeout_s: float = Field(
        60.0,
        ge=1,
        le=3_600,
        description="Seconds after which the connection of a caller who reads nothing of an answer "
        "is closed.",
    )
    keep_alive_s: float = Field(
        75.0,
        ge=0,
        le=3_600,
        description="Seconds that an idle connection stays open for another request. Longer than "
        "the proxy or balancer in front keeps it (60 with nginx and most clouds), so that it is "
        "the balancer that closes it.",
    )
    max_connections: int = Field(
        7_000,
        ge=16,
        le=1_000_000,
        description="Connections of one API process, at most; fewer where its limit on open files "
        "is lower. For a further one, the one that was idle for longest is closed. Memory behind "
        "so many idle ones is within 10 % of before.",
    )
    worker_start_s: float = Field(
        120.0,
        ge=5,
        le=3_600,
        description="Seconds that one of several API processes has to start in, and to give a sign "
        "of life in, before it is replaced.",
    )
    pointer_poll_s: float = Field(
        0.2,
        gt=0,
        le=2,
        description="Seconds between looks at the pointers of loaded symbols; on an object store, "
        "where each look is a request, at least 1.",
    )
    drain_s: int = Field(
        15,
        ge=0,
        le=25,
        description="Seconds that running requests get to finish when the service is stopped.",
    )
