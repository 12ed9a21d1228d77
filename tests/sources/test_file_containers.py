"""Archives, encodings, spreadsheets and damaged files: read, or refused in one sentence."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable

import fsspec
import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.prices import Prices
from closecast.errors import ClosecastError, NoPrices
from closecast.sources.file import FileSource
from closecast.sources.tables import binary_tables, containers, fixed_width, grid, text_table
from tests.support.exported_files import EXPORTED, ExportedFile, zipped
from tests.support.file_reading import NOW, FileReader, csv_with, sessions
from tests.support.synthetic_prices import patiently

DAYS = sessions("XNYS", last="2022-02-28")
PLAIN = csv_with(DAYS, str)
RAW = PLAIN.encode()


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(RAW),
        bz2.compress(RAW),
        lzma.compress(RAW),
        lzma.compress(RAW, format=lzma.FORMAT_ALONE),
        zipped({"any": RAW}),
        zipped({"closes.csv.gz": gzip.compress(RAW)}),
        zipped({"inner.zip": zipped({"x": RAW})}),
        zipped({"MSFT.csv": RAW, "AAPL.csv": b"Date,Close\n"}),
        zipped({"data/AAPL.txt": b"-", "data/msft.csv": RAW}),
        RAW.decode().encode("utf-16"),
        RAW.decode().encode("utf-16-le"),
        RAW.decode().encode("utf-32"),
        b"\xef\xbb\xbf" + RAW,
        RAW.replace(b"\n", b"\r"),
        RAW + b"\x1a",
    ],
)
def test_the_content_tells_the_container(reader: FileReader, packed: bytes) -> None:
    assert reader.fetch(packed).sessions.tolist() == DAYS


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (zipped({"a.csv": RAW, "b.csv": RAW}), "holds 2 files, and not one of them is named MSFT"),
        (zipped({}), "the zip file is empty"),
        (
            zipped({"a": zipped({"b": zipped({"c": zipped({"d": RAW})})})}),
            "nested more than 3 deep",
        ),
        (gzip.compress(RAW)[:-20], "the gzip file is damaged"),
        (zipped({"a": RAW})[:-30], "the zip file is damaged"),
        (lzma.compress(RAW)[:30] + b"xxxx", "xz file is damaged"),
        (zipped({"[Content_Types].xml": b"x"}), "the workbook is damaged"),
        (zipped({"mimetype": b"x", "content.xml": b"x"}), "it is an OpenDocument file"),
        (b"PAR1 and no more", "Parquet"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "Excel file of before 2007"),
        (b"%PDF-1.7\n", "a PDF"),
        (b" <!DOCTYPE html><html>", "a web page"),
        (RAW.replace(b"100", b"1\x0000"), "it is binary"),
        (bytes(range(256)) * 9, "it is binary"),
        (b"Date,Close\n2022-01-03," + b"1" * 200_000, "field larger than field limit"),
        (b'Date,Close\n2022-01-03,"5', "unexpected end of data"),
        (b"[" * 100_000, "its JSON is nested too deep"),
        (b'{"a": 1}', "no list of rows"),
        (b"[1, 2]", "mixes objects, lists and single values"),
        (b"[[1, 2], [1]]", "not all of its rows have 2 values"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    reader: FileReader, content: bytes, sentence: str
) -> None:
    rule, message = reader.refusal(content)
    assert rule == "unreadable_table"
    assert sentence in message


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, lzma.compress, lambda raw: zipped({"x": raw}), bytes]
)
def test_a_file_that_is_huge_when_unpacked_is_refused(
    reader: FileReader, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(containers, "MAX_BYTES", 1 << 20)
    assert "larger than 1 MiB" in reader.refusal(pack(b"0" * (3 << 20)))[1]


def test_too_many_cells_are_refused(reader: FileReader, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (text_table, binary_tables):
        monkeypatch.setattr(module, "MAX_CELLS", 50)
    monkeypatch.setattr(binary_tables, "_MAX_CELLS", 50)
    assert grid.MAX_CELLS > 50
    frame = pd.DataFrame({"Date": DAYS, "Close": 5.0})
    for content in (PLAIN, frame, workbook([["Date", "Close"], *([d, 5.0] for d in DAYS)])):
        assert "more than 50 cells" in reader.refusal(content)[1]


def test_a_huge_history_of_quotations_is_refused(
    reader: FileReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixed_width, "MAX_BYTES", 1 << 10)
    line = "00COTAHIST.2022".ljust(245) + "\n"
    assert "it is larger than" in reader.refusal(line * 9)[1]
    monkeypatch.undo()
    assert "lines are not of 245 columns" in reader.refusal("00COTAHIST" + "x" * 5000)[1]
    assert "ends before its price" in reader.refusal(f"{line}0120220103  MSFT        010")[1]
    bad = f"{line}01{'20220103':<10}{'MSFT':<12}010".ljust(2 * 245, "x")
    assert "for a number" in reader.refusal(bad)[1]


def workbook(rows: list[list[object]], **sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name, content in sheets.items():
        sheet = book.create_sheet(name)
        for row in content:
            sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def test_the_sheet_of_the_symbol_is_read(reader: FileReader) -> None:
    own = [["Date", "Close"], *([day, 5.0 + i % 3] for i, day in enumerate(DAYS))]
    other = [["Date", "Close"], *([day, 9.0] for day in DAYS)]
    assert reader.fetch(workbook(other, MSFT=own)).closes[:3].tolist() == [5, 6, 7]
    rule, message = reader.refusal(workbook(other, AAPL=own))
    assert (rule, "2 sheets with a table: 'Sheet', 'AAPL'" in message) == ("unreadable_table", True)
    assert "the workbook is empty" in reader.refusal(workbook([]))[1]


def test_numbers_of_a_sheet_have_no_marks_to_doubt(reader: FileReader) -> None:
    rows = [["Date", "Close"], *([day, 100.719 + i % 3] for i, day in enumerate(DAYS))]
    assert reader.fetch(workbook(rows)).closes[0] == 100.719


@pytest.mark.parametrize(
    "content",
    [b"", b"\n \n", gzip.compress(b""), zipped({"a": b" "})],
    ids=["nothing", "blank", "gzip", "zip"],  # gzip writes the time, so bytes make no stable name
)
def test_nothing_in_it(reader: FileReader, content: bytes) -> None:
    with pytest.raises(NoPrices, match="is empty"):
        reader.fetch(content)


PIECES = [
    *(b"Date,Close\n", b"2022-01-03,5\n", b"03/01/2022;1.234,5\n", b"\xff\xfe", b"PK\x03\x04"),
    *(b"PAR1", b"\x1f\x8b\x08", b"[[1641168000000,1,2]]", b"00COTAHIST", b"sep=;\n", b'"', b"\0"),
    *(b"MSFT,", b"<DATE>\t<CLOSE>\n", b"\r\n", b"{", b"1e999", b"\xed\xa0\x80", b"# x\n"),
]
pieces = st.sampled_from(PIECES)


@patiently
@given(st.lists(st.one_of(pieces, st.binary(max_size=12)), max_size=12).map(b"".join))
def test_any_bytes_are_closes_or_a_deliberate_error(content: bytes) -> None:
    assert_closes_or_error(content)


@patiently
@given(st.sampled_from(EXPORTED), st.data())
def test_any_change_of_an_export_gives_closes_or_a_deliberate_error(
    export: ExportedFile, data: st.DataObject
) -> None:
    whole = bytearray(export.write([(day, 100.0 + i % 5) for i, day in enumerate(DAYS[:12])]))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not whole:
            break
    assert_closes_or_error(bytes(whole), export.symbol)


def assert_closes_or_error(content: bytes, symbol: str = "MSFT") -> None:
    with fsspec.open("memory://any-bytes", "wb") as stream:
        stream.write(content)
    try:
        prices = FileSource("memory://any-bytes").fetch(symbol, now=NOW)
    except ClosecastError:
        return
    assert isinstance(prices, Prices)
