"""Code blocks of README.md, CONTRIBUTING.md and docs/, and how to run those in bash."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
NOT_RUN = frozenset(
    {
        *("needs Docker", "needs a cluster", "needs AWS", "needs Yahoo", "needs Prometheus"),
        *("needs systemd", "changes the machine"),
        *("starts a server", "changes the environment"),
    }
)
"""Reasons for which a block may carry the comment ``<!-- not run: REASON -->``."""

_FENCE = re.compile(r"( *)```(\w*)")

# `make` shows what it would do; a request shows its status after the answer.
_PRELUDE = f"""
set -euo pipefail
make() {{ command make -n -C {ROOT} "$@" > /dev/null; }}
curl() {{ command curl -sS -w '\\n%{{http_code}}\\n' "$@"; }}
"""


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes
    ----------
    page : str
        Path of the page, relative to the repository.
    line : int
        Line of the fence.
    language : str
        Word after the fence; empty without one.
    text : str
        Lines inside, without the indentation of the fence.
    not_run : str
        Reason in the comment above; empty if the block is to be run.
    answers : int
        Status that its requests answer.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str = ""
    answers: int = 200

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(text: str, page: str) -> Iterator[Block]:
    """The blocks of a page, in its order."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        if not (fence := _FENCE.match(lines[number])):
            number += 1
            continue
        first, indent = number + 1, fence[1]
        last = next(i for i in range(first, len(lines)) if lines[i].strip() == "```")
        inside = "\n".join(line.removeprefix(indent) for line in lines[first:last]) + "\n"
        above = lines[number - 1].strip() if number else ""
        reason = re.fullmatch(r"<!-- not run: (.+) -->", above)
        status = re.fullmatch(r"<!-- answers (\d{3}) -->", above)
        yield Block(
            page,
            first,
            fence[2],
            inside,
            not_run=reason[1] if reason else "",
            answers=int(status[1]) if status else 200,
        )
        number = last + 1


BLOCKS = [
    block
    for path in PAGES
    for block in blocks_of(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
]


def run_in_bash(
    block: Block, folder: Path, environment: Mapping[str, str], port: int = 8000
) -> str:
    """Standard output of a block that was run in ``folder``; a command that fails is an error.

    ``make`` only shows what it would do; each answer of ``curl`` is followed by a line with its
    status.
    """
    text = block.text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    text = text.replace(".venv/bin/python ", f"{sys.executable} ")
    text = text.replace(".venv/bin/closecast ", f"{sys.executable} -m closecast.cli ")
    done = subprocess.run(
        ["bash", "-c", _PRELUDE + text],
        cwd=folder,
        env={**environment, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{block.text}{done.stdout}{done.stderr}"
    return done.stdout


def answers_in(output: str) -> list[tuple[str, int]]:
    """Body and status of each request in the output of :func:`run_in_bash`."""
    found = re.findall(r"(.*?)\n(\d{3})\n", output, re.DOTALL)
    return [(body, int(status)) for body, status in found]


def missing_from(shown: object, answer: object, path: str = "") -> Iterator[str]:
    """Members that a page shows and an answer lacks, or has with another type."""
    if isinstance(shown, dict) and isinstance(answer, dict):
        for name, member in shown.items():
            if name in answer:
                yield from missing_from(member, answer[name], f"{path}/{name}")
            else:
                yield f"{path}/{name}"
    elif isinstance(shown, list) and isinstance(answer, list):
        for index, member in enumerate(shown):
            if index < len(answer):
                yield from missing_from(member, answer[index], f"{path}/{index}")
            else:
                yield f"{path}/{index}"
    elif _kind(shown) != _kind(answer) and None not in (shown, answer):
        yield f"{path} is {json.dumps(shown)}, and was {json.dumps(answer)[:80]}"


def _kind(value: object) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__
