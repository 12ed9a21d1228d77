"""Documents of a registry: manifest, bundle, pointer and its history. Data only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from closecast.errors import DamagedBundle, UnknownVersion, UnverifiedBundle

BASELINE_FILE = "baseline_stats.json"
CLOSES_FILE = "closes.npz"
INTERVALS_FILE = "intervals.json"
LIVE_FILE = "live_states.npz"
EVALUATION_FILE = "evaluation.json"
TABLE_FILE = "evaluation.txt"

_MOST_SHOWN = 20

GATE = "closecast"
"""Author of a step that no person requested."""


FORMAT = 2
"""Number of the format that bundles are made in. It is raised when their files get members that
serving needs; older numbers are read as far as they have those members.

1: all bundles before the number was used, some without thresholds per channel of drift.
2: thresholds and rates per channel, live states, evaluation of every row."""

POINTER_FORMAT = 1
"""Number of the format of pointers, likewise."""


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
    """Contents of a manifest beside version and hashes: the input of publishing."""

    forecaster: str
    symbols: tuple[str, ...]
    name: str | None = Field(None, description="Name that a person gave the panel.")
    seq_length: int
    horizon: int
    data: tuple[DataSpan, ...]
    left_out: dict[str, str] = Field(
        default_factory=dict,
        description="Symbols that were not learned from, and why; of a symbol that was, its closes "
        "before a day.",
    )
    hyperparameters: dict[str, Any]
    fine_tuned_from: str | None = None
    asked_source: str | None = Field(
        None,
        description="The source as it was asked for, with the URL of a file, and no password.",
    )
    git_commit: str | None = None
    libraries: dict[str, str] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    location: dict[str, Any] = Field(
        default_factory=dict,
        description="Per step the share of the predicted location that is used, and why.",
    )
    chosen_from: dict[str, Any] = Field(
        default_factory=dict,
        description="Of `auto`: p-values of the model confidence set, and who was left out.",
    )
    evaluation: dict[str, Any] = Field(
        default_factory=dict,
        description="Per symbol, whole horizon; all of it: evaluation.json. `p_mae` and `p_crps` "
        "are two-sided.",
    )
    gate: dict[str, Any] = Field(
        default_factory=dict,
        description="Per symbol: outcome, reason and comparisons. The gate decides by their "
        "`p_one_sided`; `p` in manifests of earlier versions is two-sided, twice as much.",
    )
    leak_check: dict[str, Any] = Field(default_factory=dict)


class Manifest(_Document):
    """``manifest.json``: the identity card of a bundle, and the hash of every other file."""

    schema_version: int = Field(FORMAT, ge=1, le=FORMAT, description="Number of the format.")
    version: str
    created_at: datetime
    info: BundleInfo
    sha256: dict[str, str]


class Promotion(_Document):
    """One step in a pointer's history: the version that became current, its author and reason."""

    version: str
    generation: int
    at: datetime
    reason: str
    by: str = Field(GATE, description="The gate, or the person who asked.")
    kind: Literal["promotion", "rollback"] = "promotion"
    rolled_back: str | None = Field(None, description="The version that a rollback left.")


class Pointer(_Document):
    """The bundle that is current for a symbol, and its history, oldest first."""

    schema_version: int = Field(
        POINTER_FORMAT, ge=1, le=POINTER_FORMAT, description="Number of the format."
    )
    symbol: str
    version: str
    generation: int
    history: tuple[Promotion, ...]

    @property
    def rolled_back(self) -> frozenset[str]:
        """Versions that were rolled back from and that no person has promoted since."""
        left: set[str] = set()
        for step in self.history:
            if step.rolled_back is not None:
                left.add(step.rolled_back)
            elif step.by != GATE:
                left.discard(step.version)
        return frozenset(left)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in memory; every byte has been checked against the manifest."""

    manifest: Manifest
    files: Mapping[str, bytes]


def hashes_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of every file, hexadecimal."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def problems_in(error: ValidationError) -> str:
    """A document's faults in one line: how many there are, and where the first one is."""
    place = ".".join(map(str, error.errors()[0]["loc"])) or "the top"
    return f"{error.error_count()} problems, first at {place}"


def require_symbol(manifest: Manifest, symbol: str) -> None:
    """Refuse a bundle that was not made for a canonical symbol.

    Raises
    ------
    UnknownVersion
    """
    symbols = manifest.info.symbols
    if symbol not in symbols:
        shown = ", ".join(symbols[:_MOST_SHOWN]) + (", …" if len(symbols) > _MOST_SHOWN else "")
        raise UnknownVersion(f"bundle {manifest.version} is for {shown}, not for {symbol}")


def require_verified(manifest: Manifest) -> None:
    """Refuse a bundle that was not shown to be free of look-ahead.

    Raises
    ------
    UnverifiedBundle
        If its manifest does not carry a passed leak check.
    """
    if manifest.info.leak_check.get("passed") is not True:
        raise UnverifiedBundle(
            f"bundle {manifest.version} carries no passed leak check, so it is neither made "
            f"current nor served: `closecast verify {manifest.version}` says what fails; "
            "mend that and train again"
        )


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
    """The evaluation row that dated forecasts are compared with: "with history".

    ``evaluation`` is one symbol's document out of ``evaluation.json``.
    """
    rows: list[dict[str, Any]] = json.loads(evaluation)["rows"]
    wanted = (forecaster, "with history")
    return next((row for row in rows if (row["forecaster"], row["mode"]) == wanted), None)
