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
