"""The documents of a registry: what a bundle is and what a pointer says. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSpan(_Document):
    """The closes a bundle was made from."""

    symbol: str
    source: str
    basis: str
    first_session: str
    last_session: str
    closes: int
    content_hash: str
    valid_start: str
    test_start: str


class BundleInfo(_Document):
    """All that a manifest says beside version and hashes; what publishing needs to be told."""

    forecaster: str
    symbols: tuple[str, ...]
    seq_length: int
    horizon: int
    data: tuple[DataSpan, ...]
    hyperparameters: dict[str, Any]
    fine_tuned_from: str | None = None
    git_commit: str | None = None
    libraries: dict[str, str] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    evaluation: dict[str, Any] = Field(default_factory=dict)
    gate: dict[str, Any] = Field(default_factory=dict)
    leak_check: dict[str, Any] = Field(default_factory=dict)


class Manifest(_Document):
    """``manifest.json``: the identity card of a bundle, and the hash of every other file."""

    schema_version: Literal[1] = 1
    version: str
    created_at: datetime
    info: BundleInfo
    sha256: dict[str, str]


class Promotion(_Document):
    """One step in a pointer's history."""

    version: str
    generation: int
    at: datetime
    reason: str


class Pointer(_Document):
    """Which bundle is current for a symbol, and which were before, oldest first."""

    schema_version: Literal[1] = 1
    symbol: str
    version: str
    generation: int
    history: tuple[Promotion, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in memory; every byte has been checked against the manifest."""

    manifest: Manifest
    files: Mapping[str, bytes]
