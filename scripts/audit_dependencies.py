"""Search the pins of ``constraints.txt`` for known vulnerabilities; part of ``make lint``.

Any vulnerability fails. If the database cannot be reached, a message reports it and the exit code
is 0, since a machine without a network must be able to lint.
"""

from __future__ import annotations

import argparse
import json
import subprocess  # fixed commands, no shell  # nosec B404
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

PIP_AUDIT = (sys.executable, "-m", "pip_audit")
_OPTIONS = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")
_NO_NETWORK = ("connect", "network", "timed out", "resolve host")
_TIMEOUT_S = 900


class NotAuditedError(Exception):
    """The database does not answer, or does not know the packages."""


class AuditFailedError(Exception):
    """The audit itself cannot be run as it is."""


def pins(constraints: str) -> list[list[str]]:
    r"""``name==version`` of every line, in lists that hold each name once.

    A package that is pinned to one version per platform needs several lists: pip-audit takes
    each name only once.

    >>> pins("a==1 ; python_version < '3.12'\na==2\nb==1\nb==1\n# b==3")
    [['a==1', 'b==1'], ['a==2']]
    """
    lists: list[dict[str, str]] = []
    for line in dict.fromkeys(line.partition(";")[0].strip() for line in constraints.splitlines()):
        name, found, _ = line.partition("==")
        if not found or line.startswith("#"):
            continue
        free = next((known for known in lists if name not in known), None)
        if free is None:
            lists.append(free := {})
        free[name] = line
    return [list(known.values()) for known in lists]


def audit(wanted: Sequence[str], command: Sequence[str] = PIP_AUDIT) -> list[dict[str, Any]]:
    """Results of pip-audit for each pin.

    Raises
    ------
    NotAuditedError, AuditFailedError
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("\n".join(wanted) + "\n", encoding="utf-8")
        try:
            done = subprocess.run(  # a file that was just made  # nosec B603
                [*command, "--requirement", str(file), *_OPTIONS],
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise NotAuditedError(f"no answer within {_TIMEOUT_S} s") from None
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        message = done.stderr.strip()
        # pip-audit ends with 1 for every error; only a missing network is to be forgiven.
        if any(sign in message.lower() for sign in _NO_NETWORK):
            raise NotAuditedError(_last_line(message)) from None
        raise AuditFailedError(message or f"pip-audit ended with {done.returncode}") from None
    if all("skip_reason" in entry for entry in found):
        raise NotAuditedError(str(found[0]["skip_reason"]) if found else "nothing was looked up")
    return found


def main(argv: Sequence[str] | None = None, command: Sequence[str] = PIP_AUDIT) -> int:
    """Print what is known; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constraints", type=Path, default=Path("constraints.txt"))
    lists = pins(parser.parse_args(argv).constraints.read_text(encoding="utf-8"))
    try:
        audit(lists[0][:1], command)  # one question first: a database that is not there has no 200
        found = [entry for wanted in lists for entry in audit(wanted, command)]
    except NotAuditedError as error:
        print("=" * 88)
        print("DEPENDENCIES WERE NOT AUDITED: the database of vulnerabilities cannot be reached.")
        print(f"  {error}")
        print("=" * 88)
        return 0
    except AuditFailedError as error:
        print(f"pip-audit cannot run: {error}", file=sys.stderr)
        return 2
    return _report(found)


def _report(found: Iterable[dict[str, Any]]) -> int:
    entries = list(found)
    skipped = [entry["name"] for entry in entries if "skip_reason" in entry]
    if skipped:
        print(f"NOT audited, unknown to the database: {', '.join(skipped)}")
    known = [(entry, hole) for entry in entries for hole in entry.get("vulns", ())]
    for entry, hole in known:
        mended = ", ".join(hole.get("fix_versions", ())) or "no version yet"
        print(f"{entry['name']} {entry['version']}: {hole['id']}, mended in {mended}")
    print(f"audited {len(entries) - len(skipped)} dependencies: {len(known)} known vulnerabilities")
    return 1 if known else 0


def _last_line(text: str) -> str:
    return text.splitlines()[-1] if text else "no reason given"


if __name__ == "__main__":
    sys.exit(main())
