"""Write probes: folders that a process is about to write to, tried out with a small file."""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from closecast.errors import StorageFailed
from closecast.infra.leftovers import remove_old
from closecast.infra.trouble import Trouble, TroubleCode

_PROBE = ".write-probe-"
_BYTES = b"\0" * 4096
_LEAST_FILES = 100
"""Free inodes; a training makes some thirty files."""

_CLOCK_S = 120.0
"""Seconds between the clocks of a file server and of this machine that are remarkable."""

_CODES: dict[int, TroubleCode] = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "disk_full",
    errno.EROFS: "folder_read_only",
    errno.EACCES: "folder_read_only",
    errno.EPERM: "folder_read_only",
    errno.ENOENT: "folder_missing",
    errno.ENOTDIR: "folder_missing",
}
_REMEDIES: dict[TroubleCode, str] = {
    "disk_full": "Free space there, or give the folder another disk",
    "folder_read_only": "Give the user of this process the right to write there, and check that "
    "the disk is not mounted read-only",
    "inodes_low": "Remove files there, or make a file system with more inodes",
    "folder_missing": "Make the folder again, or mount it; then restart",
    "folder_failing": "Check the disk or the network file system, and the kernel's log",
}


def probe_folder(
    folder: Path, setting: str, reserve_bytes: int = 0, *, may_be_missing: bool = False
) -> Trouble | None:
    """Write a small file into a folder, and look for room; nothing stays behind.

    The file has no name while it is written, so a process that is killed leaves none. May hang as
    long as the disk does: see :class:`closecast.infra.bounded.BoundedCall`.

    Parameters
    ----------
    setting : str
        Name of the setting that chooses the folder, for messages.
    reserve_bytes : int
        Free bytes below which the disk counts as nearly full.
    may_be_missing : bool
        Whether the folder is made at its first use: its nearest existing parent is tried then.

    Returns
    -------
    Trouble or None
        ``None`` if it can be written.
    """
    place = folder.absolute()
    if may_be_missing:
        place = next((one for one in (place, *place.parents) if one.is_dir()), place)
    try:
        written_at = _write(place)
        room = os.statvfs(place)
    except OSError as error:
        code = _CODES.get(error.errno or 0, "folder_failing")
        reason = error.strerror or type(error).__name__
        if code == "disk_full" and _has_no_inode(place):
            code, reason = "inodes_low", "there is room, and the number of files is used up"
        return Trouble(code, f"{place} ({setting}) cannot be written: {reason}", _REMEDIES[code])
    free = room.f_bavail * room.f_frsize
    if free < reserve_bytes:
        return Trouble(
            "disk_low",
            f"the disk of {place} ({setting}) has {free / 1e6:,.0f} MB free, less than "
            f"{reserve_bytes / 1e6:,.0f} MB (CLOSECAST_DISK_RESERVE_MB)",
            "Free space there before it is full",
        )
    if room.f_files and room.f_favail < _LEAST_FILES:
        return Trouble(
            "inodes_low",
            f"the disk of {place} ({setting}) can hold {room.f_favail} more files",
            _REMEDIES["inodes_low"],
        )
    difference_s = written_at - time.time()
    if abs(difference_s) > _CLOCK_S:
        return Trouble(
            "clock_off",
            f"the clock of the server of {place} ({setting}) and this machine's differ by "
            f"{abs(difference_s):,.0f} s",
            "Set both clocks by a time server (NTP)",
        )
    return None


def require_writable(folders: Iterable[tuple[Path, str]], reserve_bytes: int = 0) -> None:
    """Probe folders before long work that ends with writing to them.

    Parameters
    ----------
    folders : iterable of (Path, str)
        Folders, which may be missing, each with the setting that chooses it.

    Raises
    ------
    StorageFailed
        If one cannot be written, or its disk is nearly full.
    """
    for folder, setting in folders:
        trouble = probe_folder(folder, setting, reserve_bytes, may_be_missing=True)
        if trouble is not None and trouble.code != "clock_off":
            raise StorageFailed(f"{trouble}; nothing was begun")


def _has_no_inode(folder: Path) -> bool:
    """Check that a disk that is called full has space, and no inode for another file."""
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return room.f_files > 0 and room.f_favail == 0 and room.f_bavail * room.f_frsize > len(_BYTES)


def _write(folder: Path) -> float:
    """Write and remove a small file; its time by the clock of the file system, in seconds."""
    path = folder / f"{_PROBE}{uuid.uuid4().hex}"
    with suppress(OSError):
        remove_old(folder.glob(f"{_PROBE}*"))
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.unlink(path)
        os.write(handle, _BYTES)
        os.fsync(handle)
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)
