"""Write probes name what is wrong with a folder, and leave nothing behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from closecast.errors import StorageFailed
from closecast.infra import write_probe
from closecast.infra.write_probe import probe_folder, require_writable

NAME = "CLOSECAST_DATA_DIR"


def fail_to_create(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    opened = os.open

    def fail(path: Any, *rest: Any, **more: Any) -> int:
        if ".write-probe-" in str(path):
            raise OSError(number, os.strerror(number))
        return opened(path, *rest, **more)

    monkeypatch.setattr(write_probe.os, "open", fail)


def test_a_sound_folder_has_no_trouble_and_no_file(tmp_path: Path) -> None:
    assert probe_folder(tmp_path, NAME) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EDQUOT, "disk_full"),
        (errno.EROFS, "folder_read_only"),
        (errno.EACCES, "folder_read_only"),
        (errno.EIO, "folder_failing"),
        (errno.ESTALE, "folder_failing"),
    ],
    ids=str,
)
def test_each_failure_has_a_code_and_a_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    fail_to_create(monkeypatch, number)
    trouble = probe_folder(tmp_path, NAME)
    assert trouble is not None
    assert trouble.code == code
    assert str(tmp_path) in trouble.message
    assert NAME in trouble.message
    assert trouble.remedy


def test_a_disk_that_fills_while_it_is_written_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(write_probe.os, "write", fail)
    trouble = probe_folder(tmp_path, NAME)
    assert trouble is not None
    assert trouble.code == "disk_full"
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named_unless_it_is_made_at_its_first_use(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    trouble = probe_folder(folder, NAME)
    assert trouble is not None
    assert trouble.code == "folder_missing"
    assert probe_folder(folder, NAME, may_be_missing=True) is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    trouble = probe_folder(tmp_path / "data", NAME)
    assert trouble is not None
    assert trouble.code == "folder_missing"


def room(**changes: int) -> SimpleNamespace:
    whole = {"f_bavail": 10**9, "f_frsize": 4096, "f_files": 10**6, "f_favail": 10**6}
    return SimpleNamespace(**{**whole, **changes})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"f_bavail": 10}, "disk_low"),
        ({"f_favail": 3}, "inodes_low"),
        ({"f_files": 0, "f_favail": 0}, None),  # as of btrfs, which has no such limit
    ],
    ids=str,
)
def test_room_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int], code: str | None
) -> None:
    monkeypatch.setattr(write_probe.os, "statvfs", lambda _: room(**changes))
    trouble = probe_folder(tmp_path, NAME, reserve_bytes=1_000_000)
    assert (trouble and trouble.code) == code


def test_a_disk_without_inodes_is_not_called_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_create(monkeypatch, errno.ENOSPC)
    monkeypatch.setattr(write_probe.os, "statvfs", lambda _: room(f_favail=0))
    trouble = probe_folder(tmp_path, NAME)
    assert trouble is not None
    assert trouble.code == "inodes_low"
    assert "number of files" in trouble.message


def test_a_file_server_with_another_clock_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_probe.time, "time", lambda: 1e9)
    trouble = probe_folder(tmp_path, NAME)
    assert trouble is not None
    assert trouble.code == "clock_off"


def test_work_is_refused_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_writable([(tmp_path / "new", NAME)])
    fail_to_create(monkeypatch, errno.EROFS)
    with pytest.raises(StorageFailed, match=r"CLOSECAST_DATA_DIR.*nothing was begun"):
        require_writable([(tmp_path / "new", NAME)])
