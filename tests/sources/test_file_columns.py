"""Columns of files: symbols, bases, labels, lines around the table, cells of any type."""

from __future__ import annotations

import decimal
from datetime import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from closecast.errors import UnknownSymbol
from tests.support.file_reading import FileReader, csv_with, sessions

DAYS = sessions("XNYS", last="2022-02-28")
CLOSES = [50.0 + i % 7 for i in range(len(DAYS))]
ROWS = csv_with(DAYS, str).split("\n", 1)[1]


def notes(reader: FileReader, content: Any, rule: str) -> list[str]:
    return [note.message for note in reader.fetch(content).notes if note.rule == rule]


# Lines around the table ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        (f"MSFT US Equity,\nDate,Close\n{ROWS}", "line 1 'MSFT US Equity'"),
        (f"https://www.example.com\nDate,Close\n{ROWS}", "line 1 'https://www.example.com'"),
        (f"sep=,\nDate,Close\n{ROWS}", "line 1 'sep=,'"),
        (f"# a\n# b\nDate,Close\n{ROWS}", "line 1 '# a'; line 2 '# b'"),
        (f"Date,Close\n{ROWS}Downloaded by me", f"line {len(DAYS) + 2} 'Downloaded by me'"),
        (
            f"Date,Close\n{ROWS}By X, as of Jan 1, see",
            f"line {len(DAYS) + 2} 'By X as of Jan 1 see'",
        ),
        (f"From,2022-01-03\n\nDate,PX_LAST\n{ROWS}", "line 1 'From 2022-01-03'"),
        (f"Date,Close\n{ROWS}Date,Close\n", f"line {len(DAYS) + 2} 'Date Close'"),
    ],
)
def test_lines_around_the_table_are_left_out_and_named(
    reader: FileReader, text: str, left_out: str
) -> None:
    assert reader.fetch(text).sessions.tolist() == DAYS
    assert notes(reader, text, "lines_around") == [f"not part of the table, left out: {left_out}"]


def test_a_row_of_numbers_without_a_date_is_no_line_around(reader: FileReader) -> None:
    text = f"Date,Close\n{ROWS}Total,123.4\n"
    assert reader.refusal(text) == (
        "not_a_date",
        f"row {len(DAYS) + 1}: 'Total' is not a date like 2022-12-28",
    )


# Cells of other types -----------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, float("nan"), "", pd.NA, "N/A"])
def test_rows_without_a_symbol_are_left_out_and_named(reader: FileReader, nothing: Any) -> None:
    symbols = pd.Series(["MSFT"] * len(DAYS), dtype=object)
    symbols[2] = symbols[5] = nothing
    frame = pd.DataFrame({"symbol": symbols, "date": DAYS, "close": CLOSES})
    assert len(reader.fetch(frame)) == len(DAYS) - 2
    assert notes(reader, frame, "no_symbol") == ["2 rows name no symbol; left out"]
    assert notes(reader, frame.to_csv(index=False), "no_symbol") == [
        "2 rows name no symbol; left out"
    ]


@pytest.mark.parametrize("symbol", [b"MSFT", pd.Categorical(["MSFT"])[0], np.str_("msft ")])
def test_symbols_of_other_types(reader: FileReader, symbol: Any) -> None:
    frame = pd.DataFrame({"symbol": [symbol] * len(DAYS), "date": DAYS, "close": CLOSES})
    assert reader.fetch(frame).closes.tolist() == CLOSES


@pytest.mark.parametrize(
    "symbols", [[1, 2, 3], [1.5, 2.5, 3.5], [True, False, True], [[1], [2], [3]]]
)
def test_symbols_that_are_none_are_listed(reader: FileReader, symbols: list[Any]) -> None:
    frame = pd.DataFrame({"symbol": symbols, "date": DAYS[:3], "close": CLOSES[:3]})
    with pytest.raises(UnknownSymbol, match="no MSFT in it; it has"):
        reader.fetch(frame)


@pytest.mark.parametrize(
    "closes",
    [
        [decimal.Decimal("50.5"), decimal.Decimal("51.5"), None],
        ["50.5", "51.5", ""],
        [b"50.5", b"51.5", None],
        pd.array([50.5, 51.5, None], dtype="Float32"),
        np.array([50.5, 51.5, np.nan], dtype=np.float32),
    ],
)
def test_closes_of_other_types(reader: FileReader, closes: Any) -> None:
    frame = pd.DataFrame({"date": DAYS[:3], "close": closes})
    assert reader.fetch(frame).closes.tolist() == [50.5, 51.5]


@pytest.mark.parametrize(
    "closes",
    [
        [True, False, True],
        [[1], [2], [3]],
        [{"a": 1}] * 3,
        [time(9)] * 3,
        pd.to_timedelta([1, 2, 3], unit="s"),
        list(pd.to_datetime(DAYS[:3])),
    ],
)
def test_closes_that_are_no_numbers_are_one_sentence(reader: FileReader, closes: Any) -> None:
    rule, message = reader.refusal(pd.DataFrame({"date": DAYS[:3], "close": closes}))
    assert rule == "not_a_number"
    assert message.startswith("3 closes are not numbers, the first ")


