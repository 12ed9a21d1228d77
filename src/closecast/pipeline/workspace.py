"""What one step leaves for the next: one folder per symbol, every file written whole."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from closecast.atomic import storage, write_atomically
from closecast.dataset import Processed, Split, split_at
from closecast.errors import JobConflict, MissingStep, StorageFailed
from closecast.price_cache import PriceCache
from closecast.prices import Prices
from closecast.serving import BASELINE_FILE
from closecast.settings import Settings
from closecast.symbols import canonical, folder_name

_SPLIT_FILE = "split.json"
_WINDOWS_FILE = "windows.npz"
_CANDIDATE_FILE = "candidate.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Output of the preprocessing step."""

    prices: Prices
    split: Split
    processed: Processed
    baseline: bytes
    seq_length: int
    horizon: int
    train_size: float

    @property
    def identity(self) -> dict[str, Any]:
        """What a candidate must have been trained on to be judged on this split."""
        valid_start, test_start = self.split.boundaries
        return {
            "data_hash": self.prices.content_hash,
            "seq_length": self.seq_length,
            "horizon": self.horizon,
            "train_size": self.train_size,
            "valid_start": valid_start,
            "test_start": test_start,
        }


@dataclass(frozen=True, slots=True)
class Candidate:
    """Output of the training step: a bundle's files, and what is to be said of them."""

    files: Mapping[str, bytes]
    about: Mapping[str, Any]


class Workspace:
    """``<data>/processed/<symbol>/``, the closes collected for it, and the price cache.

    Attributes
    ----------
    collected : PriceCache
        What the next steps work on, whatever its span.
    cache : PriceCache
        The last known closes, for serving; a training on an older span leaves them alone.
    """

    def __init__(self, settings: Settings, symbol: str) -> None:
        self.symbol = canonical(symbol)
        self.collected = PriceCache(settings.data_dir / "collected")
        self.cache = PriceCache(settings.data_dir / "prices")
        self.folder = settings.data_dir / "processed" / folder_name(self.symbol)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes off this symbol.

        Raises
        ------
        JobConflict
            If one works on it right now.
        """
        with storage(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise JobConflict(
                    f"another process is working on {self.symbol}: wait for it to end"
                ) from None
        try:
            yield
        finally:
            lock.release()

    def put_prices(self, prices: Prices) -> None:
        """Store collected closes, and remember them as the last known ones if they are."""
        self.collected.put(prices)
        try:
            known = self.cache.get(self.symbol)
        except StorageFailed:
            known = None  # damaged: replaced by what was just collected
        if known is None or known.span[1] <= prices.span[1]:
            self.cache.put(prices)

    def prices(self) -> Prices:
        """The collected closes.

        Raises
        ------
        MissingStep
            If none were collected.
        """
        prices = self.collected.get(self.symbol)
        if prices is None:
            raise MissingStep(
                f"the collected closes of {self.symbol}",
                f"python -m scripts.01_collect_data --symbol {self.symbol}",
            )
        return prices

    def require_origin(self, source: str | None, start: date | None, end: date | None) -> None:
        """Make sure that the collected closes are those that are meant (``None``: any).

        Raises
        ------
        MissingStep
            If they come from another source or leave the span.
        """
        prices = self.prices()
        first, last = prices.span
        wrong_source = source is not None and prices.source != source.partition(":")[0]
        too_early = start is not None and first < start.isoformat()
        too_late = end is not None and last > end.isoformat()
        if wrong_source or too_early or too_late:
            asked = {"source": source, "start": start, "end": end}
            options = " ".join(f"--{key} {value}" for key, value in asked.items() if value)
            raise MissingStep(
                f"the collection of these closes ({self.symbol} was collected from "
                f"{prices.source}, {first} to {last})",
                f"python -m scripts.01_collect_data --symbol {self.symbol} {options}",
            )

    def put_prepared(self, prepared: Prepared) -> None:
        """Store the output of preprocessing; ``split.json`` last, it makes the rest valid."""
        processed, buffer = prepared.processed, io.BytesIO()
        np.savez_compressed(
            buffer,
            inputs=processed.inputs.astype(np.float64),
            volatility=processed.volatility,
            targets=processed.targets,
        )
        (self.folder / _SPLIT_FILE).unlink(missing_ok=True)
        write_atomically(self.folder / _WINDOWS_FILE, buffer.getvalue())
        write_atomically(self.folder / BASELINE_FILE, prepared.baseline)
        about = {
            "symbol": self.symbol,
            **prepared.identity,
            "volatility_floor": processed.floor,
        }
        write_atomically(self.folder / _SPLIT_FILE, json.dumps(about, indent=1).encode())

    def prepared(self) -> Prepared:
        """Read it back.

        Raises
        ------
        MissingStep
            If preprocessing was not run, or closes were collected since.
        """
        prices = self.prices()
        run = f"python -m scripts.02_preprocess --symbol {self.symbol}"
        path = self.folder / _SPLIT_FILE
        if not path.exists():
            raise MissingStep(f"the processed data of {self.symbol}", run)
        about = json.loads(path.read_bytes())
        if about["data_hash"] != prices.content_hash:
            raise MissingStep(f"the processed form of the newest closes of {self.symbol}", run)
        with np.load(self.folder / _WINDOWS_FILE, allow_pickle=False) as file:
            processed = Processed(
                file["inputs"], file["volatility"], file["targets"], about["volatility_floor"]
            )
        return Prepared(
            prices,
            split_at(prices, about["valid_start"], about["test_start"]),
            processed,
            (self.folder / BASELINE_FILE).read_bytes(),
            about["seq_length"],
            about["horizon"],
            about["train_size"],
        )

    def put_candidate(self, candidate: Candidate) -> Path:
        """Store a trained model that has not been judged yet."""
        folder = self.folder / "candidate"
        (folder / _CANDIDATE_FILE).unlink(missing_ok=True)
        for name, content in candidate.files.items():
            write_atomically(folder / name, content)
        about = {**candidate.about, "files": sorted(candidate.files)}
        write_atomically(folder / _CANDIDATE_FILE, json.dumps(about, indent=1).encode())
        return folder

    def candidate(self, prepared: Prepared) -> Candidate:
        """Read it back.

        Raises
        ------
        MissingStep
            If nothing was trained, or not on these closes and this split: judged on another
            split, a candidate may have seen the rows it is judged by.
        """
        folder = self.folder / "candidate"
        run = f"python -m scripts.03_train --symbol {self.symbol}"
        path = folder / _CANDIDATE_FILE
        if not path.exists():
            raise MissingStep(f"a trained model of {self.symbol}", run)
        about = json.loads(path.read_bytes())
        if about["prepared"] != prepared.identity:
            raise MissingStep(f"a model of {self.symbol} trained on the data as prepared now", run)
        files = {name: (folder / name).read_bytes() for name in about.pop("files")}
        return Candidate(files, about)
