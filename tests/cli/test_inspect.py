"""``closecast inspect``."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from closecast.cli.main import main
from closecast.core.calendars import sessions_between
from tests.support.exported_files import investing_portuguese, kaggle

DAYS = sessions_between("BVMF", date(2022, 1, 3), date(2022, 2, 25)).tolist()
NYSE = sessions_between("XNYS", date(2022, 1, 3), date(2022, 2, 25)).tolist()


def inspected(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    try:
        main(["inspect", *map(str, arguments)])
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    return code, capsys.readouterr().out


def test_it_shows_layout_columns_span_and_notes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "closes"
    path.write_bytes(investing_portuguese([(day, 20.0 + i % 5) for i, day in enumerate(DAYS)]))
    code, output = inspected(capsys, path, "--symbol", "petr4")
    assert code == 0
    found = dict(reversed([line.split(maxsplit=1) for line in output.splitlines()]))
    assert found["layout"] == "Investing.com, Portuguese"
    assert f"{len(DAYS)} of PETR4.SA, 2022-01-03 to 2022-02-25" in found["rows"]
    assert "column 'Último', basis unknown" in output
    assert "last close  " in output
    assert "read as: Investing.com, Portuguese, newest first" in found["note"]


def test_without_a_symbol_it_lists_those_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "closes"
    path.write_bytes(kaggle([(day, 20.0 + i % 5) for i, day in enumerate(NYSE)]))
    code, output = inspected(capsys, f"file:{path}")
    assert code == 0
    assert "symbols     AAL, MSFT" in output
    assert "name the symbol with --symbol" in output


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("Date,Close\n03/01/2022,5\n04/01/2022,6\n", "may be day/month or month/day"),
        ("Date,Close\n2022-01-03,5\n2022-01-05,5\n2022-01-04,5\n", "1 row is out of order"),
        ("Day,Value\nx,y\n", "no date column; columns found: 'Day', 'Value'"),
        ("", "is empty"),
    ],
)
def test_a_file_that_would_be_refused_ends_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, sentence: str
) -> None:
    path = tmp_path / "closes"
    path.write_text(content)
    code, output = inspected(capsys, path, "--symbol", "MSFT")
    assert code == 1
    (refusal,) = [line for line in output.splitlines() if line.startswith("refused")]
    assert sentence in refusal


def test_a_refusal_shows_what_was_found_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "closes"
    path.write_text("My bank;\nDate;Close\n2022-01-03;1,234\n2022-01-04;1,235\n")
    code, output = inspected(capsys, path, "--symbol", "MSFT")
    assert code == 1
    assert "read with   semicolons\ncolumns     'Date', 'Close'\n" in output
    assert "left out    line 1 'My bank'" in output
    assert "close '1,234' may be in thousands" in output
