"""Moves of a panel: whole or not at all, and completed after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from closecast.cli.main import main
from closecast.errors import PointerMoved, RolledBack, StorageFailed, UnknownVersion
from closecast.registry.documents import POINTER_FORMAT, BundleInfo, Manifest
from closecast.registry.registry import Registry
from closecast.settings import Settings

PANEL = ("AAPL", "KO", "MSFT")
WHY = {"reason": "too narrow", "by": "ana"}


def bundle(registry: Registry, *symbols: str, note: int = 0) -> Manifest:
    info = BundleInfo(
        forecaster="naive",
        symbols=symbols,
        seq_length=60,
        horizon=10,
        data=(),
        hyperparameters={"note": note},
        leak_check={"passed": True},
    )
    return registry.publish(info, {"predictor.json": b"{}"})


def versions(registry: Registry) -> dict[str, str]:
    return {s: p.version for s in registry.symbols() if (p := registry.pointer(s))}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(str(tmp_path / "models"))


@pytest.fixture
def two(registry: Registry) -> tuple[str, str]:
    """Two versions, the second current for three symbols; XOM alone has another one."""
    first, second = (bundle(registry, *PANEL, note=i).version for i in (1, 2))
    other = bundle(registry, "XOM").version
    for symbol in PANEL:
        registry.promote(symbol, first, "for tests")
        registry.promote(symbol, second, "for tests")
    registry.promote("XOM", other, "for tests")
    return first, second


def test_a_panel_goes_back_whole_and_others_stay(registry: Registry, two: tuple[str, str]) -> None:
    before = versions(registry)
    moved = registry.rollback_panel("MSFT", "too narrow", by="ana")
    assert [pointer.symbol for pointer in moved] == ["MSFT", "AAPL", "KO"]
    assert versions(registry) == {**before, **dict.fromkeys(PANEL, two[0])}
    for pointer in moved:
        step = pointer.history[-1]
        assert (step.by, step.kind, step.rolled_back) == ("ana", "rollback", two[1])


def test_a_member_that_another_version_serves_stays(
    registry: Registry, two: tuple[str, str]
) -> None:
    own = bundle(registry, "KO", note=3).version
    registry.promote("KO", own, "for tests")
    moved = registry.rollback_panel("MSFT", "too narrow", by="ana")
    assert {pointer.symbol for pointer in moved} == {"MSFT", "AAPL"}
    assert versions(registry)["KO"] == own


def test_a_panel_is_promoted_whole_after_its_rollback(
    registry: Registry, two: tuple[str, str]
) -> None:
    registry.rollback_panel("MSFT", "too narrow", by="ana")
    with pytest.raises(RolledBack):
        registry.promote_panel("MSFT", two[1], "the gate again")
    registry.promote_panel("KO", two[1], "wide enough", by="ana")
    assert {versions(registry)[symbol] for symbol in PANEL} == {two[1]}


def test_a_new_bundle_of_one_symbol_moves_that_alone(
    registry: Registry, two: tuple[str, str]
) -> None:
    own = bundle(registry, "KO", note=3).version
    assert [p.symbol for p in registry.promote_panel("KO", own, "new", by="ana")] == ["KO"]


def test_where_one_member_has_no_earlier_version_none_is_moved(registry: Registry) -> None:
    first, second = (bundle(registry, *PANEL, note=i).version for i in (1, 2))
    registry.promote("MSFT", first, "for tests")
    for symbol in PANEL:
        registry.promote(symbol, second, "for tests")
    before = versions(registry)
    with pytest.raises(UnknownVersion, match=r"nothing was moved: MSFT moves together with 2 more"):
        registry.rollback_panel("MSFT", "too narrow", by="ana")
    assert versions(registry) == before
    assert registry.rollback("MSFT", "too narrow", by="ana").version == first


def test_a_generation_that_has_passed_moves_none(registry: Registry, two: tuple[str, str]) -> None:
    with pytest.raises(PointerMoved):
        registry.rollback_panel("MSFT", "too narrow", by="ana", expected=1)
    assert {versions(registry)[symbol] for symbol in PANEL} == {two[1]}


# -- kills and full disks -----------------------------------------------------------------------

_KILLED = """
import os, signal, sys
from closecast.registry.registry import Registry
registry = Registry(sys.argv[1])
write, left = registry._store.write, [int(sys.argv[2])]
def counted(place, content):
    if place.startswith("current/"):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
    write(place, content)
