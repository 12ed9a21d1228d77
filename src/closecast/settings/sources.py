"""Price sources and markets."""

from __future__ import annotations

from pydantic import BaseModel, Field


class SourceSettings(BaseModel):
    """Price sources and markets."""

    source: str = Field("sample", description="Price source used when none is named.")
    markets: str = Field(
        "",
        description="Calendars of symbols that no table knows, or that shall have another one: "
        "NAME=CALENDAR or NAME=CALENDAR:KIND, with commas between them, such as "
        "ACME=BVMF,*=F=CMES:future. In a NAME, * and ? stand for any characters.",
    )
    source_timeout_s: float = Field(
        30.0, gt=0, le=600, description="Seconds to wait for one answer of a remote price source."
    )
    source_attempts: int = Field(
        4, ge=1, le=20, description="Attempts at a remote source before giving up."
    )
    source_backoff_s: float = Field(
        2.0, ge=0, le=300, description="Seconds before the second attempt; doubles each time."
    )
