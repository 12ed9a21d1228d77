"""The Yahoo source through the real yfinance, against a server on 127.0.0.1."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yfinance as yf
from yfinance import cache
from yfinance.data import SingletonMeta

from closecast.core.calendars import sessions_between
from closecast.errors import InvalidPrices, NoPrices, SourceUnavailable, UnknownName, UnknownSymbol
from closecast.settings import Settings
from closecast.sources import make_source
from closecast.sources.yahoo import YahooSession, YahooSource
from tests.contracts.price_source import PriceSourceContract
from tests.sources.yahoo_server import Failure, Listing, YahooServer, yahoo_server

START, END = date(2024, 1, 2), date(2024, 3, 28)
NOW = datetime(2024, 6, 1, tzinfo=UTC)
NYSE: list[date] = sessions_between("XNYS", START, END).tolist()
B3: list[date] = sessions_between("BVMF", START, END).tolist()


def closes(days: list[date]) -> list[float | None]:
    return [100.0 + i % 7 for i in range(len(days))]


@pytest.fixture(autouse=True)
def fresh_yfinance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """yfinance as in a new process: it remembers cookies, time zones and answers."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(SingletonMeta, "_instances", {})
    monkeypatch.setattr(cache._TzCacheManager, "_tz_cache", None)
    monkeypatch.setattr(cache._CookieCacheManager, "_Cookie_cache", None)
    yf.set_tz_cache_location(str(tmp_path / "yfinance"))
    yield
    yf.set_tz_cache_location(str(tmp_path / "yfinance"))  # closes its databases


@pytest.fixture
def server() -> Iterator[YahooServer]:
    with yahoo_server() as running:
        running.listings = {
            "MSFT": Listing(NYSE, closes(NYSE)),
            "BRK-B": Listing(NYSE, closes(NYSE)),
            "VALE3.SA": Listing(B3, closes(B3), "America/Sao_Paulo"),
        }
        yield running


@pytest.fixture
def waits() -> list[float]:
    """Seconds that the source would have slept."""
    return []


@pytest.fixture
def source(server: YahooServer, waits: list[float]) -> YahooSource:
    return YahooSource(session=server.session(), sleep=waits.append)


class TestYahooContract(PriceSourceContract):
    basis = "adjusted"

    @pytest.fixture
    def source(self, server: YahooServer) -> YahooSource:
        return YahooSource(session=server.session())

    @pytest.fixture
    def symbol(self) -> str:
        return "MSFT"


class TestYahooRawContract(PriceSourceContract):
    basis = "raw"

    @pytest.fixture
    def source(self, server: YahooServer) -> YahooSource:
        return YahooSource(auto_adjust=False, session=server.session())

    @pytest.fixture
    def symbol(self) -> str:
        return "VALE3"


def test_closes_and_exchange_local_dates(source: YahooSource, server: YahooServer) -> None:
    # Tokyo opens at 00:00 UTC, Sydney the evening before: a UTC date would be another session's.
    sydney = sessions_between("XASX", START, END).tolist()
    server.listings["BHP.AX"] = Listing(sydney, closes(sydney), "Australia/Sydney")
    prices = source.fetch("BHP.AX", now=NOW)
    assert prices.sessions.tolist() == sydney
    assert prices.closes.tolist() == closes(sydney)
    assert prices.notes == ()


def test_basis_says_whether_closes_are_adjusted(server: YahooServer) -> None:
    server.listings["MSFT"].dividend_factor = 0.5
    adjusted = YahooSource(session=server.session()).fetch("MSFT", now=NOW)
    raw = YahooSource(auto_adjust=False, session=server.session()).fetch("MSFT", now=NOW)
    assert (adjusted.basis, raw.basis) == ("adjusted", "raw")
    assert raw.closes.tolist() == closes(NYSE)
    assert (adjusted.closes * 2).tolist() == closes(NYSE)


def test_open_start_goes_back_to_the_first_bar(source: YahooSource) -> None:
    # yfinance alone would take the month before the end.
    assert source.fetch("MSFT", end=date(2024, 3, 15), now=NOW).span == ("2024-01-02", "2024-03-15")


def test_bare_b3_ticker(source: YahooSource, server: YahooServer) -> None:
    prices = source.fetch("VALE3", START, END, now=NOW)
    assert (prices.symbol, len(prices), prices.notes) == ("VALE3.SA", len(B3), ())
    assert server.asked_for("VALE3.SA")
    assert not server.asked_for("VALE3")


def test_class_shares_in_yahoos_spelling(source: YahooSource, server: YahooServer) -> None:
    assert source.fetch("BRK.B", START, END, now=NOW).symbol == "BRK-B"
    assert server.asked_for("BRK-B")


