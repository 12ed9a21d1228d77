"""Dates of files: exchanges east of UTC, open orders, epochs, names of months."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from tests.support.file_reading import FileReader, csv_with, sessions

DAY = timedelta(1)


def epoch(day: date, hour: int = 0) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) + 3600 * hour


@pytest.mark.parametrize(
    ("symbol", "exchange", "written"),
    [
        ("7203.T", "XTKS", lambda d: f"{d - DAY}T15:00:00Z"),
        ("7203.T", "XTKS", lambda d: epoch(d, -9)),
        ("7203.T", "XTKS", lambda d: f"{d - DAY}T21:00:00-03:00"),
        ("7203.T", "XTKS", lambda d: f"{d}T00:00:00Z"),
        ("BHP.AX", "XASX", lambda d: f"{d - DAY} 23:00:00+00:00"),
        ("0700.HK", "XHKG", lambda d: f"{d - DAY}T16:00:00.000Z"),
        ("MSFT", "XNYS", lambda d: f"{d}T00:00:00Z"),
        ("MSFT", "XNYS", lambda d: f"{d}T21:00:00Z"),
        ("MSFT", "XNYS", lambda d: f"{d + DAY}T01:00:00Z"),
        ("MSFT", "XNYS", lambda d: f"{d} 00:00:00"),
        ("PETR4", "BVMF", lambda d: f"{d} 03:00:00 UTC"),
    ],
)
def test_a_time_in_utc_belongs_to_the_day_of_the_exchange(
    reader: FileReader, symbol: str, exchange: str, written: Callable[[date], object]
) -> None:
    days = sessions(exchange)
    for few in (days, days[5:8]):
        assert reader.fetch(csv_with(few, written), symbol).sessions.tolist() == few


def test_a_time_without_a_zone_is_utc_only_if_its_days_cannot_be_sessions(
    reader: FileReader,
) -> None:
    days = sessions("XTKS")
    for written in (lambda d: f"{d - DAY} 15:00:00", lambda d: f"{d} 15:00:00"):
        assert reader.fetch(csv_with(days, written), "7203.T").sessions.tolist() == days


def test_an_opening_bell_that_crosses_midnight_in_utc_with_daylight_saving(
    reader: FileReader,
) -> None:
    days = sessions("XASX", "2022-02-01", "2022-06-30")
    opened = pd.DatetimeIndex(days).tz_localize("Australia/Sydney") + pd.Timedelta(hours=10)
    frame = pd.DataFrame({"close": np.arange(len(days)) % 7 + 50.0}, index=opened.tz_convert("UTC"))
    assert reader.fetch(frame, "BHP.AX").sessions.tolist() == days
    assert reader.fetch(frame.to_csv(), "BHP.AX").sessions.tolist() == days


def test_a_note_says_that_days_were_moved(reader: FileReader) -> None:
    text = csv_with(sessions("XTKS"), lambda d: f"{d - DAY}T15:00:00Z")
    assert "times in UTC as days of Asia/Tokyo" in reader.read_as(text, "7203.T")


def test_days_of_coins_are_those_of_utc(reader: FileReader) -> None:
    days = sessions("24/7", last="2022-01-20")
    text = csv_with(days, lambda d: f"{d - DAY}T21:00:00-03:00", "time,close")
    assert reader.fetch(text, "BTC-USD").sessions.tolist() == days


@pytest.mark.parametrize(
    "pattern",
    [
        "%d-%b-%Y",
        '"%b %d, %Y"',
        "%d.%m.%y",
        "%m/%d/%y",
        "%y/%m/%d",
        "%Y.%m.%d 00:00",
        "%d/%m/%Y 16:00:00",
        "%m/%d/%Y 4:00 PM",
        '"%A, %B %d, %Y"',
        "%Y%m%d",
        "%d-%b-%y",
    ],
)
def test_ways_to_write_dates(reader: FileReader, pattern: str) -> None:
    days = sessions("XNYS")
    text = csv_with(days, lambda d: d.strftime(pattern))
    assert reader.fetch(text).sessions.tolist() == days


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("3 de janeiro de 2022", "4 de fevereiro de 2022"),
        ("3. Januar 2022", "4. Februar 2022"),
        ("03 janv. 2022", "04 févr. 2022"),
        ("3 ene 2022", "4 feb 2022"),
        ("3-dez-2021", "4-fev-2022"),
        ("2022年1月3日", "2022年2月4日"),
        ("2022- 01- 03", "2022- 02- 04"),
    ],
)
def test_months_of_other_languages(reader: FileReader, first: str, second: str) -> None:
    prices = reader.fetch(f"Date,Close\n{first},5\n{second},6\n", "BTC-USD", end=date(2022, 1, 9))
    assert prices.sessions.tolist() == [
        date(2021 if "dez" in first else 2022, 12 if "dez" in first else 1, 3)
    ]


@pytest.mark.parametrize("per_second", [1, 10**3, 10**6, 10**9])
def test_times_since_1970_in_any_unit(reader: FileReader, per_second: int) -> None:
    days = sessions("XNYS")
    text = csv_with(days, lambda d: epoch(d, 14) * per_second, "timestamp,close")
    assert reader.fetch(text).sessions.tolist() == days


def test_day_numbers_of_excel(reader: FileReader) -> None:
    days = sessions("XNYS")
    text = csv_with(days, lambda d: (d - date(1899, 12, 30)).days)
    assert reader.fetch(text).sessions.tolist() == days
    assert "dates as Excel's day numbers" in reader.read_as(text)


# Dates that may be read in two ways -------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["%d/%m/%Y", "%m/%d/%Y"])
def test_days_up_to_twelve_are_read_if_one_reading_alone_is_daily(
    reader: FileReader, pattern: str
) -> None:
    days = sessions("XNYS", last="2022-01-12")
    text = csv_with(days, lambda d: d.strftime(pattern))
    assert reader.fetch(text).sessions.tolist() == days
    assert "the only reading in which the rows are daily" in reader.read_as(text)


def test_other_symbols_rows_tell_the_order_of_day_and_month(reader: FileReader) -> None:
    rows = ["03/01/2022,MSFT,5", "04/01/2022,MSFT,6", "24/01/2022,T,7"]
    prices = reader.fetch("\n".join(["Date,Symbol,Close", *rows]))
    assert prices.sessions.tolist() == [date(2022, 1, 3), date(2022, 1, 4)]


@pytest.mark.parametrize("header", ["Data,Fechamento", "Datum,Schlusskurs", "Fecha,Cierre"])
def test_the_language_of_the_labels_decides_last(reader: FileReader, header: str) -> None:
    prices = reader.fetch(f"{header}\n03/01/2022,5\n04/01/2022,6\n")
    assert prices.sessions.tolist() == [date(2022, 1, 3), date(2022, 1, 4)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("03/01/2022,5\n04/01/2022,6\n", "'03/01/2022' may be day/month or month/day"),
        (
            "03/04/05,5\n04/05/06,6\n",
            "'03/04/05' may be day/month/year or month/day/year or year/month/day",
        ),
    ],
)
def test_what_stays_open_is_refused(reader: FileReader, text: str, sentence: str) -> None:
    assert reader.refusal(f"Date,Close\n{text}") == ("ambiguous_date", sentence)


def test_several_columns_of_dates_have_to_agree(reader: FileReader) -> None:
    agreed = "Unix,Date,Close\n1641168000,2022-01-03,5\n1641254400,2022-01-04,6\n"
    assert len(reader.fetch(agreed)) == 2
    other = agreed.replace("1641254400", "1641340800")
    assert reader.refusal(other) == (
        "ambiguous_date_column",
        "more than one date column: 'Unix', 'Date'",
    )


def test_bars_within_a_day_are_one_sentence(reader: FileReader) -> None:
    rows = [f"2022-01-03 {hour:02d}:00:00,{hour}" for hour in range(10, 16)]
    rule, message = reader.refusal("\n".join(["Date,Close", *rows]))
    assert (rule, message.split(":")[0]) == ("duplicate", "5 rows have the date of the row before")
