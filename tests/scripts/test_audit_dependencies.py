"""What lint makes of pip-audit's answers, and of its silence. A fake one stands in for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.audit_dependencies import main, pins

ROOT = Path(__file__).parents[2]
FINE = {"name": "a", "version": "1", "vulns": []}
HOLE = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


class FakeAudit:
    """A program that prints what pip-audit would, and notes what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.constraints = folder / "constraints.txt"
        self.constraints.write_text("a==1 ; python_version < '4'\nb==2\nc==3\n")

    def says(self, *entries: dict[str, Any], code: int = 0, error: str = "") -> int:
        """What the script makes of these entries (of those that it asks for)."""
        program = self.folder / "pip_audit.py"
        program.write_text(f"""
import json, pathlib, sys
asked = pathlib.Path(sys.argv[sys.argv.index("--requirement") + 1]).read_text().split()
pathlib.Path({str(self.folder / "asked")!r}).open("a").write(json.dumps(asked) + "\\n")
names = [line.partition("==")[0] for line in asked]
found = [entry for entry in {entries!r} if entry["name"] in names]
sys.stderr.write({error!r})
if not {error!r}:
    print(json.dumps({{"dependencies": found, "fixes": []}}))
sys.exit({code} and any(entry.get("vulns") for entry in found) or bool({error!r}))
""")
        return main(["--constraints", str(self.constraints)], [sys.executable, str(program)])

    @property
    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "asked").read_text().splitlines()]


@pytest.fixture
def fake(tmp_path: Path) -> FakeAudit:
    return FakeAudit(tmp_path)


def test_without_vulnerabilities_lint_goes_on(
    fake: FakeAudit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake.says(FINE, {**FINE, "name": "b"}, {**FINE, "name": "c"}) == 0
    assert "audited 3 dependencies: 0 known" in capsys.readouterr().out
    assert fake.asked == [["a==1"], ["a==1", "b==2", "c==3"]]


def test_with_one_lint_fails_and_names_it(
    fake: FakeAudit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake.says(FINE, HOLE, code=1) == 1
    assert "b 2: PYSEC-1, mended in 2.1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error",
    [
        "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed",
        "ERROR:pip_audit._cli:Tip: your network may be blocking this service.",
        "requests.exceptions.ReadTimeout: Read timed out.",
    ],
)
def test_where_nobody_answers_that_is_said_loudly_and_lint_goes_on(
    fake: FakeAudit, capsys: pytest.CaptureFixture[str], error: str
) -> None:
    assert fake.says(HOLE, error=error) == 0
    assert "DEPENDENCIES WERE NOT AUDITED" in capsys.readouterr().out
    assert len(fake.asked) == 1, "one question is enough to know"


def test_one_that_never_answers_is_one_that_is_not_there(
    fake: FakeAudit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.audit_dependencies._TIMEOUT_S", 0.0)
    assert fake.says(FINE) == 0
    assert "NOT AUDITED" in capsys.readouterr().out


def test_a_database_that_knows_nothing_is_no_clean_bill(
    fake: FakeAudit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake.says({**UNKNOWN, "name": "a"}) == 0
    assert "DEPENDENCIES WERE NOT AUDITED" in capsys.readouterr().out


def test_what_alone_is_unknown_is_named(
    fake: FakeAudit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake.says(FINE, HOLE, UNKNOWN, code=1) == 1
    assert "NOT audited, unknown to the database: c" in capsys.readouterr().out


def test_another_failure_is_no_silence(fake: FakeAudit, capsys: pytest.CaptureFixture[str]) -> None:
    assert fake.says(error="ERROR: invalid requirements input") == 2
    assert "invalid requirements input" in capsys.readouterr().err


def test_every_pin_of_ours_is_asked_for() -> None:
    text = (ROOT / "constraints.txt").read_text()
    asked = [pin for wanted in pins(text) for pin in wanted]
    assert len(asked) == len(set(asked)) > 100
    assert {line.partition(";")[0].strip() for line in text.splitlines() if "==" in line} == set(
        asked
    )


def test_lint_asks() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "scripts.audit_dependencies" in makefile
    assert "bandit -q -r src api scripts" in makefile
