"""One byte that changed, in any file that the service reads; files cut short, and files gone.

Whatever a process was asked to load, it either refuses it and goes on with what it had, or what it
loaded is what was written.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from api.main import create_app
from benchmarks.serving.served_model import asked_windows
from closecast.errors import ClosecastError
from closecast.infra.files import write_atomically
from closecast.registry.documents import Promotion
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.system.chaos.tally import Tally

SYMBOL = "MSFT"


def local_client(settings: Settings, **changes: Any) -> TestClient:
    """The service in this process, asked by a program of this machine."""
    app = create_app(settings, **changes)
    here = {"client": ("127.0.0.1", 50_000), "base_url": "http://127.0.0.1:8000"}
    return TestClient(app, raise_server_exceptions=False, **here)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Damage:
    """What is done to a file; ``content`` is ``None`` where it is removed."""

    kind: str
    content: bytes | None


def damages(whole: bytes, flips: int, chance: random.Random) -> list[Damage]:
    """Bits that flip at seeded places, among them the first and the last byte; cut short; gone."""
    places = [0, len(whole) - 1, *(chance.randrange(len(whole)) for _ in range(flips))]
    found = [Damage("a bit flipped", _flipped(whole, i, chance)) for i in places]
    cuts = (0, chance.randrange(len(whole)))
    return [*found, *(Damage("cut short", whole[:n]) for n in cuts), Damage("gone", None)]


@contextmanager
def damaged(path: Path, damage: Damage) -> Iterator[None]:
    """A file as it is meanwhile."""
    whole = path.read_bytes()
    path.unlink()
    if damage.content is not None:
        path.write_bytes(damage.content)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        write_atomically(path, whole)


def damage_bundles(settings: Settings, flips: int, chance: random.Random, tally: Tally) -> None:
    """Every file of the bundle that a service is about to follow to."""
    registry = Registry(settings.models_url)
    new, old = [manifest.version for manifest in registry.versions(SYMBOL)][:2]
    folder = Path(settings.models_url) / "bundles" / new
    body = {"prices": asked_windows(2)[1]}
    registry.promote(SYMBOL, old, "chaos", by="chaos")
    with local_client(settings) as client:
        for path in sorted(folder.iterdir()):
            for damage in damages(path.read_bytes(), flips, chance):
                before = client.post("/predict", json=body).content
                where = f"{damage.kind}: bundle"
                tally.blow(where, path.name)
                with damaged(path, damage):
                    equal = _loads(registry, new)
                    _lead_to(registry, settings, new)
                    broken = [*_while_damaged(client, body, before, path.name, equal)]
                broken += _repaired(client, new)
                tally.blame(f"{where}, {path.name}", broken)
                _lead_to(registry, settings, old)
                client.post("/model/reload")


def damage_others(settings: Settings, flips: int, chance: random.Random, tally: Tally) -> None:
    """Pointers, closes, calendars, statistics, the ledger: answers are problems or as before."""
    body = {"prices": asked_windows(2)[1]}
    database = Path(settings.ledger_url.removeprefix("sqlite:///"))
    statistics = settings.results_dir / "statistics.json"
    if not statistics.exists():
        write_atomically(statistics, b'{"written_at": "2026-01-02T03:04:05Z", "experiments": []}')
    files = {
        "pointer": Path(settings.models_url) / "current" / f"{SYMBOL}.json",
        "closes": settings.data_dir / "prices" / f"{SYMBOL}.npz",
        "calendar": settings.data_dir / "calendars" / "XNYS.npz",
        "statistics": statistics,
        "ledger": database,
    }
    for name, path in files.items():
        for damage in damages(path.read_bytes(), flips, chance):
            if name == "ledger" and damage.kind == "a bit flipped":
                damage = Damage("garbage", chance.randbytes(20_000))
            tally.blow(f"{damage.kind}: {name}", path.name)
            tally.blame(f"{damage.kind}: {name}", _with_other(settings, path, damage, body))


def _with_other(
    settings: Settings, path: Path, damage: Damage, body: dict[str, Any]
) -> Iterator[str]:
    with local_client(settings) as client:
        before = _forecast_in(client.post("/predict", json=body).json())
        # A database that is replaced under a process is not what a disk does to it.
        if path.suffix != ".sqlite":
            with damaged(path, damage):
                client.post("/model/reload")
                yield from _all_answer(client, body, before)
            client.post("/model/reload")
            yield from _as_before(client, body, before)
            return
    with _without_journal(path), damaged(path, damage), local_client(settings) as client:
        yield from _all_answer(client, body, before)
    with local_client(settings) as client:
        yield from _as_before(client, body, before)


@contextmanager
def _without_journal(database: Path) -> Iterator[None]:
    """Without the log beside it, from which SQLite would repair it, before and after."""
    journal = [database.with_name(database.name + extra) for extra in ("-wal", "-shm")]
    for path in journal:
        path.unlink(missing_ok=True)
    try:
        yield
    finally:
        for path in journal:
            path.unlink(missing_ok=True)


def _as_before(client: TestClient, body: dict[str, Any], before: Any) -> Iterator[str]:
    if _forecast_in(client.post("/predict", json=body).json()) != before:
        yield "repaired, and another answer than before"
    if (health := client.get("/health").json())["status"] != "ok":
        yield f"repaired, and still {health['status']}: {health['failures']}"


def _all_answer(client: TestClient, body: dict[str, Any], before: Any) -> Iterator[str]:
    answer = client.post("/predict", json=body)
    if answer.status_code != 200 or _forecast_in(answer.json()) != before:
        yield f"POST /predict: {answer.status_code} {answer.text[:200]}"
    for path in (
        "/",
        "/health",
        "/model",
        "/statistics",
        f"/forecast/{SYMBOL}",
        "/train",
        "/drift",
    ):
        answer = client.get(path)
        kind = answer.headers["content-type"]
        if answer.status_code >= 500 and "problem+json" not in kind:
            yield f"GET {path}: {answer.status_code} {kind}"
        if answer.status_code == 500:
            yield f"GET {path}: 500 {answer.text[:300]}"
    if client.get("/health/ready").status_code != 200:
        yield "not ready"


def _forecast_in(answer: dict[str, Any]) -> Any:
    """Without the drift verdict: that one is right to miss closes that cannot be read."""
    return answer.get("model_version"), answer.get("path")


def _loads(registry: Registry, version: str) -> bool:
    """Whether a damaged bundle loads all the same, because it says what it said before."""
    try:
        registry.load(version)
    except ClosecastError:
        return False
    return True


def _while_damaged(
    client: TestClient, body: dict[str, Any], before: bytes, file: str, equal: bool
) -> Iterator[str]:
    [outcome] = client.post("/model/reload", json={"symbol": SYMBOL}).json()["reloads"]
    if equal:  # white space in the manifest
        if outcome["outcome"] == "failed":
            yield f"it loads, yet not to be served: {outcome}"
        return
    if outcome["outcome"] != "failed" or not outcome["reason"]:
        yield f"a damaged bundle is taken: {outcome}"
        return
    if file not in outcome["reason"]:
        yield f"nobody says which file: {outcome['reason']}"
    if client.post("/predict", json=body).content != before:
        yield "another answer than before"
    if client.get("/health/ready").status_code != 200:
        yield "not ready"
    health = client.get("/health").json()
    if health["status"] != "degraded" or file not in str(health["failures"]):
        yield f"GET /health says {health['status']}, {health['failures']}"


def _repaired(client: TestClient, version: str) -> Iterator[str]:
    answer = client.post("/model/reload", json={"symbol": SYMBOL}).json()
    if answer["reloads"][0]["serving_version"] != version:
        yield f"repaired, and still not served: {answer['reloads']}"
    if client.get("/health").json()["failures"]:
        yield "repaired, and GET /health still names it"


def _lead_to(registry: Registry, settings: Settings, version: str) -> None:
    """Move a pointer as a process does that has found the bundle whole."""
    pointer = registry.pointer(SYMBOL)
    assert pointer is not None
    step = Promotion(
        version=version,
        generation=pointer.generation + 1,
        at=pointer.history[-1].at,
        reason="chaos",
        by="chaos",
    )
    moved = pointer.model_copy(
        update={
            "version": version,
            "generation": step.generation,
            "history": (*pointer.history[-3:], step),
        }
    )
    path = Path(settings.models_url) / "current" / f"{SYMBOL}.json"
    write_atomically(path, json.dumps(json.loads(moved.model_dump_json())).encode())


def _flipped(whole: bytes, at: int, chance: random.Random) -> bytes:
    found = bytearray(whole)
    found[at] ^= 1 << chance.randrange(8)
    return bytes(found)
