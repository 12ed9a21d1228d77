"""Workspace: the files that one step of a training leaves for the next, a folder per panel."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from closecast.core.dataset import Split, split_at
from closecast.core.prices import Prices
from closecast.core.symbols import canonical_list, folder_name, panel_label, panel_name
from closecast.errors import JobConflict, MissingStep
from closecast.forecasters import Parameters
from closecast.infra.files import write_atomically
from closecast.pipeline.known_closes import remember_closes
from closecast.pipeline.symbol_locks import locked
from closecast.registry.documents import BASELINE_FILE, INTERVALS_FILE
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache

_SPLIT_FILE = "split.json"
_CANDIDATE_FILE = "candidate.json"


_SIZES = ("seq_length", "horizon", "train_size", "valid_size")


def sizes_of(parameters: Parameters) -> dict[str, Any]:
    """Parameters that decide how closes are split, by name."""
    return {name: getattr(parameters, name) for name in _SIZES}


@dataclass(frozen=True, slots=True)
class PreparedSeries:
    """One symbol of the preprocessing step's output."""

    prices: Prices
    split: Split


@dataclass(frozen=True, slots=True)
class Prepared:
    """Output of the preprocessing step.

    Attributes
    ----------
    series : tuple of PreparedSeries
        In alphabetical order of symbols, all cut at the same two days.
    left_out : mapping of symbol to str
        Symbols that are not learned from, or of which the closes before a day are not, and why.
    baseline : bytes
        ``baseline_stats.json``.
    first_sessions : mapping of symbol to str
        First sound session of each symbol that took part in the split, ISO dates.
    valid_size : float
        Share of the validation part; 0: half of what training leaves.
    """

    series: tuple[PreparedSeries, ...]
    left_out: Mapping[str, str]
    baseline: bytes
    seq_length: int
    horizon: int
    train_size: float
    first_sessions: Mapping[str, str]
    valid_size: float = 0.0

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that are learned from."""
        return tuple(one.prices.symbol for one in self.series)

    @property
    def splits(self) -> list[Split]:
        """One per symbol."""
        return [one.split for one in self.series]

    @property
    def sizes(self) -> dict[str, Any]:
        """Parameters that the closes were split with, as :func:`sizes_of`."""
        return {name: getattr(self, name) for name in _SIZES}

    @property
    def identity(self) -> dict[str, Any]:
        """Data and split that a candidate must have been trained on to be scored here."""
        valid_start, test_start = self.series[0].split.boundaries
        return {
            "data_hashes": {one.prices.symbol: one.prices.content_hash for one in self.series},
            "seq_length": self.seq_length,
            "horizon": self.horizon,
            "train_size": self.train_size,
            "valid_start": valid_start,
            "test_start": test_start,
            # Only where it is set: candidates of earlier versions are known without it.
            **({"valid_size": self.valid_size} if self.valid_size else {}),
        }


@dataclass(frozen=True, slots=True)
class Candidate:
    """Output of the training step: a bundle's files, and their description for the manifest."""

    files: Mapping[str, bytes]
    about: Mapping[str, Any]

    @property
    def model_files(self) -> dict[str, bytes]:
        """The files of the predictor alone."""
        others = {INTERVALS_FILE, BASELINE_FILE}
        return {name: content for name, content in self.files.items() if name not in others}


