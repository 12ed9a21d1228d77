"""The documents of a registry: what a bundle is and holds, and what a pointer says. Data only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from closecast.errors import DamagedBundle

BASELINE_FILE = "baseline_stats.json"
INTERVALS_FILE = "intervals.json"
LIVE_FILE = "live_states.npz"
EVALUATION_FILE = "evaluation.json"
TABLE_FILE = "evaluation.txt"


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
    left_out: dict[str, str] = Field(
        default_factory=dict, description="Symbols that were not learned from, and why."
    )
    hyperparameters: dict[str, Any]
    fine_tuned_from: str | None = None
    git_commit: str | None = None
    libraries: dict[str, str] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    evaluation: dict[str, Any] = Field(
        default_factory=dict, description="Per symbol, whole horizon; all of it: evaluation.json."
    )
    gate: dict[str, Any] = Field(default_factory=dict, description="Per symbol.")
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


def dump_by_symbol(documents: Mapping[str, bytes]) -> bytes:
    """One JSON file out of one JSON document per symbol."""
    return json.dumps({s: json.loads(content) for s, content in documents.items()}).encode()


def of_symbol(files: Mapping[str, bytes], name: str, symbol: str) -> bytes:
    """The document of one symbol out of a file of :func:`dump_by_symbol`.

    Raises
    ------
    DamagedBundle
        If there is no such file, it does not parse, or it holds nothing of the symbol.
    """
    if name not in files:
        raise DamagedBundle(f"the bundle has no {name}")
    try:
        return json.dumps(json.loads(files[name])[symbol]).encode()
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedBundle(f"{name} holds nothing of {symbol}: {error!r}") from error


def promise_of(evaluation: bytes, forecaster: str) -> dict[str, Any] | None:
    """The evaluation row that dated forecasts are to be held against: "with history".

    ``evaluation`` is one symbol's document out of ``evaluation.json``.
    """
    rows: list[dict[str, Any]] = json.loads(evaluation)["rows"]
    wanted = (forecaster, "with history")
    return next((row for row in rows if (row["forecaster"], row["mode"]) == wanted), None)