@pytest.mark.parametrize(
    "dates", [[[1], [2], [3]], [True, False, True], [1.5, 2.5, 3.5], [b"x"] * 3]
)
def test_dates_that_are_none_are_one_sentence(reader: FileReader, dates: Any) -> None:
    rule, message = reader.refusal(pd.DataFrame({"date": dates, "close": CLOSES[:3]}))
    assert rule == "not_a_date"
    assert message.startswith("3 cells are no dates like 2022-12-28, the first in row 1: ")


# Labels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "Day,Date,Last",
        ",Date,Price",
        "Unnamed: 0,date,Preço",
        "n,Datum,Kurs",
        "n,Fecha,Precio",
        "n,Data,Chiusura",
        "n,日期,收盘价",
        "n,날짜,종가",
        "n,Дата,Цена",
        "n,Date,('Close', 'MSFT')",
        "n,Date,MSFT.Close",
        "n,Date,Close_MSFT",
    ],
)
def test_labels(reader: FileReader, header: str) -> None:
    rows = [f"{i}|{day}|{close}" for i, (day, close) in enumerate(zip(DAYS, CLOSES, strict=True))]
    cells = header.split(",") if "(" not in header else ["n", "Date", "('Close', 'MSFT')"]
    prices = reader.fetch("\n".join(["|".join(cells), *rows]))
    assert (prices.closes.tolist(), prices.basis) == (CLOSES, "unknown")


@pytest.mark.parametrize("label", ["adjusted", "Close (adj.)", "Adj. Close", "Fechamento ajustado"])
def test_an_adjusted_column_is_read_before_any_other(reader: FileReader, label: str) -> None:
    rows = [f"{day};{2 * close};{close}" for day, close in zip(DAYS, CLOSES, strict=True)]
    prices = reader.fetch("\n".join([f"Date;Close;{label}", *rows]))
    assert (prices.closes.tolist(), prices.basis) == (CLOSES, "adjusted")


def test_a_column_of_true_and_false_tells_the_basis(reader: FileReader) -> None:
    frame = pd.DataFrame({"date": DAYS, "close": CLOSES, "adjusted": True})
    assert reader.fetch(frame).basis == "adjusted"
    assert reader.fetch(frame.assign(adjusted="false").to_csv(index=False)).basis == "raw"
    frame["adjusted"] = [i > 5 for i in range(len(DAYS))]
    assert reader.refusal(frame)[0] == "two_bases"


def test_a_name_that_is_no_symbol_is_not_taken_for_one(reader: FileReader) -> None:
    rows = [f"{day};{close};Microsoft Corp." for day, close in zip(DAYS, CLOSES, strict=True)]
    assert len(reader.fetch("\n".join(["date;close;Name", *rows]))) == len(DAYS)
    with pytest.raises(UnknownSymbol, match="it has AAPL"):
        reader.fetch("\n".join(["date;close;Name", *rows]).replace("Microsoft Corp.", "AAPL"))


def test_a_table_of_unknown_columns_without_labels_is_refused(reader: FileReader) -> None:
    rows = [f"{day},{i},{i}" for i, day in enumerate(DAYS)]
    assert reader.refusal("\n".join(rows)) == (
        "no_header",
        "no line of labels, and no known layout of 3 columns fits",
    )


def test_candles_that_no_layout_fits_are_refused(reader: FileReader) -> None:
    rows = [f"{1641168000 + 86400 * i},5,1,9,3,1" for i in range(5)]
    assert reader.refusal("\n".join(rows), "BTC-USD")[0] == "no_header"


def adjusted_in(rows: int) -> str:
    """A file in which so many of the newest rows have an adjusted close."""
    n = len(DAYS)
    lines = [
        f"{day},{100 + i}.5,{90 + i}.5" if i >= n - rows else f"{day},{100 + i}.5,"
        for i, day in enumerate(DAYS)
    ]
    return "\n".join(["Date,Close,Adj Close", *lines])


def test_an_empty_column_of_adjusted_closes_is_passed_over(reader: FileReader) -> None:
    prices = reader.fetch(adjusted_in(0))
    assert (prices.closes[-1], prices.basis) == (99.5 + len(DAYS), "unknown")
    assert len(prices) == len(DAYS)


@pytest.mark.parametrize("rows", [1, 5, 20, 30])
def test_a_partly_filled_column_of_adjusted_closes_is_refused(
    reader: FileReader, rows: int
) -> None:
    rule, sentence = reader.refusal(adjusted_in(rows))
    assert rule == "partly_adjusted"
    assert f"'Adj Close' has {rows} closes where 'Close' has {len(DAYS)}" in sentence


def test_one_adjusted_close_may_be_missing(reader: FileReader) -> None:
    prices = reader.fetch(adjusted_in(len(DAYS) - 1))
    assert (prices.closes[-1], prices.basis) == (89.5 + len(DAYS), "adjusted")
    assert len(prices) == len(DAYS) - 1
