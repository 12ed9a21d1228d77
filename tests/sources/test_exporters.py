"""Exports of named sites and programs, read as they are written."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from closecast.core.calendars import sessions_between
from closecast.core.prices import Prices
from closecast.core.symbols import canonical, exchange_of
from closecast.sources.file import FileSource
from closecast.sources.tables.layouts import EXPORTERS, HEADERLESS
from tests.support.exported_files import (
    EXPORTED,
    ExportedFile,
    cotahist_line,
    french,
    lines,
    swiss,
    zipped,
)

NOW = datetime(2024, 6, 1, tzinfo=UTC)

each_export = pytest.mark.parametrize("export", EXPORTED, ids=[e.name for e in EXPORTED])


def sessions_of(symbol: str, last: date = date(2022, 3, 15)) -> list[date]:
    exchange = exchange_of(canonical(symbol))
    found: list[date] = sessions_between(exchange, date(2022, 1, 3), last).tolist()
    return found


def rows_of(symbol: str) -> list[tuple[date, float]]:
    days = sessions_of(symbol)
    return [(day, round(110 + 7.31 * (i % 9), 2)) for i, day in enumerate(days)]


def fetch(tmp_path: Path, content: bytes, symbol: str, name: str = "export") -> Prices:
    path = tmp_path / name
    path.write_bytes(content)
    return FileSource(str(path)).fetch(symbol, now=NOW)


def assert_is(prices: Prices, rows: Sequence[tuple[date, float]]) -> None:
    assert prices.sessions.tolist() == [day for day, _ in rows]
    np.testing.assert_allclose(prices.closes, [close for _, close in rows], rtol=1e-12)


@each_export
def test_an_export_is_read_unedited_and_a_note_says_how(
    tmp_path: Path, export: ExportedFile
) -> None:
    rows = rows_of(export.symbol)
    prices = fetch(tmp_path, export.write(rows), export.symbol)
    assert_is(prices, rows)
    assert prices.basis == export.basis
    assert prices.notes[0].rule == "read_as"
    assert export.read_as in prices.notes[0].message


@each_export
def test_the_name_of_a_compressed_file_does_not_matter(
    tmp_path: Path, export: ExportedFile
) -> None:
    rows = rows_of(export.symbol)
    inner = export.write(rows)
    for content in (gzip.compress(inner), zipped({"folder/any.name": inner, "__MACOSX/._x": b"x"})):
        assert_is(fetch(tmp_path, content, export.symbol, "closes.csv"), rows)


@pytest.mark.parametrize(
    "export",
    [e for e in EXPORTED if not e.name.startswith(("excel", "klines_zip"))],
    ids=lambda e: e.name,
)
def test_old_line_ends_and_a_missing_last_one_change_nothing(
    tmp_path: Path, export: ExportedFile
) -> None:
    content = export.write(rows := rows_of(export.symbol))
    bare = content.replace(b"\r\n", b"\n").rstrip(b"\n")
    for changed in (bare, bare.replace(b"\n", b"\r\n")):
        assert_is(fetch(tmp_path, changed, export.symbol), rows)


def test_swiss_and_french_thousands(tmp_path: Path) -> None:
    rows = rows_of("NESN.SW")
    expected = [(day, 1000 * close) for day, close in rows]
    assert_is(fetch(tmp_path, swiss(rows), "NESN.SW"), expected)
    rows = rows_of("AIR.PA")
    expected = [(day, 1000 * close) for day, close in rows]
    assert_is(fetch(tmp_path, french(rows), "AIR.PA"), expected)


def test_a_binance_file_that_changes_to_microseconds(tmp_path: Path) -> None:
    seconds = [(1640995200 + 86400 * i, 100.5 + i) for i in range(6)]
    cells = [
        f"{s * (1000 if i < 3 else 10**6)},{c},{c + 1},{c - 1},{c},1,{s * 1000 + 9},1,1,1,1,0"
        for i, (s, c) in enumerate(seconds)
    ]
    prices = fetch(tmp_path, lines("", cells), "BTC-USD")
    assert prices.sessions.tolist() == [date(2022, 1, day) for day in range(1, 7)]
    assert "times in ms and µs since 1970" in prices.notes[0].message


def test_cotahist_prices_of_a_thousand_shares_are_divided(tmp_path: Path) -> None:
    rows = rows_of("VALE3")
    body = [
        cotahist_line(day, "VALE3", close * (1000 if i < 9 else 1), quoted=1000 if i < 9 else 1)
        for i, (day, close) in enumerate(rows)
    ]
    prices = fetch(tmp_path, lines("00COTAHIST.2022BOVESPA".ljust(245), body), "VALE3")
    assert_is(prices, rows)
    assert [note.message for note in prices.notes if note.rule == "quoted_per_many"] == [
        "9 prices were those of many shares at once; divided by their number"
    ]


def test_cotahist_keeps_the_cash_market_of_a_paper(tmp_path: Path) -> None:
    rows = rows_of("VALE3")
    body = [
        cotahist_line(day, "VALE3", close * factor, market)
        for day, close in rows
        for market, factor in (("010", 1), ("017", 2))
    ]
    prices = fetch(tmp_path, lines("00COTAHIST.2022BOVESPA".ljust(245), body), "VALE3")
    assert_is(prices, rows)


@pytest.mark.parametrize(
    ("names", "read_as"),
    [
        ("open close high low", "Bitfinex candles, without labels"),
        ("low high open close", "Coinbase candles, without labels"),
    ],
)
def test_candles_of_other_orders_are_told_by_their_highest_column(
    tmp_path: Path, names: str, read_as: str
) -> None:
    rows = rows_of("BTC-USD")
    values = {"open": 0.5, "close": 0.0, "high": 2.0, "low": -2.0}
    body = [
        ",".join(
            [
                str(1640995200 + 86400 * (i + 2)),
                *(f"{c + values[n]:.2f}" for n in names.split()),
                "9",
            ]
        )
        for i, (_, c) in enumerate(rows)
    ]
    prices = fetch(tmp_path, lines("", body), "BTC-USD")
    assert_is(prices, rows)
    assert read_as in prices.notes[0].message


def test_every_exporter_is_in_the_tutorial() -> None:
    text = Path("docs/tutorial/your-own-closes.md").read_text()
    names = {exporter.name for exporter in EXPORTERS} | {
        layout.name.removesuffix(" candles") for layout in HEADERLESS if layout.name[0].isupper()
    }
    assert [name for name in sorted(names) if name not in text] == []


@pytest.mark.parametrize("label", ["Adj. Close", "Adjusted_close", "closeadj", "Adj Close**"])
def test_closes_that_are_not_adjusted_are_no_adjusted_ones(tmp_path: Path, label: str) -> None:
    rows = rows_of("MSFT")
    body = [f"{d};{2 * c};{c};{3 * c};{4 * c}" for d, c in rows]
    header = f"date;close;{label};closeunadj;Unadjusted Close"
    prices = fetch(tmp_path, lines(header, body), "MSFT")
    assert_is(prices, rows)
    assert prices.basis == "adjusted"


def test_objects_named_by_their_dates(tmp_path: Path) -> None:
    rows = rows_of("MSFT")
    series = {f"{d}": {"1. open": "1", "5. adjusted close": f"{c}"} for d, c in rows[::-1]}
    document = {"Meta Data": {"2. Symbol": "MSFT"}, "Time Series (Daily)": series}
    assert_is(fetch(tmp_path, json.dumps(document).encode(), "MSFT"), rows)


def test_candles_with_labels_of_one_letter(tmp_path: Path) -> None:
    rows = rows_of("MSFT")
    bars = [{"t": f"{d}T05:00:00Z", "o": 1, "h": 9, "l": 0, "c": c, "v": 5} for d, c in rows]
    assert_is(fetch(tmp_path, json.dumps({"bars": {"MSFT": bars}}).encode(), "MSFT"), rows)


def test_a_number_below_the_table_is_left_out(tmp_path: Path) -> None:
    rows = rows_of("MSFT")
    content = lines("Date,Open,Close", [*(f"{d},1,{c}" for d, c in rows), "3871"])
    assert_is(fetch(tmp_path, content, "MSFT"), rows)