def test_a_rewritten_history_is_seen_in_the_same_process(
    source: YahooSource, server: YahooServer
) -> None:
    before = source.fetch("MSFT", START, END, now=NOW)
    server.listings["MSFT"].dividend_factor = 0.97
    after = source.fetch("MSFT", START, END, now=NOW)
    assert after.closes == pytest.approx(before.closes * 0.97)


def test_no_bar_in_the_span(source: YahooSource, waits: list[float]) -> None:
    saturday = date(2024, 3, 2)
    with pytest.raises(
        NoPrices, match=r"Yahoo has no close of MSFT between 2024-03-02 and 2024-03-03$"
    ):
        source.fetch("MSFT", saturday, saturday + timedelta(days=1), now=NOW)
    assert waits == []


def test_only_a_live_bar_beyond_the_span(source: YahooSource, server: YahooServer) -> None:
    server.listings["MSFT"].live = (datetime(2024, 4, 1, 15, 0, tzinfo=UTC), 250.0)
    saturday = date(2024, 3, 2)
    with pytest.raises(NoPrices, match="MSFT"):
        source.fetch("MSFT", saturday, saturday + timedelta(days=1), now=NOW)


def test_unknown_symbol(source: YahooSource, server: YahooServer, waits: list[float]) -> None:
    with pytest.raises(UnknownSymbol, match="Yahoo knows no QQQQQ; check its spelling"):
        source.fetch("QQQQQ", START, END, now=NOW)
    assert server.asked_for("QQQQQ")
    assert waits == []


def test_delisted_since_it_was_last_fetched(source: YahooSource, server: YahooServer) -> None:
    source.fetch("MSFT", START, END, now=NOW)
    del server.listings["MSFT"]
    with pytest.raises(UnknownSymbol, match="MSFT"):
        source.fetch("MSFT", START, END, now=NOW)


# A refused call is repeated at once by yfinance, with another cookie: two answers per attempt.
FAILURES: list[Failure] = [429, 500, 502, 403, "drop", "not json"]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("queue", ["zone_failures", "failures"])
def test_two_failed_attempts_then_success(
    source: YahooSource, server: YahooServer, waits: list[float], queue: str, failure: Failure
) -> None:
    answers = 2 if isinstance(failure, int) else 1
    setattr(server, queue, deque([failure] * 2 * answers))
    prices = source.fetch("MSFT", START, END, now=NOW)
    assert prices.closes.tolist() == closes(NYSE)
    assert waits == [2.0, 4.0]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (429, "HTTP 429"),
        (503, "HTTP 503"),
        (401, "HTTP 401"),
        ("drop", "no answer from Yahoo"),
        ("not json", "an answer from Yahoo that makes no sense"),
        ("empty object", "an answer from Yahoo that makes no sense"),
    ],
)
def test_failing_for_ever(
    source: YahooSource, server: YahooServer, waits: list[float], failure: Failure, reason: str
) -> None:
    server.always = failure
    with pytest.raises(SourceUnavailable, match=f"MSFT after 4 attempts: .*{reason}") as caught:
        source.fetch("MSFT", START, END, now=NOW)
    assert waits == [2.0, 4.0, 8.0]
    assert "CLOSECAST_SOURCE_ATTEMPTS" in str(caught.value)


def test_dropped_calls_are_not_judged_by_an_earlier_answer(server: YahooServer) -> None:
    server.failures.append("drop")  # the time zone before was answered with 200
    source = YahooSource(session=server.session(), attempts=1)
    with pytest.raises(SourceUnavailable, match="no answer from Yahoo"):
        source.fetch("MSFT", START, END, now=NOW)


def test_failures_before_any_call_are_not_judged_by_an_earlier_answer(
    source: YahooSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownSymbol):
        source.fetch("QQQQQ", START, END, now=NOW)

    def fail(*args: object, **options: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(yf, "Ticker", fail)
    with pytest.raises(SourceUnavailable, match=r"no answer from Yahoo \(OSError: disk full\)"):
        source.fetch("MSFT", START, END, now=NOW)


def test_time_out_of_the_session_holds_for_every_call(server: YahooServer) -> None:
    server.always = "hang"
    source = YahooSource(session=server.session(timeout_s=0.1), attempts=1)
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"no answer from Yahoo \(Timeout"):
        source.fetch("MSFT", START, END, now=NOW)
    assert time.monotonic() - began < 5  # yfinance alone waits 10 s for the time zone