registry._store.write = counted
registry.rollback_panel("MSFT", "too narrow", by="ana")
"""


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_move_that_was_killed_is_completed_by_the_next_start(
    registry: Registry, two: tuple[str, str], tmp_path: Path, written: int
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path / "models"), str(written)],
        env={**os.environ},
        check=False,
        timeout=120,
    )
    assert ended.returncode == -signal.SIGKILL
    assert list(versions(registry).values()).count(two[0]) == written
    late = registry.finish_moves()
    assert len(late) == 3 - written
    assert {versions(registry)[symbol] for symbol in PANEL} == {two[0]}
    assert registry.finish_moves() == []


def test_a_killed_move_is_completed_before_the_next_one(
    registry: Registry, two: tuple[str, str], tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path / "models"), "1"], check=False, timeout=120
    )
    registry.promote_panel("AAPL", two[1], "wide enough", by="ana")
    assert {versions(registry)[symbol] for symbol in PANEL} == {two[1]}
    assert {p.generation for s in PANEL if (p := registry.pointer(s))} == {4}


def test_a_pointer_that_a_newer_closecast_has_moved_since_stays(
    registry: Registry, two: tuple[str, str], tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path / "models"), "0"], check=False, timeout=120
    )
    path = tmp_path / "models" / "current" / "KO.json"
    newer = json.dumps({**json.loads(path.read_bytes()), "schema_version": POINTER_FORMAT + 1})
    path.write_text(newer)
    assert registry.finish_moves() == ["MSFT", "AAPL"]
    assert path.read_text() == newer


def test_a_note_that_is_none_of_ours_is_dropped(
    registry: Registry, two: tuple[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "moves"
    folder.mkdir()
    (folder / "0.json").write_text("half of a no")
    assert registry.finish_moves() == []
    assert list(folder.iterdir()) == []
    assert {versions(registry)[symbol] for symbol in PANEL} == {two[1]}


@pytest.mark.parametrize("written", [0, 1])
def test_a_full_disk_moves_none_or_says_how_many(
    registry: Registry, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    write, left = registry._store.write, [written]

    def full(place: str, content: bytes) -> None:
        if place.startswith("current/"):
            if not left[0]:
                raise StorageFailed("no space left")
            left[0] -= 1
        write(place, content)

    with monkeypatch.context() as patch:
        patch.setattr(registry._store, "write", full)
        with pytest.raises(
            StorageFailed, match="1 of 3 symbols were moved" if written else "^no space left$"
        ):
            registry.rollback_panel("MSFT", "too narrow", by="ana")
    assert len(registry.finish_moves()) == (2 if written else 0)
    assert {versions(registry)[symbol] for symbol in PANEL} == {two[0] if written else two[1]}


# -- over HTTP and on the command line ----------------------------------------------------------


@pytest.fixture
def panel(client: TestClient) -> dict[str, Any]:
    """MSFT and AAPL served by their pooled ``mlp``."""
    answer: dict[str, Any] = client.post("/model/rollback", json={**WHY, "symbol": "MSFT"}).json()
    assert list(answer["steps"]) == ["MSFT"], "its lstm serves it alone"
    return answer


def test_the_api_moves_both_and_lists_them(client: TestClient, panel: dict[str, Any]) -> None:
    answer = client.post("/model/rollback", json={**WHY, "symbol": "AAPL"}).json()
    assert list(answer["steps"]) == ["AAPL", "MSFT"]
    assert len({step["version"] for step in answer["steps"].values()}) == 1
    assert {one["symbol"] for one in answer["reloads"]} == {"AAPL", "MSFT"}
    left = answer["steps"]["MSFT"]["rolled_back"]
    again = client.post("/model/promote", json={**WHY, "symbol": "MSFT", "version": left}).json()
    assert list(again["steps"]) == ["MSFT", "AAPL"]
    assert client.get("/model?symbol=AAPL").json()["version"] == left


def test_only_moves_one(client: TestClient, panel: dict[str, Any]) -> None:
    before = client.get("/model?symbol=MSFT").json()["version"]
    answer = client.post("/model/rollback", json={**WHY, "symbol": "AAPL", "only": True}).json()
    assert list(answer["steps"]) == ["AAPL"]
    assert client.get("/model?symbol=MSFT").json()["version"] == before


def test_the_command_line_does_the_same(
    published: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(published.models_url)
    registry.rollback("MSFT", "its lstm serves it alone")
    monkeypatch.setenv("CLOSECAST_MODELS_URL", published.models_url)
    main(["rollback", "--symbol", "msft", "--reason", "too narrow", "--by", "ana"])
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said[:2]] == ["MSFT", "AAPL"]
    pointer = registry.pointer("AAPL")
    assert pointer is not None
    left = pointer.history[-1].rolled_back
    assert left is not None
    main(["promote", left, "--symbol", "AAPL", "--only", "--reason", "wide", "--by", "ana"])
    assert f"AAPL: {left} is current, by ana: wide" in capsys.readouterr().out
    assert versions(registry)["MSFT"] != versions(registry)["AAPL"] == left
