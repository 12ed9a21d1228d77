"""Makes the environments of peers, runs their scripts, remembers their answers."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

SCRIPTS = Path(__file__).parent
HOME = SCRIPTS.parent / ".peers"
"""Environments, logs and answers; ignored by git and safe to delete."""

RUN_LIMIT_S = 3 * 3600


class PeerUnavailable(Exception):
    """A peer could not be installed or did not run; the text is what the table prints."""


def run_peer(group: str, arrays: Mapping[str, NDArray[Any]], home: Path = HOME) -> Arrays:
    """What the script of ``group`` answers to these arrays, from the cache where it is known.

    The key of the cache is a hash of the arrays, of the script and of its requirements.

    Raises
    ------
    PeerUnavailable
        If the environment cannot be made or the script fails; the logs lie in ``home``.
    """
    answer = home / "answers" / f"{group}-{_digest(group, arrays)}.npz"
    if not answer.exists():
        python = environment(group, home)
        answer.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as folder:
            question, found = Path(folder, "question.npz"), Path(folder, "answer.npz")
            np.savez(question, allow_pickle=False, **arrays)
            command = [str(python), str(SCRIPTS / f"{group}.py"), str(question), str(found)]
            if not _run(command, home / f"{group}.run.log") or not found.exists():
                raise PeerUnavailable(f"failed; see {_name(home)}/{group}.run.log")
            found.replace(answer)
    with np.load(answer, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def environment(group: str, home: Path = HOME, beside: Path | None = None) -> Path:
    """Python of the environment with the group's requirements, made on the first call.

    Parameters
    ----------
    beside : path, optional
        A ``site-packages`` whose packages are seen, too, except where the group pins others:
        one torch is enough for all.

    Raises
    ------
    PeerUnavailable
        If pip fails.
    """
    requirements = SCRIPTS / f"{group}.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + str(beside or "").encode()).hexdigest()
    folder = home / group
    python, marker = folder / "bin" / "python", folder / "installed"
    if marker.exists() and marker.read_text() == wanted:
        return python
    home.mkdir(parents=True, exist_ok=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    made = _run([sys.executable, "-m", "venv", "--clear", str(folder)], home / f"{group}.venv.log")
    if made and beside is not None:
        for packages in folder.glob("lib/python*/site-packages"):
            (packages / "beside.pth").write_text(f"{beside}\n")
    if not made or not _run([*pip, "-r", str(requirements)], home / f"{group}.pip.log"):
        raise PeerUnavailable(f"could not be installed; see {_name(home)}/{group}.pip.log")
    marker.write_text(wanted)
    return python


def _run(command: list[str], log: Path) -> bool:
    """Whether the command ended well; what it printed goes to the log."""
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with log.open("w") as output:
        try:
            done = subprocess.run(
                command, stdout=output, stderr=output, env=quiet, timeout=RUN_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            print(f"stopped after {RUN_LIMIT_S} s", file=output)
            return False
    return done.returncode == 0


def _digest(group: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    key = hashlib.sha256()
    for suffix in (".py", ".txt"):
        key.update((SCRIPTS / f"{group}{suffix}").read_bytes())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        key.update(f"{name} {array.dtype} {array.shape}".encode())
        key.update(array.tobytes())
    return key.hexdigest()[:16]


def _name(home: Path) -> str:
    return f"{home.parent.name}/{home.name}"
