"""CSV and Parquet files as people have them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
import s3fs
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.calendars import sessions_between
from closecast.core.prices import Prices
from closecast.errors import BadSetting, InvalidPrices, NoPrices, SourceUnavailable, UnknownSymbol
from closecast.settings import Settings
from closecast.sources import make_source
from closecast.sources.file import FileSource
from tests.contracts.price_source import PriceSourceContract
from tests.support.s3_server import S3Server, s3_server
from tests.support.synthetic_prices import patiently

NOW = datetime(2024, 6, 1, tzinfo=UTC)
NYSE = sessions_between("XNYS", date(2022, 1, 3), date(2022, 3, 31))
B3 = sessions_between("BVMF", date(2022, 1, 3), date(2022, 3, 31))
CLOSES = 300 + np.arange(len(NYSE)) * 0.5 % 20
DAYS = ("2022-01-03", "2022-01-04", "2022-01-05")

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes text, bytes or a frame to a file and gives its path."""

    def write_file(content: str | bytes | pd.DataFrame, name: str = "prices.csv") -> str:
        path = tmp_path / name
        if isinstance(content, pd.DataFrame):
            content.to_parquet(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write_file


def fetch(url: str, symbol: str = "MSFT", **span: date) -> Prices:
    return FileSource(url).fetch(symbol, now=NOW, **span)


def problems(url: str, symbol: str = "MSFT", **span: date) -> list[tuple[str, str | None, str]]:
    with pytest.raises(InvalidPrices) as caught:
        fetch(url, symbol, **span)
    return [(p.rule, p.date, p.message) for p in caught.value.problems]


def csv_of(header: str, *rows: str) -> str:
    return "\n".join([header, *rows]) + "\n"


def with_dates(header: str, closes: tuple[str, ...] = ("1.5", "2.5", "3.5"), sep: str = ",") -> str:
    return csv_of(header, *(f"{d}{sep}{c}" for d, c in zip(DAYS, closes, strict=True)))


class TestFilePerSymbolContract(PriceSourceContract):
    basis = "adjusted"

    @pytest.fixture
    def source(self, write: Write) -> FileSource:
        rows = [f"{d},{c + 1},{c}" for d, c in zip(NYSE, CLOSES, strict=True)]
        rows[4] = f"{NYSE[4]},,"
        path = write(csv_of("Date,Close,Adj Close", *rows), "MSFT.csv")
        return FileSource(path.replace("MSFT", "{symbol}"))

    @pytest.fixture
    def symbol(self) -> str:
        return "MSFT"


class TestLongParquetContract(PriceSourceContract):
    basis = "unknown"

    @pytest.fixture
    def source(self, write: Write) -> FileSource:
        other = pd.DataFrame({"Date": NYSE, "Ticker": "AAPL", "Close": CLOSES})
        own = pd.DataFrame({"Date": B3, "Ticker": "VALE3", "Close": 60 + np.arange(len(B3)) % 7})
        return FileSource(write(pd.concat([other, own]), "prices.parquet"))

    @pytest.fixture
    def symbol(self) -> str:
        return "VALE3.SA"


class TestSideBySideContract(PriceSourceContract):
    basis = "unknown"

    @pytest.fixture
    def source(self, write: Write) -> FileSource:
        return FileSource(write(download("MSFT", "AAPL").to_csv()))

    @pytest.fixture
    def symbol(self) -> str:
        return "AAPL"


def download(*tickers: str, index_name: str | None = "Date") -> pd.DataFrame:
    """What ``yfinance.download`` returns: ticker ``i`` closes at ``CLOSES + 100 * i``."""
    frame = pd.DataFrame(
        {
            (field, ticker): CLOSES + 100 * i + shift
            for field, shift in (("Close", 0), ("High", 5), ("Low", -5))
            for i, ticker in enumerate(tickers)
        },
        index=pd.DatetimeIndex(NYSE, name=index_name),
    )
    frame.columns.names = ["Price", "Ticker"]
    return frame


# Layouts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "basis"),
    [
        ("Date,Close", "unknown"),
        ("date,close", "unknown"),
        ("DATETIME,CLOSE", "unknown"),
        ("timestamp,Close/Last", "unknown"),
        ("Data,Fechamento", "unknown"),
        (",Close", "unknown"),  # a frame's index without a name
        ("Date,MSFT", "unknown"),  # one column per symbol
        ("Date,Adj Close", "adjusted"),
        ("Date,adj_close", "adjusted"),
        ("Date,Adj_Close", "adjusted"),
        ("Date,adjClose", "adjusted"),
    ],
)
def test_column_names(write: Write, header: str, basis: str) -> None:
    prices = fetch(write(with_dates(header)))
    assert prices.sessions.astype(str).tolist() == list(DAYS)
    assert prices.closes.tolist() == [1.5, 2.5, 3.5]
    assert prices.basis == basis


