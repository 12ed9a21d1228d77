"""``closecast accept``: the decision is stored and its update queued, without a service."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from closecast.cli.main import main
from closecast.core.records import HeldCloses
from closecast.database import Database
from closecast.settings import Settings, as_environment

SINCE = date(2022, 12, 27)
ACCEPT = ["accept", "msft", "2022-12-27", "--reason", "a real halving"]


@pytest.fixture
def database(published: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    """Its settings are those of the command."""
    for name, value in as_environment(published).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOGNAME", "ana")
    monkeypatch.chdir(tmp_path)
    made = Database(published.ledger_url)
    noticed = datetime(2022, 12, 27, 23, tzinfo=UTC)
    held = HeldCloses(SINCE, "suspected_split", "like a split", "a correction", noticed)
    made.close_decisions.hold("MSFT", held)
    return made


def test_a_close_is_accepted_and_an_update_queued(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    main(ACCEPT)
    [accepted] = database.close_decisions.all_accepted()
    assert (accepted.symbol, accepted.session) == ("MSFT", SINCE)
    assert (accepted.reason, accepted.by) == ("a real halving", "cli:ana")
    [job] = database.jobs.newest()
    printed = capsys.readouterr().out
    assert "MSFT: the close of 2022-12-27 is accepted, by cli:ana at " in printed
    assert f"update {job.id} is queued" in printed
    assert "closecast worker --once" in printed


def test_once_absorbed_only_the_first_decision_is_printed(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*ACCEPT, "--by", "bea"])
    database.close_decisions.hold("MSFT", None)
    capsys.readouterr()
    main(ACCEPT)
    printed = capsys.readouterr().out
    assert "by bea" in printed
    assert "update" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["accept", "ORCL", "2022-12-27", "--reason", "x"], "neither a model nor collected"),
        (["accept", "MSFT", "2022-12-23", "--reason", "x"], "those that are: 2022-12-27"),
        (["accept", "../x", "2022-12-27", "--reason", "x"], "closecast: "),
    ],
)
def test_anything_else_is_one_line(database: Database, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert message in str(ended.value.code)
    assert database.close_decisions.all_accepted() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["accept", "MSFT", "2022-12-27"], "--reason"),
        (["accept", "MSFT", "2022-12-27", "--reason", " "], "it is blank"),
        (["accept", "MSFT", "2022-12-27", "--reason", "two\nlines"], "control character"),
        (["accept", "MSFT", "27.12.2022", "--reason", "x"], "invalid"),
        ([*ACCEPT, "--by", "x" * 101], "101 characters"),
    ],
)
def test_arguments_that_are_none_are_refused(
    database: Database, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert database.close_decisions.all_accepted() == []
