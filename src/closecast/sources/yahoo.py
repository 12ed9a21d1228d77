"""Closes from Yahoo Finance, through ``yfinance``."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any, Self

import numpy as np
import yfinance as yf
from curl_cffi.requests import Response, Session
from yfinance.data import YfData
from yfinance.exceptions import YFPricesMissingError

from closecast.errors import (
    ClosecastError,
    NoPrices,
    SourceUnavailable,
    UnknownName,
    UnknownSymbol,
)
from closecast.settings import Settings
from closecast.sources.base import PriceSource, RawRows

_log = logging.getLogger(__name__)

_PRICES_PATH = "/v8/finance/chart/"
_LONGEST_WAIT_S = 300.0  # doubling alone would come to days with the 20 attempts one may set

# yfinance keeps one session, cookie, crumb and cache per process: one call at a time.
_one_call = threading.Lock()


class YahooSession(Session[Response]):
    """A session like a browser's, which remembers how Yahoo answered the last call for prices.

    yfinance raises the same exception for an unknown symbol and for a server error, and waits as
    long as it likes for time zone and cookie; the status tells the former apart, and the time-out
    given here holds for every call.

    Parameters
    ----------
    timeout_s : float
        Seconds to wait for one answer.

    Attributes
    ----------
    status : int or None
        HTTP status of the last answer about prices; ``None`` where no answer came.
    """

    def __init__(self, timeout_s: float = 30.0) -> None:
        super().__init__(impersonate="chrome")
        self.timeout_s = timeout_s
        self.status: int | None = None

    def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Response:
        about_prices = _PRICES_PATH in url
        if about_prices:
            self.status = None
        kwargs["timeout"] = self.timeout_s
        response = super().request(method, url, *args, **kwargs)
        if about_prices:
            self.status = response.status_code
        return response


class YahooSource(PriceSource):
    """Daily closes from Yahoo Finance.

    Parameters
    ----------
    auto_adjust : bool
        True for closes restated for splits and dividends (basis ``adjusted``; Yahoo rewrites that
        history after each of them). False for Yahoo's own close (basis ``raw``), which it restates
        for splits alone.
    attempts : int
        How often to try when Yahoo refuses or fails to answer.
    backoff_s : float
        Seconds before the second attempt; doubles each time, up to five minutes.
    session : YahooSession, optional
        The session to use, with a time-out of its own; a new one by default.
    sleep : callable
        Waits for a number of seconds.
    """

    name = "yahoo"

    def __init__(
        self,
        *,
        auto_adjust: bool = True,
        attempts: int = 4,
        backoff_s: float = 2.0,
        session: YahooSession | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._auto_adjust = auto_adjust
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._session = session or YahooSession()
        self._sleep = sleep

    @classmethod
    def from_settings(cls, settings: Settings, argument: str) -> Self:
        """``yahoo`` and ``yahoo:adjusted`` give adjusted closes, ``yahoo:raw`` raw ones."""
        if argument not in ("", "adjusted", "raw"):
            raise UnknownName("price basis of the source 'yahoo'", argument, ("adjusted", "raw"))
        return cls(
            auto_adjust=argument != "raw",
            attempts=settings.source_attempts,
            backoff_s=settings.source_backoff_s,
            session=YahooSession(settings.source_timeout_s),
        )

    def read(self, symbol: str, start: date | None, end: date | None) -> RawRows:
        """Yahoo's daily bars from ``start`` to ``end`` (both included).

        Raises
        ------
        UnknownSymbol
            Yahoo has nothing under this symbol.
        NoPrices
            Yahoo knows the symbol and has no bar in the span.
        SourceUnavailable
            Every attempt was refused or failed (rate limit, network, server error).
        """
        for attempt in range(1, self._attempts + 1):
            try:
                return self._ask(symbol, start, end)
            except SourceUnavailable as error:
                last = error
                if attempt < self._attempts:
                    wait_s = min(self._backoff_s * 2 ** (attempt - 1), _LONGEST_WAIT_S)
                    _log.warning("%s: %s; trying again in %g s", symbol, error, wait_s)
                    self._sleep(wait_s)
        raise SourceUnavailable(
            f"no prices of {symbol} after {self._attempts} attempts: {last}. Try again later "
            "(Yahoo's limits can last hours), raise CLOSECAST_SOURCE_ATTEMPTS or "
            "CLOSECAST_SOURCE_BACKOFF_S, or read an export with the source 'file:URL'"
        ) from last

    def _ask(self, symbol: str, start: date | None, end: date | None) -> RawRows:
        # Without a start yfinance takes the last month, unless given "max"; its end is exclusive.
        span: dict[str, Any] = {"period": "max"} if start is None else {"start": start}
        if end is not None:
            span["end"] = end + timedelta(days=1)
        self._session.status = None
        with _yfinance_as_needed():
            try:
                frame = yf.Ticker(_at_yahoo(symbol), session=self._session).history(
                    **span,
                    auto_adjust=self._auto_adjust,
                    keepna=True,  # a bar without a close is to be named, not to vanish
                    timeout=self._session.timeout_s,
                )
            # Whatever yfinance makes of an answer (KeyError, ValueError, its own), the answer is
            # what counts.
            except Exception as error:
                raise _meaning(error, self._session.status, symbol, f"{start} and {end}") from error
        bars = np.array(frame[["Open", "High", "Low", "Close"]], dtype=np.float64)
        # Yahoo writes a bar without trades as nulls or as zeros.
        bars[(np.isnan(bars) | (bars == 0)).all(axis=1)] = np.nan
        dates = np.array(frame.index.tz_localize(None), dtype="datetime64[D]")
        return RawRows(dates, bars[:, 3], "adjusted" if self._auto_adjust else "raw")


@contextmanager
def _yfinance_as_needed() -> Iterator[None]:
    """Yfinance with nothing cached and no exception swallowed, for this thread alone.

    Its cache keeps every answer about a past span for the life of the process: a server error
    would be repeated on every retry, and adjusted closes would outlive the next dividend.
    """
    debug = yf.config.debug
    with _one_call:
        YfData.cache_get.cache_clear()
        hidden, debug.hide_exceptions = debug.hide_exceptions, False
        try:
            yield
        finally:
            debug.hide_exceptions = hidden


def _meaning(error: Exception, status: int | None, symbol: str, span: str) -> ClosecastError:
    """Error of a failed call, by how Yahoo answered it (``status``)."""
    if status == 404:
        return UnknownSymbol(
            f"Yahoo knows no {symbol}; check its spelling at finance.yahoo.com "
            "(outside the US it ends in the exchange's suffix, such as .SA)"
        )
    if isinstance(error, YFPricesMissingError) and status in (200, 400, 422):
        reason = f" ({error.yahoo_reason})" if error.yahoo_reason else ""
        return NoPrices(f"Yahoo has no close of {symbol} between {span}{reason}")
    if status is None:
        return SourceUnavailable(f"no answer from Yahoo ({type(error).__name__}: {error})")
    if status == 200:
        return SourceUnavailable(f"an answer from Yahoo that makes no sense ({error!r})")
    return SourceUnavailable(f"Yahoo answered HTTP {status}")


def _at_yahoo(symbol: str) -> str:
    """Yahoo's spelling, which is ours but for names that mean something else without ``.US``.

    >>> _at_yahoo("BRK-B"), _at_yahoo("SMLL.US")
    ('BRK-B', 'SMLL')
    """
    return symbol.removesuffix(".US")