def test_waits_are_bounded_and_logged(
    server: YahooServer, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    server.always = 429
    source = YahooSource(attempts=6, backoff_s=60, session=server.session(), sleep=waits.append)
    with caplog.at_level(logging.WARNING, "closecast"), pytest.raises(SourceUnavailable):
        source.fetch("MSFT", START, END, now=NOW)
    assert waits == [60, 120, 240, 300, 300]
    ours = [record.getMessage() for record in caplog.records if "closecast" in record.name]
    assert ours[0] == "MSFT: Yahoo answered HTTP 429; trying again in 60 s"


def test_yfinances_own_setting_is_given_back(source: YahooSource) -> None:
    source.fetch("MSFT", START, END, now=NOW)
    assert yf.config.debug.hide_exceptions is True
    with pytest.raises(UnknownSymbol):
        source.fetch("QQQQQ", START, END, now=NOW)
    assert yf.config.debug.hide_exceptions is True


@pytest.mark.parametrize("missing", [None, 0.0])
@pytest.mark.parametrize("row", [10, -1])
def test_bars_without_a_close_are_named(
    source: YahooSource, server: YahooServer, row: int, missing: float | None
) -> None:
    listed = closes(NYSE)
    listed[row] = missing
    server.listings["MSFT"].closes = listed
    prices = source.fetch("MSFT", START, END, now=NOW)
    assert len(prices) == len(NYSE) - 1
    assert (str(NYSE[row]), "missing_close") in [(note.date, note.rule) for note in prices.notes]


def test_todays_live_bar_is_left_out(source: YahooSource, server: YahooServer) -> None:
    noon = datetime(2024, 3, 28, 16, 0, tzinfo=UTC)
    server.listings["MSFT"] = Listing(NYSE[:-1], closes(NYSE[:-1]), live=(noon, 107.31))
    prices = source.fetch("MSFT", START, now=noon)
    assert prices.sessions.tolist() == NYSE[:-1]
    assert [(n.date, n.rule, n.value) for n in prices.notes] == [
        ("2024-03-28", "unfinished_bar", pytest.approx(107.31))
    ]


def test_filler_row_on_a_saturday(source: YahooSource, server: YahooServer) -> None:
    saturday = date(2024, 3, 23)  # BBAS3 had one at Yahoo, the close of Friday repeated
    days = sorted([*B3, saturday])
    server.listings["BBAS3.SA"] = Listing(days, [57.0] * len(days), "America/Sao_Paulo")
    prices = source.fetch("bbas3", START, END, now=NOW)
    assert prices.sessions.tolist() == B3
    assert [(n.date, n.rule) for n in prices.notes] == [("2024-03-23", "not_a_session")]


def test_close_in_another_unit(source: YahooSource, server: YahooServer) -> None:
    listed = closes(NYSE)
    listed[20] = 100 * (listed[20] or 0)
    server.listings["MSFT"].closes = listed
    with pytest.raises(InvalidPrices) as caught:
        source.fetch("MSFT", START, END, now=NOW)
    (problem,) = caught.value.problems
    assert (problem.rule, problem.date, problem.value) == ("unit_error", str(NYSE[20]), listed[20])


@pytest.mark.parametrize(
    ("name", "basis"), [("yahoo", "adjusted"), ("yahoo:adjusted", "adjusted"), ("yahoo:raw", "raw")]
)
def test_made_from_settings(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    server: YahooServer,
    name: str,
    basis: str,
) -> None:
    timeouts: list[float] = []

    def session(timeout_s: float) -> YahooSession:
        timeouts.append(timeout_s)
        return server.session(timeout_s)

    monkeypatch.setattr("closecast.sources.yahoo.YahooSession", session)
    settings = Settings(source_attempts=2, source_backoff_s=0, source_timeout_s=7, _env_file=None)
    source = make_source(name, settings)
    assert source.fetch("MSFT", START, END, now=NOW).basis == basis
    assert timeouts == [7]
    server.always = 429
    with caplog.at_level(logging.WARNING), pytest.raises(SourceUnavailable, match="2 attempts"):
        source.fetch("MSFT", START, END, now=NOW)
    assert "MSFT: Yahoo answered HTTP 429; trying again in 0 s" in caplog.messages


def test_unknown_basis_in_the_name() -> None:
    with pytest.raises(UnknownName, match="'splits'; valid: adjusted, raw"):
        make_source("yahoo:splits", Settings(_env_file=None))


def test_lowest_and_highest_dates(source: YahooSource) -> None:
    prices = source.fetch("MSFT", date(1970, 1, 1), date(2100, 1, 1), now=NOW)
    assert np.array_equal(prices.sessions, np.array(NYSE, dtype="datetime64[D]"))
