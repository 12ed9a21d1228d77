"""Files of currencies: every weekday is a session, and bars of Sunday evenings are none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from closecast.core.prices import Prices
from closecast.errors import InvalidPrices
from closecast.sources.file import FileSource

DAYS = np.arange("2021-01-01", "2022-06-30", dtype="datetime64[D]")
WEEKDAY = (DAYS.astype(int) + 3) % 7


def fetch(path: Path, days: Iterable[object]) -> Prices:
    rows = (f"{day},{1.1 + 0.01 * np.sin(i / 5):.5f}\n" for i, day in enumerate(days))
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


@pytest.mark.parametrize(
    ("zone", "opens"), [("Europe/London", 0), ("America/New_York", -7), ("Europe/Berlin", 0)]
)
@pytest.mark.parametrize("form", ["epoch", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M"])
def test_days_that_begin_in_the_evening_before_keep_their_dates(
    tmp_path: Path, zone: str, opens: int, form: str
) -> None:
    days = DAYS[WEEKDAY < 5]
    bars = (pd.DatetimeIndex(days) + pd.Timedelta(hours=opens)).tz_localize(zone).tz_convert("UTC")
    stamps = bars.as_unit("s").asi8 if form == "epoch" else bars.strftime(form)
    prices = fetch(tmp_path / "fx.csv", stamps)
    assert prices.sessions.tolist() == days.tolist()


def test_bars_of_sunday_evenings_that_stand_for_mondays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPrices, match="no Fridays"):
        fetch(tmp_path / "fx.csv", DAYS[(WEEKDAY < 4) | (WEEKDAY == 6)])
