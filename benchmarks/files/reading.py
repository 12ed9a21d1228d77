"""Time to read a file of daily closes, beside pandas alone, in turns.

``python -m benchmarks.files.reading [--rows 5000] [--rounds 15]``
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from closecast.core.calendars import sessions_between
from closecast.sources.file import FileSource
from closecast.sources.tables.date_texts import written


def contents(rows: int) -> dict[str, bytes]:
    """The same closes as a plain CSV file, as exports that need more care, and as a sheet."""
    days = sessions_between("XNYS", np.datetime64("1990-01-02"), np.datetime64("2022-12-30"))
    days = days[-rows:]
    closes = 1000 * np.exp(np.cumsum(np.random.default_rng(7).normal(0, 0.01, len(days))))
    frame = pd.DataFrame({"Date": days, "Close": closes.round(2)})
    for name in ("Open", "High", "Low"):
        frame[name] = frame["Close"]
    frame["Volume"] = 123_456
    sheet, parquet = io.BytesIO(), io.BytesIO()
    frame.to_excel(sheet, index=False)
    frame.to_parquet(parquet)
    english, brazilian = [], []
    for day, close in zip(pd.DatetimeIndex(days)[::-1], closes[::-1], strict=True):
        english.append(f'"{day:%m/%d/%Y}","{close:,.2f}","1.00","2.00","0.50","23.45M","1.20%"')
        number = f"{close:,.2f}".translate(str.maketrans(",.", ".,"))
        brazilian.append(f'"{day:%d.%m.%Y}","{number}","1,00","2,00","0,50","12,30M","0,10%"')
    heads = (
        '"Date","Price","Open","High","Low","Vol.","Change %"',
        '"Data","Último","Abertura","Máxima","Mínima","Vol.","Var%"',
    )
    return {
        "plain CSV": frame.to_csv(index=False).encode(),
        "Investing.com, English": "\n".join([heads[0], *english]).encode(),
        "Investing.com, Portuguese": "\n".join([heads[1], *brazilian]).encode(),
        "Parquet": parquet.getvalue(),
        "Excel": sheet.getvalue(),
    }


def milliseconds(function: Callable[[], object]) -> tuple[float, float]:
    """Time that one call takes: on the clock, and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    function()
    return 1000 * (time.perf_counter() - clock), 1000 * (time.process_time() - processor)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    readers = {"Parquet": pd.read_parquet, "Excel": pd.read_excel}
    print("medians in milliseconds: pandas alone, closecast, more, ratio; clock | processor")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "closes"
        for name, content in contents(arguments.rows).items():
            path.write_bytes(content)
            alone = partial(readers.get(name, pd.read_csv), path)
            read = partial(FileSource(str(path)).read, "MSFT", None, None)
            took: list[tuple[float, ...]] = []
            for _ in range(arguments.rounds + 1):  # the first round imports and fills caches
                written.cache_clear()
                took.append((*milliseconds(alone), *milliseconds(read)))
            columns = [statistics.median(column) for column in zip(*took[1:], strict=True)]
            print(f"{name:<28}{_row(columns[0::2])} |{_row(columns[1::2])}")


def _row(pair: list[float]) -> str:
    pandas, ours = pair
    return f"{pandas:>8.1f}{ours:>8.1f}{ours - pandas:>8.1f}{ours / pandas:>7.1f}"


if __name__ == "__main__":
    main()
