"""The log."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class LogSettings(BaseModel):
    """The log."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level that is logged."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto",
        description="Format of the log: json (one object per line), text (short lines for "
        "people), or auto: text where standard error is a terminal, json elsewhere.",
    )
