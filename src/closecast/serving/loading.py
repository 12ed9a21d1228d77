"""Loading of snapshots: build one from a bundle's parts, and try it out before it serves."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from operator import itemgetter

import numpy as np

from closecast.calibration import SplitConformal
from closecast.core.forecast import PROBABILITIES
from closecast.drift import Baseline, DriftDetector, warn_of_unmeasured
from closecast.errors import DamagedBundle, OtherFormat, UnknownVersion, UnverifiedBundle
from closecast.registry.documents import (
    BASELINE_FILE,
    EVALUATION_FILE,
    FORMAT,
    INTERVALS_FILE,
    Bundle,
)
from closecast.registry.formats import judged_by_format
from closecast.registry.registry import Registry
from closecast.serving.bundle import AnswerSpeed, LoadedBundle
from closecast.serving.snapshot import Snapshot

_TOGETHER = 16  # windows of a trial batch

_Rows = Sequence[Sequence[float]]


def load_snapshot(symbol: str, generation: int, parts: LoadedBundle) -> Snapshot:
    """Build the snapshot of one symbol, and try it out on harmless windows.

    Parameters
    ----------
    symbol : str
        Canonical.
    generation : int
        Of the symbol's pointer.
    parts : LoadedBundle
        Its ``speed`` is measured here if it was not before.

    Raises
    ------
    DamagedBundle
        If anything is missing, does not parse, or does not answer a harmless window.
    OtherFormat
        If that is because older code made the bundle.
    """
    with judged_by_format(parts.manifest, symbol):
        return _load(symbol, generation, parts)


def require_servable(bundle: Bundle, symbols: Iterable[str]) -> None:
    """Check that a bundle would be served for symbols, by loading it as a serving process does.

    Raises
    ------
    DamagedBundle
        :class:`OtherFormat` if older code made it.
    """
    parts = LoadedBundle(bundle)
    for symbol in symbols:
        load_snapshot(symbol, 0, parts)


def is_outdated(registry: Registry, version: str, symbol: str) -> bool:
    """Check whether a bundle is of an older format that cannot be served any more.

    Costs no more than reading the manifest where the format is today's.
    """
    try:
        if registry.manifest(version).schema_version >= FORMAT:
            return False
        bundle = registry.load_to_serve(version, symbol)
    except (DamagedBundle, UnverifiedBundle, UnknownVersion):
        return False  # a person has to look at it
    try:
        require_servable(bundle, [symbol])
    except OtherFormat:
        return True
    return False


def _load(symbol: str, generation: int, parts: LoadedBundle) -> Snapshot:
    parts.document(EVALUATION_FILE, symbol)
    baseline = Baseline.from_json(parts.document(BASELINE_FILE, symbol))
    warn_of_unmeasured(baseline, parts.manifest.version)
    snapshot = Snapshot(
        symbol=symbol,
        generation=generation,
        parts=parts,
        calibration=SplitConformal.from_json(parts.document(INTERVALS_FILE, symbol)),
        first_state=parts.first_state(symbol),
        detector=DriftDetector(baseline),
        loaded_at=datetime.now(UTC),
    )
    windows = _harmless_windows(parts.manifest.info.seq_length)
    _try_out(snapshot, windows[:1])  # the first run also allocates
    if parts.speed is None:
        parts.speed = _measure_speed(snapshot, windows)
    return replace(snapshot, speed=parts.speed)


def _measure_speed(snapshot: Snapshot, windows: list[list[float]]) -> AnswerSpeed:
    alone = [_try_out(snapshot, [window]) for window in windows]
    rows, took = min((_try_out(snapshot, windows) for _ in range(3)), key=itemgetter(1))
    return AnswerSpeed(
        alone=min(seconds for _, seconds in alone),
        each=took / len(windows),
        same_together=rows == [row for [row], _ in alone],
    )


def _try_out(snapshot: Snapshot, windows: list[list[float]]) -> tuple[list[_Rows], float]:
    """Answer windows; return the rows of each, and the seconds that all of them took."""
    started = time.perf_counter()
    try:
        answers = snapshot.predict_batch(windows, [None] * len(windows))
        took = time.perf_counter() - started
        snapshot.first_state.forecast(PROBABILITIES)
    except Exception as error:  # a foreign network fails in ways of its own
        raise DamagedBundle(f"bundle {snapshot.version} cannot answer: {error}") from error
    if any(len(answer.rows) != snapshot.manifest.info.horizon for answer in answers):
        raise DamagedBundle(f"bundle {snapshot.version} answers {len(answers[0].rows)} steps")
    return [answer.rows for answer in answers], took


def _harmless_windows(length: int) -> list[list[float]]:
    days = np.arange(length)
    sizes = np.linspace(0.005, 0.02, _TOGETHER)
    return [(100 * np.exp(size * np.sin(days))).tolist() for size in sizes]
