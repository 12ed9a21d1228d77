"""Rows that an earlier version stored under another spelling are found under today's."""

from __future__ import annotations

import hashlib
import lzma
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from closecast.database import Database, PredictionFilter
from closecast.database.calibrations import CalibrationChange

VERSION = "20261130T180940Z-cfb4e7f5"
FORECAST = "044e3d57a076d0f446ee38abbd16ef59"
KEPT = Path(__file__).parent / "data" / "2a7cc8d.sqlite.xz"
NAMES = {"BRK.B": "BRK-B", "PETR4F": "PETR4F.SA", "BTCUSDT": "BTC-USDT", "IBOV": "^BVSP"}


def stored_under(name: str, path: Path) -> str:
    """Rewrite the kept database as if its symbol had been ``name``; return its URL."""
    with lzma.open(KEPT) as kept:
        path.write_bytes(kept.read())
    with closing(sqlite3.connect(path)) as rows, rows:
        named = rows.execute(
            "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c"
            " WHERE m.type = 'table' AND c.name = 'symbol'"
        ).fetchall()
        for (table,) in named:
            rows.execute(f"UPDATE {table} SET symbol = ? WHERE symbol = 'MSFT'", (name,))
        for step, revision, state in rows.execute(
            "SELECT step, revision, state FROM calibrations"
        ).fetchall():
            about = f"{VERSION}/{name}/{revision}/{step}/".encode()
            rows.execute(
                "UPDATE calibrations SET digest = ? WHERE step = ?",
                (hashlib.sha256(about + state).hexdigest(), step),
            )
    return f"sqlite:///{path}"


@pytest.mark.parametrize("name", NAMES)
def test_every_row_answers_to_todays_name(name: str, tmp_path: Path) -> None:
    symbol = NAMES[name]
    database = Database(stored_under(name, tmp_path / "old.sqlite"))
    [found] = database.forecasts.newest(symbol)
    assert (found[0], found[1].symbol) == (FORECAST, symbol)
    assert database.forecasts.get(FORECAST)[0].symbol == symbol
    assert database.forecasts.due(symbol, date(2023, 1, 1))
    calibration = database.calibrations.newest(VERSION, symbol)
    assert calibration is not None
    assert calibration.symbol == symbol
    assert database.configurations.newest(symbol).revision == 1
    assert database.predictions.page(PredictionFilter(symbol=symbol), 10)
    assert {job.symbol for job in database.jobs.newest()} == {symbol}
    assert database.forecasts.newest(name) == []
    database.close()


def test_a_calibration_goes_on_where_the_earlier_name_left_it(tmp_path: Path) -> None:
    database = Database(stored_under("BRK.B", tmp_path / "old.sqlite"))
    before = database.calibrations.newest(VERSION, "BRK-B")
    assert before is not None
    following = before.revision + 1
    change = CalibrationChange(
        "BRK-B", before.revision, following, date(2022, 12, 30), before.parts
    )
    database.calibrations.store(VERSION, [change])
    after = database.calibrations.newest(VERSION, "BRK-B")
    assert after is not None
    assert (after.symbol, after.revision, after.parts) == ("BRK-B", following, before.parts)
    database.close()


def test_a_row_whose_key_is_taken_stays_and_disturbs_nothing(tmp_path: Path) -> None:
    url = stored_under("BRK.B", tmp_path / "old.sqlite")
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as rows, rows:
        rows.execute(
            "INSERT INTO configurations SELECT 'BRK-B', revision, '{\"num_epochs\": 7}', created_at"
            " FROM configurations"
        )
    for _ in range(2):
        database = Database(url)
        assert database.configurations.newest("BRK-B").hyperparameters == {"num_epochs": 7}
        assert [row[0] for row in database.forecasts.newest("BRK-B")] == [FORECAST]
        database.close()


def test_two_processes_that_start_at_once_rename_every_row_once(tmp_path: Path) -> None:
    url = stored_under("BRK.B", tmp_path / "old.sqlite")
    program = (
        "import sys; from closecast.database import Database; sys.stdin.read();"
        f"print([one[0] for one in Database({url!r}).forecasts.newest('BRK-B')])"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
    for process in started:
        assert process.stdout is not None
        assert process.stdout.read().strip() == f"['{FORECAST}']"
        assert process.wait(60) == 0
        process.stdout.close()
        assert process.stderr is not None
        process.stderr.close()
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as rows:
        assert rows.execute("SELECT DISTINCT symbol FROM forecasts").fetchall() == [("BRK-B",)]
