"""Closes that come wrong, late, twice or in between: the end is that of the right ones at once.

A machine has a vendor deliver true and wrong closes of three symbols in any order, and updates
that may be killed. When the vendor has corrected everything, outcomes and calibration must be
those of a service that saw the true closes only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices
from closecast.core.records import SCORED_PROBABILITIES, DatedForecast, DatedStep
from closecast.database import Database
from closecast.pipeline import TrainRequest, run_training
from closecast.pipeline.update import learn_from_closes
from closecast.registry.documents import Bundle
from closecast.registry.registry import Registry
from closecast.sources.price_cache import PriceCache
from closecast.sources.sample import SampleSource
from tests.conftest import settings_in
from tests.support.synthetic_prices import garch

SYMBOLS = ("AAA", "BBB", "CCC")
TRAINED, NEW, STEPS = 480, 12, 3
SESSIONS = SampleSource().read("MSFT", None, None).dates[-TRAINED - NEW :]
TRUTH = {s: garch(TRAINED + NEW, i, s).closes for i, s in enumerate(SYMBOLS)}
EPOCH = datetime(2030, 1, 1, tzinfo=UTC)

rows = st.integers(TRAINED, TRAINED + NEW - 1)
symbols = st.sampled_from(SYMBOLS)


def prices_of(symbol: str, closes: FloatArray, kept: FloatArray | None = None) -> Prices:
    kept = np.arange(len(closes)) if kept is None else kept
    return Prices(symbol, SESSIONS[: len(closes)][kept], closes[kept], "made", "unknown")


@lru_cache(maxsize=1)
def bundle() -> Bundle:
    """A model of the three symbols, trained on the closes before."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for symbol in SYMBOLS:
            found = zip(SESSIONS[:TRAINED], TRUTH[symbol].tolist(), strict=False)
            lines = [f"{day},{close!r}" for day, close in found]
            (folder / f"{symbol}.csv").write_text("\n".join(["Date,Close", *lines]))
        own = settings_in(folder, source=f"file:{folder}/{{symbol}}.csv")
        sizes = {"seq_length": 20, "horizon": STEPS}
        request = TrainRequest(
            symbols=SYMBOLS, source=own.source, forecaster="ewma", hyperparameters=sizes
        )
        version = run_training(own, request).manifest.version
        return Registry(own.models_url).load(version)


def forecasts() -> Iterator[DatedForecast]:
    """Forecasts from every session, issued on its evening."""
    for symbol in SYMBOLS:
        for row in range(TRAINED - 1, TRAINED + NEW - STEPS):
            close = float(TRUTH[symbol][row])
            quantiles = tuple((SCORED_PROBABILITIES - 0.5).tolist())
            days = SESSIONS[row + 1 : row + 1 + STEPS]
            yield DatedForecast(
                kind="live",
                symbol=symbol,
                version=bundle().manifest.version,
                revision=row,
                forecaster="ewma",
                origin=SESSIONS[row].item(),
                origin_close=close,
                basis="unknown",
                source="made",
                issued_at=datetime.combine(SESSIONS[row].item(), time(23), UTC),
                steps=tuple(
                    DatedStep(n + 1, day.item(), close, quantiles) for n, day in enumerate(days)
                ),
            )