@pytest.mark.parametrize("header", ["Date,Adj Close,Close", "Date,adj_close,CLOSE"])
def test_adjusted_closes_are_preferred(write: Write, header: str) -> None:
    prices = fetch(write(csv_of(header, *(f"{day},7,9" for day in DAYS))))
    assert (prices.closes.tolist(), prices.basis) == ([7, 7, 7], "adjusted")


@pytest.mark.parametrize("index_name", ["Date", None])
@pytest.mark.parametrize("ticker_first", [False, True])
@pytest.mark.parametrize("as_csv", [False, True])
@pytest.mark.parametrize("tickers", [("MSFT",), ("AAPL", "MSFT"), ("MSFT", "LOW", "VALE3.SA")])
def test_yfinance_download(
    write: Write, tickers: tuple[str, ...], as_csv: bool, ticker_first: bool, index_name: str | None
) -> None:
    frame = download(*tickers, index_name=index_name)
    if ticker_first:
        frame = frame.swaplevel(axis="columns")
    prices = fetch(write(frame.to_csv() if as_csv else frame))
    assert prices.sessions.tolist() == NYSE.tolist()
    assert prices.closes.tolist() == (CLOSES + 100 * tickers.index("MSFT")).tolist()
    with pytest.raises(UnknownSymbol) as caught:
        fetch(write(frame.to_csv() if as_csv else frame), "TSLA")
    assert str(caught.value).endswith(f"no TSLA in it; it has {', '.join(sorted(tickers))}")


def test_older_yfinance_header_without_level_names(write: Write) -> None:
    frame = download("MSFT", "AAPL")
    frame.columns.names = [None, None]
    assert fetch(write(frame.to_csv()), "AAPL").closes.tolist() == (CLOSES + 100).tolist()


def test_ticker_history_with_time_zone(write: Write) -> None:
    index = pd.DatetimeIndex(NYSE, name="Date").tz_localize("America/New_York")
    frame = pd.DataFrame({"Open": CLOSES, "Close": CLOSES + 1, "Dividends": 0.0}, index=index)
    for content, name in ((frame.to_csv(), "a.csv"), (frame, "a.parquet")):
        prices = fetch(write(content, name))
        assert prices.sessions.tolist() == NYSE.tolist()
        assert prices.closes.tolist() == (CLOSES + 1).tolist()


@pytest.mark.parametrize("zone", ["Australia/Sydney", "America/Los_Angeles"])
def test_time_zones_do_not_move_a_date(write: Write, zone: str) -> None:
    evening = pd.DatetimeIndex(NYSE).tz_localize(zone) + pd.Timedelta(hours=23)
    frame = pd.DataFrame({"Date": evening, "Close": CLOSES})
    for content, name in ((frame.to_csv(index=False), "a.csv"), (frame, "a.parquet")):
        assert fetch(write(content, name)).sessions.tolist() == NYSE.tolist()


@pytest.mark.parametrize("label", ["Symbol", "ticker"])
def test_long_file_of_several_symbols(write: Write, label: str) -> None:
    rows = [f"{day},{name},{close}" for day in DAYS for name, close in (("VALE3", 60), ("T", 20))]
    path = write(csv_of(f"Date,{label},Close", *rows))
    assert fetch(path, "vale3.sa").closes.tolist() == [60, 60, 60]
    assert fetch(path, "T").closes.tolist() == [20, 20, 20]
    with pytest.raises(UnknownSymbol, match=r"no MSFT in it; it has T, VALE3$"):
        fetch(path)


def test_long_parquet_with_two_index_levels(write: Write) -> None:
    index = pd.MultiIndex.from_product([pd.DatetimeIndex(NYSE), ["AAPL", "MSFT"]])
    frame = pd.DataFrame({"close": np.repeat(CLOSES, 2)}, index=index.set_names(["date", "symbol"]))
    frame.iloc[1::2] += 50
    assert fetch(write(frame, "a.parquet")).closes.tolist() == (CLOSES + 50).tolist()


def test_other_symbols_rows_need_not_be_valid(write: Write) -> None:
    rows = ["2022-01-03,MSFT,1", "03/04/2022,T,much", "2022-01-04,MSFT,2"]
    path = write(csv_of("Date,Symbol,Close", *rows))
    assert fetch(path).closes.tolist() == [1, 2]


