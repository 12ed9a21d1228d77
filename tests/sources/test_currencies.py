"""Files of currencies: every weekday is a session, and bars of Sunday evenings are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from closecast.core.prices import Prices
from closecast.errors import InvalidPrices
from closecast.sources.file import FileSource

DAYS = np.arange("2021-01-01", "2022-06-30", dtype="datetime64[D]")
WEEKDAY = (DAYS.astype(int) + 3) % 7


def fetch(path: Path, days: np.ndarray) -> Prices:
    closes = 1.1 + 0.01 * np.sin(np.arange(len(days)) / 5)
    rows = (f"{day},{close:.5f}\n" for day, close in zip(days, closes, strict=True))
    path.write_text("Date,Close\n" + "".join(rows))
    return FileSource(str(path)).fetch("EURUSD")


def test_holidays_are_sessions(tmp_path: Path) -> None:
    prices = fetch(tmp_path / "fx.csv", DAYS[WEEKDAY < 5])
    assert (prices.symbol, len(prices)) == ("EURUSD=X", (WEEKDAY < 5).sum())
    assert [note.rule for note in prices.notes] == ["read_as"]


def test_bars_of_sundays_are_left_out_with_one_note(tmp_path: Path) -> None:
    prices = fetch(tmp_path / "fx.csv", DAYS[WEEKDAY != 5])
    assert len(prices) == (WEEKDAY < 5).sum()
    [note] = [note for note in prices.notes if note.rule == "sunday_bars"]
    assert (note.date, note.message.split()[0]) == ("2021-01-03", str((WEEKDAY == 6).sum()))


def test_a_file_with_every_day_is_none_of_currencies(tmp_path: Path) -> None:
    with pytest.raises(InvalidPrices, match="no sessions of 24/5"):
        fetch(tmp_path / "fx.csv", DAYS)