class Workspace:
    """``<data>/processed/<panel>/``, the closes collected for it, and the price cache.

    Attributes
    ----------
    symbols : tuple of str
        Canonical, in alphabetical order.
    collected : PriceCache
        Closes that the next steps work on, of any span.
    cache : PriceCache
        The last known closes, for serving; a training on an older span leaves them alone.
    """

    def __init__(self, settings: Settings, symbols: Sequence[str]) -> None:
        self.symbols = canonical_list(symbols)
        self.collected = PriceCache(settings.data_dir / "collected")
        self.cache = PriceCache(settings.data_dir / "prices")
        self.folder = settings.data_dir / "processed" / self._folder_name

    @property
    def name(self) -> str:
        """The panel's name for people."""
        return panel_label(self.symbols)

    @property
    def _folder_name(self) -> str:
        if len(self.symbols) == 1:
            return folder_name(self.symbols[0])
        return panel_name(self.symbols)

    @property
    def option(self) -> str:
        """The command-line option that means this panel."""
        return f"--symbols {','.join(self.symbols)}"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other trainings off these symbols; updates of their closes go on.

        Raises
        ------
        JobConflict
            If another process trains on any of them right now.
        """

        def refuse(symbol: str) -> None:
            raise JobConflict(f"another process is working on {symbol}: wait for it to end")

        with locked(self.collected.folder, self.symbols, "lock", refuse):
            yield

    def put_prices(self, prices: Prices, edition: str | None = None) -> None:
        """Store collected closes for the next steps, and as the last known ones if they are.

        Parameters
        ----------
        edition : str, optional
            As :func:`closecast.sources.source_edition` named it before they were read.
        """
        self.collected.put(prices)
        remember_closes(self.cache, prices, edition)

    def prices(self) -> list[Prices]:
        """The collected closes of every symbol.

        Raises
        ------
        MissingStep
            If those of one were not collected.
        """
        found = []
        for symbol in self.symbols:
            prices = self.collected.get(symbol)
            if prices is None:
                raise MissingStep(
                    f"the collected closes of {symbol}",
                    f"python -m scripts.01_collect_data --symbols {symbol}",
                )
            found.append(prices)
        return found

    def require_origin(self, source: str | None, start: date | None, end: date | None) -> None:
        """Require collected closes of a source and a span (None: any).

        Raises
        ------
        MissingStep
            If they come from another source or leave the span.
        """
        for prices in self.prices():
            first, last = prices.span
            wrong_source = source is not None and prices.source != source.partition(":")[0]
            too_early = start is not None and first < start.isoformat()
            too_late = end is not None and last > end.isoformat()
            if wrong_source or too_early or too_late:
                asked = {"source": source, "start": start, "end": end}
                options = " ".join(f"--{key} {value}" for key, value in asked.items() if value)
                raise MissingStep(
                    f"the collection of these closes ({prices.symbol} was collected from "
                    f"{prices.source}, {first} to {last})",
                    f"python -m scripts.01_collect_data {self.option} {options}",
                )

    def put_prepared(self, prepared: Prepared) -> None:
        """Store the output of preprocessing; ``split.json`` last, it makes the rest valid."""
        (self.folder / _SPLIT_FILE).unlink(missing_ok=True)
        write_atomically(self.folder / BASELINE_FILE, prepared.baseline)
        about = {
            **prepared.identity,
            "left_out": dict(prepared.left_out),
            "first_sessions": dict(prepared.first_sessions),
        }
        write_atomically(self.folder / _SPLIT_FILE, json.dumps(about, indent=1).encode())

    def prepared(self) -> Prepared:
        """Read it back.

        Raises
        ------
        MissingStep
            If preprocessing was not run, or closes were collected since.
        """
        about = self._split_document()
        prices = {one.symbol: one for one in _since(about, self.prices())}
        hashes = about["data_hashes"]
        if any(
            symbol not in prices or prices[symbol].content_hash != digest
            for symbol, digest in hashes.items()
        ):
            raise MissingStep(
                f"the processed form of the newest closes of {self.name}", self._preprocess
            )
        dates = about["valid_start"], about["test_start"]
        return Prepared(
            tuple(PreparedSeries(prices[s], split_at(prices[s], *dates)) for s in hashes),
            about["left_out"],
            (self.folder / BASELINE_FILE).read_bytes(),
            about["seq_length"],
            about["horizon"],
            about["train_size"],
            {symbol: one.span[0] for symbol, one in prices.items()},
            about.get("valid_size", 0.0),
        )

    def closes_in_split(self) -> list[Prices]:
        """Collected closes that took part in the split, from the first sound one of each symbol on.

        Read from where collecting left them: the look-ahead check compares them with the closes
        that the steps were given.

        Raises
        ------
        MissingStep
            If preprocessing was not run.
        """
        collected = (self.collected.get(symbol) for symbol in self.symbols)
        return _since(self._split_document(), [one for one in collected if one is not None])

    def _split_document(self) -> dict[str, Any]:
        path = self.folder / _SPLIT_FILE
        if not path.exists():
            raise MissingStep(f"the processed data of {self.name}", self._preprocess)
        about: dict[str, Any] = json.loads(path.read_bytes())
        return about

    @property
    def _preprocess(self) -> str:
        return f"python -m scripts.02_preprocess {self.option}"

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
        run = f"python -m scripts.03_train {self.option}"
        path = folder / _CANDIDATE_FILE
        if not path.exists():
            raise MissingStep(f"a trained model of {self.name}", run)
        about = json.loads(path.read_bytes())
        if about["prepared"] != prepared.identity:
            raise MissingStep(f"a model of {self.name} trained on the data as prepared now", run)
        files = {name: (folder / name).read_bytes() for name in about.pop("files")}
        return Candidate(files, about)


def _since(about: Mapping[str, Any], series: Sequence[Prices]) -> list[Prices]:
    """Closes since the days that a split names; all of them where it is an older one."""
    first = about.get("first_sessions", dict.fromkeys(about["data_hashes"]))
    return [one.between(first[one.symbol], None) for one in series if one.symbol in first]