class Service:
    """A price cache, a ledger with forecasts, and updates of them."""

    def __init__(self, folder: Path) -> None:
        self.cache = PriceCache(folder / "prices")
        self.database = Database(f"sqlite:///{folder}/ledger.sqlite")
        self.ids = [self.database.forecasts.commit(forecast) for forecast in forecasts()]

    def learn(self) -> None:
        learn_from_closes(bundle(), self.database, self.cache, SYMBOLS)

    def revisions(self) -> list[int]:
        version = bundle().manifest.version
        found = [self.database.calibrations.newest(version, symbol) for symbol in SYMBOLS]
        return [one.revision if one else 0 for one in found]

    def end(self) -> Mapping[str, Any]:
        """Everything that has to be equal: but for times, and numbers of revisions."""
        version, database = bundle().manifest.version, self.database
        states = {s: database.calibrations.newest(version, s) for s in SYMBOLS}
        known = {s: database.calibrations.absorbed(version, s) for s in SYMBOLS}
        return {
            "states": {s: one and (one.session, one.parts) for s, one in states.items()},
            "closes": {s: one and one.prices for s, one in known.items()},
            "days": {
                s: [replace(day, at=EPOCH) for day in database.drift_days.history(s)]
                for s in SYMBOLS
            },
            "outcomes": [
                [outcome and replace(outcome, scored_at=EPOCH) for outcome in outcomes]
                for _, outcomes in (database.forecasts.get(name) for name in self.ids)
            ],
            "scored": [
                replace(row, outcome=replace(row.outcome, scored_at=EPOCH), corrections=0)
                for s in SYMBOLS
                for row in database.forecasts.scored(s, "live")
            ],
            "held": database.close_decisions.all_held(),
        }

    def close(self) -> None:
        self.database.close()


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs, and an open transaction is rolled back."""


@contextmanager
def killed_at(database: Database, transaction: int, committed: bool) -> Iterator[None]:
    """Die at a writing transaction, before its end or after it."""
    engine, left = database._engine, transaction
    whole = engine.transaction

    @contextmanager
    def counted(*, read_only: bool = False) -> Iterator[Any]:
        nonlocal left
        with whole(read_only=read_only) as connection:
            yield connection
            if not read_only and left == 0 and not committed:
                raise Killed
        if not read_only:
            left -= 1
            if left < 0 and committed:
                raise Killed

    engine.transaction = counted  # type: ignore[method-assign]
    try:
        with suppress(Killed):
            yield
    finally:
        engine.transaction = whole  # type: ignore[method-assign]


class Vendor(RuleBasedStateMachine):
    """Wrong closes, late ones, splits, and updates in any order."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.service = Service(Path(self.folder.name))
        self.known = dict.fromkeys(SYMBOLS, TRAINED)
        self.wrong: dict[tuple[str, int], float] = {}
        self.lacking: set[tuple[str, int]] = set()
        self.not_restated: dict[str, int] = {}
        self.rewritten: set[str] = set()
        self.before = [0] * len(SYMBOLS)

    def deliver(self) -> None:
        """Put the closes that the source has now into the cache."""
        for symbol in SYMBOLS:
            closes = TRUTH[symbol][: self.known[symbol]].copy()
            if symbol in self.not_restated:
                closes[: self.not_restated[symbol]] *= 2
            if symbol in self.rewritten:
                closes = closes[::-1].copy()
            kept = np.ones(len(closes), dtype=bool)
            for (owner, row), factor in self.wrong.items():
                if owner == symbol and row < len(closes):
                    closes[row] *= factor
            for owner, row in self.lacking:
                if owner == symbol and row < len(closes) - 1:
                    kept[row] = False
            self.service.cache.put(prices_of(symbol, closes, np.flatnonzero(kept)))

    @rule(late=st.none() | symbols, sessions=st.integers(1, 3))
    def sessions_pass(self, late: str | None, sessions: int) -> None:
        newest = min(max(self.known.values()) + sessions, TRAINED + NEW)
        self.known |= {symbol: newest for symbol in SYMBOLS if symbol != late}

    @rule(symbol=symbols, row=rows, factor=st.sampled_from([1.03, 0.9, 2.0, 0.25, 100.0]))
    def a_close_is_wrong(self, symbol: str, row: int, factor: float) -> None:
        """Also again: the correction of a correction."""
        self.wrong[symbol, row] = factor

    @precondition(lambda self: self.wrong)
    @rule(data=st.data())
    def a_close_is_corrected(self, data: st.DataObject) -> None:
        del self.wrong[data.draw(st.sampled_from(sorted(self.wrong)))]

    @rule(symbol=symbols, row=rows)
    def a_split_is_not_restated(self, symbol: str, row: int) -> None:
        self.not_restated[symbol] = row

    @rule(symbol=symbols)
    def a_split_is_restated(self, symbol: str) -> None:
        self.not_restated.pop(symbol, None)

    @rule(symbol=symbols, row=rows)
    def a_session_is_taken_back(self, symbol: str, row: int) -> None:
        self.lacking.add((symbol, row))

    @rule(symbol=symbols)
    def sessions_are_given_back(self, symbol: str) -> None:
        self.lacking = {one for one in self.lacking if one[0] != symbol}

    @rule(symbol=symbols)
    def history_is_rewritten_or_as_before(self, symbol: str) -> None:
        self.rewritten ^= {symbol}

    @rule(symbol=symbols)
    def a_person_accepts(self, symbol: str) -> None:
        """By mistake: the vendor corrects the close in the end."""
        held = self.service.database.close_decisions.held(symbol)
        if held is not None and held.code != "rewritten_history":
            self.service.database.close_decisions.accept(symbol, held.since, "it was so", "me")

    @rule()
    def update(self) -> None:
        self.deliver()
        self.service.learn()

    @rule(transaction=st.integers(0, 6), committed=st.booleans())
    def update_is_killed(self, transaction: int, committed: bool) -> None:
        self.deliver()
        with killed_at(self.service.database, transaction, committed):
            self.service.learn()

    @invariant()
    def revisions_never_go_back(self) -> None:
        if hasattr(self, "service"):
            now = self.service.revisions()
            assert all(a >= b for a, b in zip(now, self.before, strict=True))
            self.before = now

    def teardown(self) -> None:
        """Correct everything, and compare with a service that saw nothing else."""
        if not hasattr(self, "service"):
            return
        self.known = dict.fromkeys(SYMBOLS, max(self.known.values()))
        self.wrong, self.lacking, self.not_restated, self.rewritten = {}, set(), {}, set()
        self.update()
        twin = Path(self.folder.name) / "twin"
        at_once = Service(twin)
        for symbol in SYMBOLS:
            at_once.cache.put(prices_of(symbol, TRUTH[symbol][: self.known[symbol]]))
        at_once.learn()
        here, there = self.service.end(), at_once.end()
        self.service.close()
        at_once.close()
        self.folder.cleanup()
        for name, expected in there.items():
            assert here[name] == expected, name


def test_closes_in_any_order_end_as_if_the_right_ones_had_come_at_once() -> None:
    """Bit for bit: outcomes, states, absorbed closes and monitored sessions."""
    run_state_machine_as_test(
        Vendor,
        settings=settings(
            max_examples=20,
            stateful_step_count=14,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
