"""Files that are there whole or not at all, whatever fails or is killed in between."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from hypothesis import given, settings
from hypothesis import strategies as st

from closecast.errors import StorageFailed
from closecast.infra.files import storage, sync_folder, write_atomically
from tests.support.synthetic_prices import patiently


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that holds ``before``, alone in its folder."""
    path = tmp_path / "file.json"
    path.write_bytes(b"before")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# -- writing ------------------------------------------------------------------------------------


@settings(patiently, max_examples=25)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_the_last_content_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, written: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("atomic")
    for content in written:
        write_atomically(folder / "file", content)
    assert contents(folder) == {"file": written[-1]}


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "file", b"content")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"content"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_who_may_read_is_up_to_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    """A training and a serving container may run as two users who share a folder."""
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


def test_what_is_written_is_durable_before_it_is_visible_and_the_name_afterwards(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, replace = os.fsync, os.replace
    steps: list[str] = []

    def noted_fsync(handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        steps.append(f"sync {'folder' if path.is_dir() else path.read_bytes().decode()}")
        fsync(handle)

    def noted_replace(source: Path, target: Path) -> None:
        steps.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_atomically(file, b"after")
    assert steps == ["sync after", "replace", "sync folder"]


_WRITE_IN_TURN = """
import sys
from pathlib import Path
from closecast.infra.files import write_atomically
for i in range(200):
    write_atomically(Path(sys.argv[1]), (b"a" * 10, b"b" * 300_000)[i % 2])
"""


def test_a_reader_never_sees_half_a_file(file: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _WRITE_IN_TURN, str(file)])
    seen = set()
    while process.poll() is None:
        content = file.read_bytes()
        seen.add((content[:1], len(content), len(set(content))))
    assert process.returncode == 0
    assert len(seen) > 1
    assert seen <= {(b"b", len(b"before"), 5), (b"a", 10, 1), (b"b", 300_000, 1)}


# -- when it fails ------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", ["builtins.open", "os.fsync", "os.replace"])
def test_when_a_step_fails_the_file_stays_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(failing, no_space)
        with pytest.raises(StorageFailed, match="No space left on device; nothing was changed"):
            write_atomically(file, b"after")
    assert contents(file.parent) == {"file.json": b"before"}


def test_when_the_name_may_not_last_nobody_says_that_nothing_was_changed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("closecast.infra.files.sync_folder", no_space)
        with pytest.raises(StorageFailed, match=r"file\.json was replaced, yet a power failure"):
            write_atomically(file, b"after")
    assert contents(file.parent) == {"file.json": b"after"}


def test_an_interruption_passes_and_leaves_the_file_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(handle: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(file, b"after")
    assert contents(file.parent) == {"file.json": b"before"}


_WITH_A_LIMIT = """
import resource, sys
from pathlib import Path
from closecast.infra.files import write_atomically
from closecast.errors import StorageFailed
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path(sys.argv[1]), bytes(100_000))
except StorageFailed as error:
    print(error)
"""


def test_a_file_that_the_system_does_not_let_grow_stays_as_it_was(file: Path) -> None:
    command = [sys.executable, "-c", _WITH_A_LIMIT, str(file)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"cannot write {file}: File too large; nothing was changed" in run.stdout
    assert contents(file.parent) == {"file.json": b"before"}


_KILLED = """
import os, signal, sys
from pathlib import Path
from closecast.infra.files import write_atomically
setattr(os, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
write_atomically(Path(sys.argv[1]), b"after")
"""


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_writer_that_is_killed_leaves_the_file_as_it_was(file: Path, step: str) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(file), step], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert file.read_bytes() == b"before"
    write_atomically(file, b"next")
    assert file.read_bytes() == b"next"


def occupy_file(path: Path) -> None:
    path.mkdir()


def occupy_folder(path: Path) -> None:
    path.parent.write_text("I am a file")


@pytest.mark.parametrize("occupy", [occupy_file, occupy_folder])
def test_a_place_that_is_taken_is_named(tmp_path: Path, occupy: Callable[[Path], None]) -> None:
    path = tmp_path / "place" / "file"
    if occupy is occupy_file:
        path.parent.mkdir()
    occupy(path)
    with pytest.raises(StorageFailed, match=f"cannot write {path}: .*; nothing was changed"):
        write_atomically(path, b"content")
    assert [p for p in tmp_path.rglob("*") if p not in (path, path.parent)] == []


def test_syncing_leaves_no_handle_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.listdir("/proc/self/fd")
    sync_folder(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(OSError, match="No space"):
            sync_folder(tmp_path)
    assert os.listdir("/proc/self/fd") == before


# -- naming the place ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "/secret"), "Permission denied"),
        (OSError("what s3fs said"), "what s3fs said"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_an_error_of_the_system_names_place_reason_and_advice(error: OSError, reason: str) -> None:
    with pytest.raises(StorageFailed) as caught, storage("models/x"):
        raise error
    assert str(caught.value) == (
        f"cannot write models/x: {reason}; nothing was changed. "
        "Check free space and permissions, then try again"
    )
    assert caught.value.__cause__ is error


def test_a_lock_that_is_never_free_is_a_storage_failure(tmp_path: Path) -> None:
    assert issubclass(Timeout, OSError)
    with FileLock(tmp_path / "lock"), pytest.raises(StorageFailed, match="lock"), storage("x"):
        FileLock(tmp_path / "lock", timeout=0).acquire()


@pytest.mark.parametrize("error", [ValueError("a bug"), StorageFailed("said before"), SystemExit()])
def test_other_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, storage("x"):
        raise error
    assert caught.value is error


def test_scratch_files_of_killed_writers_go_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "a[1].json"
    old, new = (tmp_path / f".{path.name}.{digit * 32}" for digit in "0f")
    other = tmp_path / f".b.json.{'0' * 32}"
    for left in (old, new, other):
        left.write_bytes(b"half")
    for left in (old, other):
        os.utime(left, (1, 1))
    write_atomically(path, b"whole")
    assert {p.name for p in tmp_path.iterdir()} == {path.name, new.name, other.name}
