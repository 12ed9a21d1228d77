"""A real service whose API processes may not write a byte to any file: a full disk.

The kernel refuses (``RLIMIT_FSIZE``), so that root is refused, too. What has to be written is a
problem that says so, what has not goes on, and when there is space again nobody has to be called.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.serving.served_model import asked_windows
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.system.chaos.family import Family
from tests.system.chaos.siege import SYMBOLS, environment_of
from tests.system.chaos.tally import Tally

_WINDOWS = 20
_OTHERS = ("KO", "PG", "XOM", "IBM")
_READ = ("/health/ready", "/health", "/model", "/", "/monitor", "/metrics", "/train", "/drift")


def starve(settings: Settings, folder: Path, times: int, tally: Tally) -> None:
    """Fill the disk of a service, and free it again, so many times."""
    environment = environment_of(settings) | {"CLOSECAST_FORECAST_WAIT_S": "0"}
    family = Family(environment, folder, 2)
    windows = asked_windows(_WINDOWS)
    versions = [manifest.version for manifest in Registry(settings.models_url).versions(SYMBOLS[0])]
    try:
        family.start()
        family.wait_until_whole()
        before = [_path(family, window) for window in windows]
        for turn in range(times):
            # Statements that the ledger does not know yet: of a version that was not asked.
            version = versions[turn % len(versions)]
            tally.blow("no space: a service", "while it answers")
            _limit(family, 0)
            tally.blame("no space", _while_full(family, windows, before, version, turn))
            _limit(family, psutil.RLIM_INFINITY)
            tally.blame("space again", _afterwards(family, version, turn))
            _write(family, "/model/promote", {"version": versions[0], "reason": "chaos"})
    finally:
        family.end()


def _limit(family: Family, size: int) -> None:
    for role in ("server", "API worker"):
        for process in family.members(role):  # type: ignore[arg-type]
            process.rlimit(psutil.RLIMIT_FSIZE, (size, psutil.RLIM_INFINITY))


def _while_full(
    family: Family, windows: list[list[float]], before: list[Any], version: str, turn: int
) -> Iterator[str]:
    if [_path(family, window) for window in windows] != before:
        yield "POST /predict answers something else"
    for path in _READ:
        status, answer = family.call("GET", path)
        if status != 200:
            yield f"GET {path}: {status} {answer[:200].decode()}"
    for path, body in _writes(version, turn):
        yield from _is_refused(path, *_write(family, path, body))


def _afterwards(family: Family, version: str, turn: int) -> Iterator[str]:
    for path, body in _writes(version, turn):
        status, answer = _write(family, path, body)
        if status not in (200, 202, 409):  # 409: a training is on its way already
            yield f"POST {path}: {status} {answer[:200].decode()}"
    status, answer = family.call("GET", f"/forecast/{SYMBOLS[1]}")
    if status != 200:
        yield f"GET /forecast: {status} {answer[:200].decode()}"
    elif family.call("GET", f"/forecasts/{json.loads(answer)['forecast_id']}")[0] != 200:
        yield "what GET /forecast answered is not in the ledger"
    status, answer = family.call("GET", "/health")
    if json.loads(answer)["ledger"] != "ok":
        yield f"the ledger stays away: {answer[:300].decode()}"


def _writes(version: str, turn: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """What cannot be done without writing."""
    yield "/model/promote", {"version": version, "reason": "chaos", "by": "chaos"}
    yield (
        "/train",
        {"symbol": ("KO", "PG", "XOM", "IBM")[turn], "forecaster": "ewma", "end": "2016-12-30"},
    )
    yield "/config", {"hyperparameters": {"hidden_size": 8 + turn}}


def _write(family: Family, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    return family.call("POST", path, body)


def _is_refused(path: str, status: int, answer: bytes) -> Iterator[str]:
    try:
        code = json.loads(answer)["code"]
    except (ValueError, KeyError):
        code = None
    if (status, code) != (503, "storage_failed"):
        yield f"POST {path}: {status} {answer[:200].decode()}"


def _path(family: Family, window: list[float]) -> Any:
    """What is forecast for a window; the status where nothing is."""
    status, answer = family.call("POST", "/predict", {"prices": window})
    return json.loads(answer)["path"] if status == 200 else status
