"""Closes from a file, on disk or behind any fsspec URL (``s3://``, ``https://`` …).

Reads what people really have: exports of named sites and programs, spreadsheets, archives; see
``closecast.sources.tables``. Where a file can be read in two ways (``03/04/2022``, ``1,234``) it is
refused instead of guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import IO, Self

import fsspec
import numpy as np

from closecast.core.symbols import former_names
from closecast.errors import (
    BadSetting,
    InvalidPrices,
    NoPrices,
    PriceProblem,
    SourceUnavailable,
    UnknownSymbol,
)
from closecast.settings import Settings
from closecast.sources.base import PriceSource, RawRows
from closecast.sources.spacing import other_bars
from closecast.sources.tables.columns import NotInFile, listed
from closecast.sources.tables.faults import Fault
from closecast.sources.tables.order import order_of
from closecast.sources.tables.reading import (
    EVERY_DATE,
    EmptyFile,
    Reading,
    Span,
    open_file,
    read_content,
)


class FileSource(PriceSource):
    """A file of daily closes: CSV, Excel, Parquet, JSON or fixed width, compressed or not.

    Parameters
    ----------
    url : str
        A path or any fsspec URL. ``{symbol}`` in it stands for the canonical symbol. Everything
        about the file is found by looking into it, never by its name. What the URL's file system
        needs (keys, end points) comes from that file system's own environment variables, such as
        ``AWS_ENDPOINT_URL`` and ``AWS_ACCESS_KEY_ID`` for ``s3://``.

    Raises
    ------
    BadSetting
        If the URL is empty.

    Notes
    -----
    A file with neither ``{symbol}`` in its URL nor symbols inside is taken to be about the
    requested symbol. ``Adj Close`` is preferred to ``Close``.
    """

    name = "file"

    def __init__(self, url: str) -> None:
        if not url.strip():
            raise BadSetting(
                "the source 'file' needs to know which file; write file:URL, such as "
                "'file:prices/{symbol}.csv' or 'file:s3://bucket/prices.parquet'"
            )
        self.url = url.strip()

    @classmethod
    def from_settings(cls, settings: Settings, argument: str) -> Self:
        return cls(argument)

    def read(self, symbol: str, start: date | None, end: date | None) -> RawRows:
        """The file's rows from ``start`` to ``end`` (both included), oldest first.

        Raises
        ------
        NoPrices
            No such file, or nothing in it.
        UnknownSymbol
            The file names its symbols and this one is not among them.
        SourceUnavailable
            The file is there and cannot be read: permissions, network.
        InvalidPrices
            The file is refused, for a reason that is one sentence for the whole file.
        """
        low, high = (None if day is None else np.datetime64(day, "D") for day in (start, end))
        reading = self.look_into(symbol, Span(low, high))
        order, problems = order_of(reading.dates, reading.closes)
        # Hours or weeks are named by `fetch`, which says more about them than their order does.
        if problems and other_bars(symbol, reading.dates, reading.closes) is None:
            raise InvalidPrices(self._subject(symbol), problems)
        way = -1 if order == "newest first" else 1
        details = f"; {', '.join(reading.details)}" if reading.details else ""
        read_as = PriceProblem("read_as", f"read as: {reading.layout}, {order}{details}")
        return RawRows(
            reading.dates[::way],
            reading.closes[::way],
            reading.basis,
            (read_as, *reading.notes),
            reading.market,
        )

    def look_into(self, symbol: str | None, span: Span = EVERY_DATE) -> Reading:
        """Read the file as it is, and say how; without a symbol, the first one in the file.

        Raises
        ------
        NoPrices, UnknownSymbol, SourceUnavailable, InvalidPrices
            As :meth:`read`, but for the order of the rows.
        """
        if symbol and "{symbol}" in self.url:  # an earlier version knew other spellings
            for name in (symbol, *former_names(symbol)):
                try:
                    return self._look_at(self.url.replace("{symbol}", name), symbol, span)
                except NoPrices as error:
                    if not isinstance(error.__cause__, FileNotFoundError):
                        raise
        return self._look_at(self._url_of(symbol), symbol, span)

    def _look_at(self, url: str, symbol: str | None, span: Span) -> Reading:
        subject = self._subject(symbol)
        try:
            with _opened(url) as stream:
                content = open_file(stream, symbol)
            return read_content(content, symbol, span)
        except Fault as fault:
            problem = PriceProblem(fault.rule, fault.message, fault.date)
            raise InvalidPrices(subject, [problem], fault.advice) from fault
        except EmptyFile as error:
            raise NoPrices(f"{without_secrets(url)} is empty") from error
        except NotInFile as error:
            raise UnknownSymbol(
                f"{subject}: no {symbol} in it; it has {listed(error.symbols) or 'none'}"
            ) from error

    def _url_of(self, symbol: str | None) -> str:
        return self.url.replace("{symbol}", symbol) if symbol else self.url

    def _subject(self, symbol: str | None) -> str:
        shown = without_secrets(self._url_of(symbol))
        return f"{symbol} from {shown}" if symbol else shown


@contextmanager
def _opened(url: str) -> Iterator[IO[bytes]]:
    shown = without_secrets(url)
    try:
        with fsspec.open(url, "rb") as stream:
            yield stream
    except Fault:
        raise
    except FileNotFoundError as error:
        raise NoPrices(f"there is no file {shown}") from error
    except (ImportError, ValueError) as error:  # fsspec's answers to a scheme it cannot serve
        raise BadSetting(f"cannot open {shown}: {_message(error, url)}") from error
    except Exception as error:  # each file system has exceptions of its own
        reason = f"{type(error).__name__}: {_message(error, url)}"
        raise SourceUnavailable(
            f"cannot read {shown} ({reason}); check its permissions, the network, and the "
            "credentials in the environment"
        ) from error


def _message(error: Exception, url: str) -> str:
    """The message of an error without the URL's secrets; S3's repeats them without ``s3://``."""
    text = str(error).replace(url, without_secrets(url))
    login = re.search(r"://(.*@)", url)
    return text.replace(login[1], "") if login else text


def without_secrets(url: str) -> str:
    """The URL without user, password, query and fragment (where signatures are)."""
    if "://" not in url:
        return url
    return re.sub(r"(://).*@", r"\1", re.split(r"[?#]", url)[0])