def test_parquet_types(write: Write) -> None:
    days = [date.fromisoformat(day) for day in DAYS]
    decimals = pd.Series([1.5, 2.5, None], dtype="Float64")
    prices = fetch(write(pd.DataFrame({"date": days, "close": decimals}), "a.parquet"))
    assert prices.closes.tolist() == [1.5, 2.5]
    assert (DAYS[2], "missing_close") in [(note.date, note.rule) for note in prices.notes]


def test_byte_order_mark_old_encoding_and_compression(write: Write) -> None:
    accents = "Data;Variação;Fechamento\n2022-01-03;1,0;10,5\n2022-01-04;-2,0;10,3\n"
    for content, name in (
        (accents.encode("utf-8-sig"), "a.csv"),
        (accents.encode("latin-1"), "b.csv"),
        (gzip.compress(accents.encode()), "c.csv.gz"),
        (accents.replace("\n", "\r\n\r\n").encode(), "d.txt"),
        (f"\n{accents}\n;;\n".encode(), "e.csv"),
    ):
        assert fetch(write(content, name), "PETR4").closes.tolist() == [10.5, 10.3], name


# Numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (("1234.5", "1e3", ".5"), [1234.5, 1000, 0.5]),
        (("1,234.50", "999.25", "1,000,000"), [1234.5, 999.25, 1e6]),
        (("1.234,50", "999,25", "1.000.000"), [1234.5, 999.25, 1e6]),
        (("12,5", "12", "1.234"), [12.5, 12, 1234]),
        (("$258.83", "$ 1,258.83", "258"), [258.83, 1258.83, 258]),
        (("R$ 10,50", "R$1.010,50", "9,99"), [10.5, 1010.5, 9.99]),
    ],
)
def test_ways_to_write_a_number(write: Write, texts: tuple[str, ...], numbers: list[float]) -> None:
    source = FileSource(write(with_dates("Date;Close", texts, sep=";")))
    assert source.read("MSFT", None, None).closes.tolist() == numbers


@patiently
@given(
    st.lists(st.integers(1, 10**9), min_size=len(DAYS), max_size=len(DAYS)),
    st.sampled_from([(",", "."), (".", ","), ("", "."), ("", ",")]),
)
def test_any_two_decimal_column_reads_back(cents: list[int], marks: tuple[str, str]) -> None:
    thousands, decimal = marks
    texts = tuple(
        f"{c / 100:,.2f}".translate(str.maketrans({",": thousands, ".": decimal})) for c in cents
    )
    with fsspec.open("memory://prices.csv", "wt") as stream:
        stream.write(with_dates("Date;Close", texts, sep=";"))
    read = FileSource("memory://prices.csv").read("MSFT", None, None).closes
    assert read.tolist() == [c / 100 for c in cents]


def test_quoted_thousands_in_a_comma_file(write: Write) -> None:
    path = write(with_dates("Date,Close", ('"1,234.50"', '"1,200.00"', "999.00")))
    assert fetch(path).closes.tolist() == [1234.5, 1200, 999]


def test_a_comma_that_may_mean_both_is_refused(write: Write) -> None:
    ((rule, _, message),) = problems(
        write(with_dates("Date;Close", ("1,234", "1,235", "1,236"), ";"))
    )
    assert rule == "ambiguous_number"
    assert "'1,234' may be in thousands or have three decimals" in message


def test_unquoted_decimal_commas_do_not_lose_their_decimals(write: Write) -> None:
    ((rule, _, message),) = problems(write(with_dates("Date,Close", ("12,5", "12,6", "12,7"))))
    assert rule == "unreadable_table"
    assert "line 2 has 3 cells where the first line has 2" in message


@pytest.mark.parametrize("text", ["", "null", "NaN", "N/A", "-", "None"])
def test_empty_cells_are_left_out_and_named(write: Write, text: str) -> None:
    prices = fetch(write(with_dates("Date,Close", ("1.5", text, "3.5"))))
    assert prices.closes.tolist() == [1.5, 3.5]
    assert (DAYS[1], "missing_close") in [(note.date, note.rule) for note in prices.notes]


@pytest.mark.parametrize("text", ["about 12", "12.5.1", "1,23.4", "1.5 USD", "none, sorry"])
def test_text_instead_of_a_close_is_named(write: Write, text: str) -> None:
    found = problems(write(with_dates("Date;Close", ("1.5", text, "3.5"), ";")))
    assert found == [("not_a_number", DAYS[1], f"close {text!r} is not a number")]


