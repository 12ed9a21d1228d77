"""Shortcuts of the tests of files: write one, read it, or list why it is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from closecast.core.calendars import sessions_between
from closecast.core.prices import Prices
from closecast.errors import InvalidPrices
from closecast.sources.file import FileSource

NOW = datetime(2024, 6, 1, tzinfo=UTC)

Content = str | bytes | pd.DataFrame


class FileReader:
    """Writes contents to one path and reads them from there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fetch(self, content: Content, symbol: str = "MSFT", **span: date) -> Prices:
        if isinstance(content, pd.DataFrame):
            content.to_parquet(self.path)
        else:
            self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        return FileSource(str(self.path)).fetch(symbol, now=NOW, **span)

    def refusal(self, content: Content, symbol: str = "MSFT") -> tuple[str, str]:
        """Rule and sentence of the one problem."""
        with pytest.raises(InvalidPrices) as caught:
            self.fetch(content, symbol)
        (problem,) = caught.value.problems
        return problem.rule, problem.message

    def read_as(self, content: Content, symbol: str = "MSFT") -> str:
        (note,) = [n for n in self.fetch(content, symbol).notes if n.rule == "read_as"]
        return note.message


def sessions(exchange: str, first: str = "2022-01-03", last: str = "2022-03-31") -> list[date]:
    days: list[date] = sessions_between(
        exchange, np.datetime64(first), np.datetime64(last)
    ).tolist()
    return days


def csv_with(
    days: list[date], written: Callable[[date], object], header: str = "Date,Close"
) -> str:
    """A CSV file of these days, each written by ``written``."""
    rows = [f"{written(day)},{100 + i % 7 + 0.25:.2f}" for i, day in enumerate(days)]
    return "\n".join([header, *rows]) + "\n"
