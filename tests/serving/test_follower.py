"""Following many pointers: what moved is read, what did not is not, and nothing is missed."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from closecast.errors import StorageFailed
from closecast.registry.object_store import Stamps
from closecast.registry.registry import Registry
from closecast.serving import PointerFollower, Reload

SYMBOLS = ["".join(letters) for letters in itertools.product("ABCDEFGHIJ", repeat=3)]
INTERVAL_S = 0.25


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Pointers:
    """A registry whose stamps are set by hand."""

    is_local = True

    def __init__(self) -> None:
        self.files: dict[str, object] = {f"{symbol}.json": 1 for symbol in SYMBOLS}
        self.away = False

    def pointer_stamps(self, before: Stamps | None = None) -> Stamps:
        if self.away:
            raise StorageFailed("the store is gone for now")
        return Stamps(None, dict(self.files))

    def move(self, symbol: str) -> None:
        self.files[f"{symbol}.json"] = object()


class Loaded:
    """Models of which every symbol is loaded; says which pointers were read."""

    def __init__(self) -> None:
        self.registry = Pointers()
        self.default_symbol = SYMBOLS[0]
        self.read: list[str] = []
        self.broken: set[str] = set()

    def loaded(self) -> list[Any]:
        return [SimpleNamespace(symbol=symbol) for symbol in SYMBOLS]

    def failures(self) -> dict[str, str]:
        return dict.fromkeys(self.broken, "broken")

    def look(self, symbol: str) -> Reload:
        self.read.append(symbol)
        outcome: Any = "failed" if symbol in self.broken else "unchanged"
        return Reload(symbol, outcome, None, None)

    def read_since(self) -> list[str]:
        """Forgets them."""
        read, self.read = self.read, []
        return read


@pytest.fixture
def models() -> Loaded:
    return Loaded()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def follower(models: Loaded, clock: Clock) -> PointerFollower:
    made = PointerFollower(models, INTERVAL_S, clock=clock)  # type: ignore[arg-type]
    made.look()  # the first one reads all
    assert sorted(models.read_since()) == SYMBOLS
    return made


def test_where_nothing_moved_hardly_anything_is_read(
    models: Loaded, follower: PointerFollower
) -> None:
    for _ in range(10):
        follower.look()
    assert len(models.read) <= 10 * 9


def test_what_moved_is_read_at_once(models: Loaded, follower: PointerFollower) -> None:
    models.registry.move(SYMBOLS[417])
    models.registry.move(SYMBOLS[999])
    follower.look()
    assert {SYMBOLS[417], SYMBOLS[999]} <= set(models.read_since())
    follower.look()
    assert not {SYMBOLS[417], SYMBOLS[999]} & set(models.read)


def test_every_pointer_is_read_in_time_whatever_its_stamp_says(
    models: Loaded, follower: PointerFollower
) -> None:
    for _ in range(int(PointerFollower.ALL_WITHIN_S / INTERVAL_S)):
        follower.look()
    assert set(models.read) == set(SYMBOLS)


def test_what_cannot_be_loaded_is_tried_again_after_growing_pauses(
    models: Loaded, follower: PointerFollower, clock: Clock
) -> None:
    models.broken.add(SYMBOLS[5])
    models.registry.move(SYMBOLS[5])
    tried = []
    for _ in range(80):
        follower.look()
        if SYMBOLS[5] in models.read_since():
            tried.append(clock.now)
        clock.now += INTERVAL_S
    pauses = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_pointer_that_moves_on_is_read_whatever_pause_is_left(
    models: Loaded, follower: PointerFollower, clock: Clock
) -> None:
    models.broken.add(SYMBOLS[5])
    models.registry.move(SYMBOLS[5])
    follower.look()
    models.read_since()
    models.broken.clear()
    models.registry.move(SYMBOLS[5])
    follower.look()
    assert SYMBOLS[5] in models.read


def test_a_store_that_is_away_is_asked_in_turn_and_caught_up_with(
    models: Loaded, follower: PointerFollower
) -> None:
    models.registry.away = True
    follower.look()
    assert 1 <= len(models.read_since()) <= 9, "whoever reads a pointer learns what is wrong"
    models.registry.move(SYMBOLS[3])
    models.registry.away = False
    follower.look()
    assert SYMBOLS[3] in models.read


def test_whoever_tells_others_is_woken_by_a_change_only(models: Loaded, clock: Clock) -> None:
    told: list[int] = []
    follower = PointerFollower(models, INTERVAL_S, lambda: told.append(1), clock)  # type: ignore[arg-type]
    follower.look()
    assert told == []
    models.broken.add(SYMBOLS[7])
    models.registry.move(SYMBOLS[7])
    follower.look()
    assert told == [1]


# -- stamps -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "current"
    made.mkdir()
    (made / "MSFT.json").write_text("1")
    (made / "%5EBVSP.json").write_text("1")
    return made


def long_ago(path: Path, seconds: int = 1000) -> None:
    os.utime(path, (path.stat().st_mtime - seconds,) * 2)


def test_a_stamp_changes_with_its_pointer_alone(folder: Path) -> None:
    registry = Registry(str(folder.parent))
    before = registry.pointer_stamps()
    scratch = folder / ".scratch"
    scratch.write_text("2")
    scratch.replace(folder / "MSFT.json")
    after = registry.pointer_stamps(before)
    assert after.of("MSFT") != before.of("MSFT")
    assert after.of("^BVSP") == before.of("^BVSP") is not None
    assert after.of("KO") is None


def test_a_folder_that_has_not_changed_is_not_looked_into(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(str(folder.parent))
    long_ago(folder)
    before = registry.pointer_stamps()
    monkeypatch.setattr(os, "scandir", lambda _: 1 / 0)
    assert registry.pointer_stamps(before) is before


def test_a_folder_that_changed_just_now_may_change_within_the_same_tick(folder: Path) -> None:
    registry = Registry(str(folder.parent))
    long_ago(folder, seconds=0)
    os.utime(folder)
    before = registry.pointer_stamps()
    (folder / "KO.json").write_text("1")
    os.utime(folder, ns=(folder.stat().st_atime_ns, before.folder or folder.stat().st_mtime_ns))
    assert registry.pointer_stamps(before).of("KO") is not None


def test_before_there_is_any_pointer_there_are_no_stamps(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "nothing"))
    assert registry.pointer_stamps().files == {}


def test_an_object_store_is_asked_for_one_listing(folder: Path) -> None:
    registry = Registry("memory://fleet")
    assert registry.pointer_stamps().files == {}
    registry._store._fs.pipe_file("/fleet/current/MSFT.json", b"1")
    before = registry.pointer_stamps()
    registry._store._fs.pipe_file("/fleet/current/MSFT.json", b"2")
    after = registry.pointer_stamps(before)
    assert before.of("MSFT") is not None
    assert after.of("MSFT") != before.of("MSFT")
    registry._store._fs.rm("/fleet", recursive=True)