@pytest.mark.parametrize("text", ["closed", "1.5", "1.23,4"])
def test_text_among_decimal_commas_is_named(write: Write, text: str) -> None:
    found = problems(write(with_dates("Date;Close", ("1,5", text, "3,5"), ";")))
    assert found == [("not_a_number", DAYS[1], f"close {text!r} is not a number")]


def test_bad_cells_in_the_span_are_one_sentence_and_those_outside_are_none(write: Write) -> None:
    path = write(with_dates("Date,Close", ("x", "y", "3.5")))
    assert problems(path) == [("not_a_number", DAYS[0], "2 closes are not numbers, the first 'x'")]
    assert problems(path, start=date(2022, 1, 4)) == [
        ("not_a_number", DAYS[1], "close 'y' is not a number")
    ]
    assert fetch(path, start=date(2022, 1, 5)).closes.tolist() == [3.5]


# Dates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "texts",
    [
        ("2022-01-12", "2022-01-13"),
        ("2022/1/12", "2022/1/13"),
        ("20220112", "20220113"),
        ("2022-01-12 00:00:00", "2022-01-13T23:59:00Z"),
        ("2022-01-12 00:00:00-05:00", "2022-01-13 00:00:00+11:00"),
        ("12/01/2022", "13/01/2022"),
        ("01/12/2022", "01/13/2022"),
        ("12.01.2022", "13.01.2022"),
        ("1/12/2022 16:00:00", "1/13/2022 16:00:00"),
    ],
)
def test_ways_to_write_a_date(write: Write, texts: tuple[str, str]) -> None:
    prices = fetch(write(csv_of("Date,Close", *(f"{text},5" for text in texts))))
    assert prices.sessions.astype(str).tolist() == ["2022-01-12", "2022-01-13"]


def test_dates_that_may_be_read_in_two_ways_are_refused(write: Write) -> None:
    path = write(csv_of("Date,Close", "03/01/2022,5", "04/01/2022,5"))
    assert problems(path) == [
        ("ambiguous_date", None, "'03/01/2022' may be day/month or month/day")
    ]


@pytest.mark.parametrize(
    "text", ["2022-02-30", "yesterday", "22-01-04", "1641254400", "14/13/2022"]
)
def test_what_is_no_date_is_named(write: Write, text: str) -> None:
    found = problems(write(csv_of("Date,Close", "2022-01-03,5", f"{text},6")))
    assert found == [("not_a_date", None, f"row 2: {text!r} is not a date like 2022-12-28")]


def test_mixed_orders_are_refused(write: Write) -> None:
    found = problems(write(csv_of("Date,Close", "13/01/2022,5", "01/14/2022,6")))
    assert [rule for rule, _, _ in found] == ["not_a_date"]


def test_disorder_and_duplicates_are_one_sentence_each(write: Write) -> None:
    path = write(csv_of("Date,Close", *(f"{day},5" for day in (*DAYS, DAYS[2], DAYS[0]))))
    assert problems(path) == [
        (
            "duplicate",
            DAYS[2],
            "1 row has the date of the row before: bars within a day, or a row twice",
        ),
        (
            "unsorted",
            DAYS[0],
            f"1 row is out of order, the first comes after {DAYS[2]}; sort by date",
        ),
    ]


def test_a_shuffled_file_is_one_sentence(write: Write) -> None:
    shuffled = np.random.default_rng(3).permutation(NYSE)
    ((rule, _, message),) = problems(write(csv_of("Date,Close", *(f"{d},5" for d in shuffled))))
    assert rule == "unsorted"
    assert "rows are out of order, the first comes after" in message


def test_newest_first_is_sorted_and_named(write: Write) -> None:
    rows = [f"{day},{close}" for day, close in zip(NYSE, CLOSES, strict=True)]
    prices = fetch(write(csv_of("Date,Close", *rows[::-1])))
    assert prices.sessions.tolist() == NYSE.tolist()
    assert prices.closes.tolist() == CLOSES.tolist()
    assert prices.notes[0].message == "read as: columns 'Date' and 'Close', newest first"


def test_a_row_without_a_date_is_refused_in_any_span(write: Write) -> None:
    path = write(csv_of("Date,Close", "2022-01-03,5", ",6", "2022-01-05,7"))
    assert "missing_date" in [rule for rule, _, _ in problems(path, start=date(2022, 1, 4))]


# What is not there, not a table, or out of reach -------------------------------------------------


