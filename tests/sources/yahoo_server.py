"""Yahoo Finance on 127.0.0.1: the addresses yfinance calls, in Yahoo's JSON shapes.

A test lists symbols with their bars, queues failures, and reads what was asked for.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from curl_cffi.requests import Response

from closecast.sources.yahoo import YahooSession

Failure = int | Literal["drop", "hang", "not json", "empty object"]
"""A status to answer with; to close the connection, or to keep silent; a 200 without sense."""


@dataclass
class Listing:
    """One symbol: ``closes[i]`` (``None``: a bar without trades) on ``days[i]``."""

    days: Sequence[date]
    closes: Sequence[float | None]
    zone: str = "America/New_York"
    opens_at: time = time(9, 30)
    dividend_factor: float = 1.0
    """Adjusted close / close: what a later dividend makes of the history."""
    live: tuple[datetime, float] | None = None
    """Today's bar so far. Yahoo appends it whether or not it lies in the span."""


@dataclass
class YahooServer:
    """What the server knows, and what it was asked."""

    address: str = ""
    listings: dict[str, Listing] = field(default_factory=dict)
    zone_failures: deque[Failure] = field(default_factory=deque)
    """Failures of the next calls that look for the symbol's time zone, one each."""
    failures: deque[Failure] = field(default_factory=deque)
    """Failures of the next calls for the bars of a span, one each."""
    always: Failure | None = None
    """How every call for prices fails."""
    paths: list[str] = field(default_factory=list)
    """Every path that was asked for, the original host first."""
    stopping: threading.Event = field(default_factory=threading.Event)

    def session(self, timeout_s: float = 5.0) -> YahooSession:
        """A session that brings every call here instead of to Yahoo."""
        return _RedirectedSession(self.address, timeout_s)

    def asked_for(self, symbol: str) -> int:
        """How many calls asked for prices of exactly this symbol."""
        return sum(path.endswith(f"/v8/finance/chart/{symbol}") for path in self.paths)


class _RedirectedSession(YahooSession):
    def __init__(self, address: str, timeout_s: float) -> None:
        super().__init__(timeout_s)
        self._address = address

    def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Response:
        here = f"{self._address}/{url.removeprefix('https://')}"
        return super().request(method, here, *args, **kwargs)


@contextmanager
def yahoo_server() -> Iterator[YahooServer]:
    """A running server on a free port; stopped at the end of the block."""
    state = YahooServer()

    class Handler(_Handler):
        yahoo = state

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        state.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            state.stopping.set()
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    yahoo: YahooServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.yahoo.paths.append(url.path)
        host, _, path = url.path.removeprefix("/").partition("/")
        if path.startswith("v8/finance/chart/"):
            self._chart(path.rpartition("/")[2], query)
        elif path == "v1/test/getcrumb":
            self._send(200, "crumb", "text/plain")
        elif path.startswith("v10/finance/quoteSummary/"):
            self._json(404, {"quoteSummary": _nothing("Quote not found")})
        elif path.startswith("v7/finance/quote"):
            self._json(200, {"quoteResponse": {"result": [], "error": None}})
        elif "fundamentals-timeseries" in path:
            self._json(200, {"timeseries": {"result": [], "error": None}})
        else:  # fc.yahoo.com hands out its cookie with a 404; the consent pages are plain HTML
            self._send(404 if host == "fc.yahoo.com" else 200, "<html></html>", "text/html")

    do_POST = do_GET

    def _chart(self, symbol: str, query: dict[str, str]) -> None:
        queue = self.yahoo.failures if "period1" in query else self.yahoo.zone_failures
        failure = queue.popleft() if queue else self.yahoo.always
        if failure is not None:
            self._fail(failure)
        elif symbol not in self.yahoo.listings:
            nothing = _nothing("No data found, symbol may be delisted")
            self._json(404, {"chart": nothing})
        else:
            self._json(200, {"chart": _chart(symbol, self.yahoo.listings[symbol], query)})

    def _fail(self, failure: Failure) -> None:
        match failure:
            case "drop":
                self.close_connection = True
            case "hang":
                self.yahoo.stopping.wait()
            case "not json":
                self._send(200, "<html>Oops</html>", "text/html")
            case "empty object":
                self._json(200, {})
            case 429:
                self._send(429, "Too Many Requests", "text/plain")
            case status:
                self._json(status, {"chart": _nothing("Internal error", "internal-error")})

    def _json(self, status: int, body: object) -> None:
        self._send(status, json.dumps(body), "application/json")

    def _send(self, status: int, body: str, content_type: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Set-Cookie", "A3=test; Path=/")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Keep the tests' output quiet."""


def _nothing(description: str, code: str = "Not Found") -> dict[str, object]:
    return {"result": None, "error": {"code": code, "description": description}}


def _chart(symbol: str, listing: Listing, query: dict[str, str]) -> dict[str, object]:
    zone = ZoneInfo(listing.zone)
    bars = [
        (int(datetime.combine(day, listing.opens_at, zone).timestamp()), close)
        for day, close in zip(listing.days, listing.closes, strict=True)
    ]
    if "period1" in query:
        first, last = int(query["period1"]), int(query["period2"])
        bars = [bar for bar in bars if first <= bar[0] < last]
    else:
        bars = bars[-1:]
    if listing.live is not None:
        moment, price = listing.live
        bars.append((int(moment.timestamp()), price))
    newest = bars[-1] if bars else (0, 0.0)
    meta = {
        "currency": "USD",
        "symbol": symbol,
        "exchangeName": "NMS",
        "instrumentType": "EQUITY",
        "firstTradeDate": int(datetime(1986, 3, 13, tzinfo=UTC).timestamp()),
        "regularMarketTime": newest[0],
        "regularMarketPrice": newest[1],
        "gmtoffset": 0,
        "timezone": "XST",
        "exchangeTimezoneName": listing.zone,
        "priceHint": 2,
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
    }
    if not bars:  # no "timestamp", an empty quote: what Yahoo sends for a weekend
        empty = {"meta": meta, "indicators": {"quote": [{}], "adjclose": [{}]}}
        return {"result": [empty], "error": None}
    closes = [close for _, close in bars]
    quote = dict.fromkeys(("open", "high", "low", "close"), closes)
    quote["volume"] = [1000 if close else close for close in closes]
    adjusted = [close and close * listing.dividend_factor for close in closes]
    result = {
        "meta": meta,
        "timestamp": [moment for moment, _ in bars],
        "indicators": {"quote": [quote], "adjclose": [{"adjclose": adjusted}]},
    }
    return {"result": [result], "error": None}
