"""Compile the inner loops of drift, if this machine has a C compiler. Run by the installation."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess  # nosec B404
import sys
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

DRIFT = Path(__file__).resolve().parent.parent / "src" / "closecast" / "drift"

# No instructions that only this machine's processor has, and no fused multiplications: the answers
# are the same everywhere.
OPTIONS = ("-O3", "-shared", "-fPIC", "-ffp-contract=off")


def compile_library(source: Path, library: Path) -> str | None:
    """Compile a C file to a shared library, which appears under its name in one step.

    Returns
    -------
    str or None
        The reason why there is no library; None if there is one.
    """
    compiler = shlex.split(os.environ.get("CC") or "cc")
    if not compiler or shutil.which(compiler[0]) is None:
        return "no C compiler"
    # As ``closecast.drift.native`` reckons it, which cannot be imported before NumPy is there.
    checksum = zlib.crc32(source.read_bytes())
    try:
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / library.name
            command = [*compiler, *OPTIONS, f"-DSOURCE={checksum}"]
            command += ["-o", str(made), str(source), "-lm"]
            ended = subprocess.run(command, capture_output=True, text=True)  # nosec B603
            if ended.returncode:
                return f"{shlex.join(command)} failed: {ended.stderr.strip()[-500:]}"
            made.replace(library)
    except OSError as error:  # for example a folder that is read-only
        return str(error)
    return None


def main() -> None:
    """Compile; without a compiler, or on Windows, drift goes on with NumPy."""
    library = DRIFT / "_native.so"
    why = "not on Windows" if platform.system() == "Windows" else None
    why = why or compile_library(DRIFT / "native.c", library)
    if why:
        with suppress(OSError):  # one of other code is not loaded
            library.unlink(missing_ok=True)
        print(f"drift stays with NumPy, which answers the same, later: {why}", file=sys.stderr)


if __name__ == "__main__":
    main()
