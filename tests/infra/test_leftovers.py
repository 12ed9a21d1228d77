"""Leftovers of killed processes: removed once their writer has ended, and not before."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from closecast.infra.leftovers import (
    HOUR_S,
    is_abandoned,
    is_old,
    name_of_owner,
    owner_in,
    remove_old,
    remove_unlocked,
)
from closecast.infra.processes import owner_name


@pytest.mark.parametrize(
    ("age_s", "old"), [(0, False), (HOUR_S / 2, False), (2 * HOUR_S, True), (-2 * HOUR_S, True)]
)
def test_age_decides_also_where_a_clock_was_set_back(
    tmp_path: Path, age_s: float, old: bool
) -> None:
    path = tmp_path / "file"
    path.touch()
    os.utime(path, (time.time() - age_s,) * 2)
    assert is_old(path) is old


def test_a_path_that_is_gone_is_not_old(tmp_path: Path) -> None:
    assert not is_old(tmp_path / "gone")


def test_old_files_and_whole_old_folders_are_removed(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "inside").touch()
    single = tmp_path / "single"
    single.touch()
    for path in (old, single):
        os.utime(path, (1, 1))
    remove_old(list(tmp_path.iterdir()))
    assert list(tmp_path.iterdir()) == [new]


def test_the_owner_in_a_name_comes_back(tmp_path: Path) -> None:
    assert owner_in(tmp_path / name_of_owner("a1")) == owner_name()
    assert name_of_owner("a1") != name_of_owner("b2")
    assert "/" not in name_of_owner()


def test_a_path_of_a_living_process_or_of_no_owner_is_not_abandoned(tmp_path: Path) -> None:
    for name in (name_of_owner("a1"), "notes.txt"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, 1))
        assert not is_abandoned(tmp_path / name, HOUR_S)


def test_folders_are_removed_when_their_lock_is_free(tmp_path: Path) -> None:
    held, free, other = (tmp_path / name for name in ("held", "free", "other"))
    for folder in (held, free, other):
        folder.mkdir()
    (free / "lock").touch()
    with FileLock(held / "lock"):
        remove_unlocked(list(tmp_path.iterdir()), "lock")
        assert {*tmp_path.iterdir()} == {held, other}