@pytest.mark.parametrize("argument", ["", "  "])
def test_a_source_without_a_file(argument: str) -> None:
    with pytest.raises(BadSetting, match=r"write file:URL, such as 'file:prices/\{symbol\}\.csv'"):
        make_source(f"file:{argument}", Settings(_env_file=None))


def test_made_from_its_name(write: Write) -> None:
    path = write(with_dates("Date,Close"), "VALE3.SA.csv")
    for url in (path, f"file://{path}"):
        source = make_source(
            f"file:{url.replace('VALE3.SA', '{symbol}')}", Settings(_env_file=None)
        )
        assert source.fetch("vale3", now=NOW).closes.tolist() == [1.5, 2.5, 3.5]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(NoPrices, match=r"there is no file .*MSFT\.csv"):
        fetch(str(tmp_path / "{symbol}.csv"))


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_empty_file(write: Write, content: str) -> None:
    with pytest.raises(NoPrices, match="is empty"):
        fetch(write(content))


def test_header_alone(write: Write) -> None:
    with pytest.raises(NoPrices, match="no close of MSFT"):
        fetch(write("Date,Close\n"))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Date,Open,Value", "no close column; columns found: 'Date', 'Open', 'Value'"),
        ("Date,Close,CLOSE", "more than one close column: 'Close', 'CLOSE'"),
        ("Day,Close,Value", "no date column; columns found: 'Day', 'Close', 'Value'"),
        ("Date,Close,Timestamp", "more than one date column: 'Date', 'Timestamp'"),
    ],
)
def test_columns_found_are_listed(write: Write, header: str, message: str) -> None:
    ((rule, _, found),) = problems(write(csv_of(header, "2022-01-03,5,6")))
    assert found == message
    kind = "close" if "close" in message.split(";")[0] else "date"
    assert rule == f"{'no' if 'no' in message else 'ambiguous'}_{kind}_column"


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04\0\0\0", b"PAR1 and then nothing", b'Date,Close\n2022-01-03,"5.']
)
def test_what_is_no_table(write: Write, content: bytes) -> None:
    assert [rule for rule, _, _ in problems(write(content))] == ["unreadable_table"]


def test_a_scheme_that_nothing_can_open() -> None:
    with pytest.raises(BadSetting, match="cannot open nosuch://bucket/p: Protocol not known"):
        fetch("nosuch://bucket/p")


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"cannot read .*IsADirectoryError"):
        fetch(str(tmp_path))


class Refusing(LocalFileSystem):
    """A store whose every file raises ``error``."""

    protocol = "refusing"
    error: Exception = PermissionError("Forbidden")

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [PermissionError("Forbidden"), RuntimeError("connection reset")])
def test_files_out_of_reach(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    monkeypatch.setattr(Refusing, "error", error)
    reason = f"{type(error).__name__}: {error}"
    with pytest.raises(SourceUnavailable, match=rf"cannot read refusing://b/p.csv \({reason}\)"):
        fetch("refusing://b/p.csv")


@pytest.mark.parametrize(
    "said",
    ["refusing://user:pass@host/p.csv?signature=abc", 'Invalid bucket name "user:pass@host"'],
)
def test_secrets_in_a_url_are_not_repeated(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    url = "refusing://user:pass@host/p.csv?signature=abc"
    monkeypatch.setattr(Refusing, "error", OSError(f"refused: {said}"))
    with pytest.raises(SourceUnavailable) as caught:
        fetch(url)
    message = str(caught.value)
    assert "refusing://host/p.csv" in message
    assert not any(secret in message for secret in ("user", "pass", "signature", "abc"))


# S3 -------------------------------------------------------------------------------------------


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with s3_server(tmp_path) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield server
        s3fs.S3FileSystem.clear_instance_cache()


def test_s3(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.folder / "prices"
    bucket.mkdir()
    (bucket / "MSFT.csv").write_text(with_dates("Date,Close"))
    assert fetch("s3://prices/{symbol}.csv").closes.tolist() == [1.5, 2.5, 3.5]
    with pytest.raises(NoPrices, match=r"there is no file s3://prices/AAPL\.csv"):
        fetch("s3://prices/{symbol}.csv", "AAPL")
    (bucket / "MSFT.csv").write_text(with_dates("Date,Close", ("1.25", "2.25", "3.25")))
    assert fetch("s3://prices/MSFT.csv").closes.tolist() == [1.25, 2.25, 3.25]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(SourceUnavailable, match=r"cannot read s3://prices/MSFT\.csv \(Permission"):
        fetch("s3://prices/{symbol}.csv")
