"""Serving: immutable snapshots of bundles, loaded whole, tried out, swapped by one assignment."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Literal, Self

import numpy as np

from closecast.bundle import (
    BASELINE_FILE,
    EVALUATION_FILE,
    INTERVALS_FILE,
    LIVE_FILE,
    Bundle,
    Manifest,
    of_symbol,
)
from closecast.drift import Baseline, Context, DriftDetector
from closecast.errors import (
    ClosecastError,
    DamagedBundle,
    InvalidPrices,
    NoModel,
    Problem,
    StorageFailed,
    UnknownSymbol,
    WrongWindowLength,
)
from closecast.forecast import PROBABILITIES
from closecast.forecasters import Predictor, load_predictor
from closecast.intervals import Calibration, LiveState, load_state
from closecast.price_cache import PriceCache
from closecast.prices import MAX_PRICE, MIN_PRICE, Prices
from closecast.registry import Registry
from closecast.symbols import EVERY_DAY, canonical, exchange_of
from closecast.verdict import Verdict

log = logging.getLogger(__name__)

LEVELS = (0.8, 0.95)

_SLOW_S = 0.005
_SESSIONS_PER_DAY = 5 / 7
# Adjusted history is rewritten after every dividend: a level from further back than this differs
# between two downloads by more than the market moves in a day.
_REWRITTEN_AFTER_DAYS = 180


@dataclass(frozen=True, slots=True)
class Interval:
    """Central interval of a future close, in price units."""

    level: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Step:
    """One session ahead: median price and intervals."""

    step: int
    price: float
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Everything that one window is answered with. Plain numbers, no arrays."""

    symbol: str
    model_version: str
    naive_price: float
    path: tuple[Step, ...]
    verdict: Verdict


@dataclass(frozen=True)
class Snapshot:
    """One bundle, ready to answer for one symbol. Never changed: a reload makes another."""

    symbol: str
    generation: int
    manifest: Manifest
    predictor: Predictor
    calibration: Calibration
    first_state: LiveState
    """Live calibration as of the end of the bundle's data."""
    detector: DriftDetector
    evaluation: Mapping[str, Any]
    """The symbol's, with every row and step."""
    loaded_at: datetime
    is_slow: bool = False
    """Whether one answer takes so long that nobody should wait for it in an event loop."""

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.manifest.version

    @classmethod
    def from_bundle(cls, symbol: str, generation: int, bundle: Bundle) -> Self:
        """Build and try out.

        Raises
        ------
        DamagedBundle
            If anything is missing, does not parse, or does not answer a harmless window.
        """
        info = bundle.manifest.info
        files = bundle.files
        for name in (BASELINE_FILE, INTERVALS_FILE, LIVE_FILE, EVALUATION_FILE):
            if name not in files:
                raise DamagedBundle(f"bundle {bundle.manifest.version} has no {name}")
        state = load_state(files[LIVE_FILE], symbol)
        if state.horizon != info.horizon:
            raise DamagedBundle(f"{LIVE_FILE} is of {state.horizon} steps, not {info.horizon}")
        snapshot = cls(
            symbol=symbol,
            generation=generation,
            manifest=bundle.manifest,
            predictor=load_predictor(info.forecaster, files),
            calibration=Calibration.from_json(of_symbol(files, INTERVALS_FILE, symbol)),
            first_state=state,
            detector=DriftDetector(Baseline.from_json(of_symbol(files, BASELINE_FILE, symbol))),
            evaluation=json.loads(of_symbol(files, EVALUATION_FILE, symbol)),
            loaded_at=datetime.now(UTC),
        )
        snapshot._try_out()  # the first run also allocates
        started = time.perf_counter()
        snapshot._try_out()
        return replace(snapshot, is_slow=time.perf_counter() - started > _SLOW_S)

    def _try_out(self) -> None:
        days = np.arange(self.manifest.info.seq_length)
        try:
            self.first_state.forecast(PROBABILITIES)
            answer = self.predict((100 * np.exp(0.01 * np.sin(days))).tolist())
        except Exception as error:  # a foreign network fails in ways of its own
            raise DamagedBundle(f"bundle {self.version} cannot answer: {error}") from error
        if len(answer.path) != self.manifest.info.horizon:
            raise DamagedBundle(f"bundle {self.version} answers {len(answer.path)} steps")

    def predict(self, closes: Sequence[float], context: Context | None = None) -> Prediction:
        """Answer one window.

        Parameters
        ----------
        closes : sequence of float
            As many as the bundle's window has, oldest first.

        Raises
        ------
        WrongWindowLength, InvalidPrices
        """
        length = self.manifest.info.seq_length
        if len(closes) != length:
            raise WrongWindowLength(len(closes), length, self.version)
        window = np.asarray(closes, dtype=np.float64)
        _refuse_impossible(window)
        forecast = self.calibration.apply(self.predictor.predict(window))
        prices = forecast.price.tolist()
        ends = [(level, *forecast.interval(level)) for level in LEVELS]
        path = tuple(
            Step(
                step=i + 1,
                price=price,
                intervals=tuple(
                    Interval(level, float(lower[i]), float(upper[i]))
                    for level, lower, upper in ends
                ),
            )
            for i, price in enumerate(prices)
        )
        verdict = self.detector.check(window, context)
        return Prediction(self.symbol, self.version, float(window[-1]), path, verdict)


@dataclass(frozen=True, slots=True)
class Reload:
    """What a look at one symbol's pointer led to."""

    symbol: str
    outcome: Literal["unchanged", "swapped", "failed"]
    serving_version: str | None
    published_version: str | None
    reason: str | None = None


class Models:
    """The snapshots that this process serves; each follows its symbol's pointer."""

    def __init__(self, registry: Registry, cache: PriceCache, default_symbol: str) -> None:
        self.registry = registry
        self.cache = cache
        self.default_symbol = canonical(default_symbol)
        self._snapshots: dict[str, Snapshot] = {}
        self._failures: dict[str, Exception] = {}
        self._loading = threading.Lock()

    def canonical(self, symbol: str | None) -> str:
        """The canonical spelling; of the default symbol where none is named."""
        return canonical(symbol) if symbol is not None else self.default_symbol

    def serving(self, symbol: str) -> Snapshot | None:
        """What is in memory for a canonical symbol; never loads."""
        return self._snapshots.get(symbol)

    def loaded(self) -> list[Snapshot]:
        """Every snapshot in memory."""
        return list(self._snapshots.values())

    def failures(self) -> dict[str, str]:
        """Symbols whose pointer leads to something that could not be loaded, and why."""
        return {symbol: str(error) for symbol, error in self._failures.items()}

    def get(self, symbol: str | None = None) -> Snapshot:
        """The snapshot of a symbol (of the default one), loaded if need be.

        Raises
        ------
        NoModel
            If the default symbol has none yet.
        UnknownSymbol
            If another symbol has none.
        DamagedBundle
            If its bundle cannot be served and none was before.
        """
        wanted = self.canonical(symbol)
        snapshot = self._snapshots.get(wanted)
        if snapshot is not None:
            return snapshot
        outcome = self.look(wanted)
        snapshot = self._snapshots.get(wanted)
        if snapshot is not None:
            return snapshot
        if outcome.outcome == "failed":
            if isinstance(self._failures.get(wanted), StorageFailed):
                raise StorageFailed(f"the models cannot be read: {outcome.reason}")
            raise DamagedBundle(f"the model of {wanted} cannot be served: {outcome.reason}")
        if wanted == self.default_symbol:
            raise NoModel(
                f"no model for {wanted} yet: train one with `make serve` or POST /train, then retry"
            )
        known = ", ".join(self.registry.symbols()[:20]) or "none"
        raise UnknownSymbol(
            f"no model for {wanted}; there are models for: {known}. "
            f'Train one with POST /train {{"symbol": "{wanted}"}}'
        )

    def look(self, symbol: str) -> Reload:
        """Compare with the pointer, and load and swap if it moved. A failure changes nothing."""
        with self._loading:
            serving = self._snapshots.get(symbol)
            old = serving.version if serving else None
            try:
                pointer = self.registry.pointer(symbol)
                if pointer is None:
                    return Reload(symbol, "unchanged", old, None)
                if serving and (serving.version, serving.generation) == (
                    pointer.version,
                    pointer.generation,
                ):
                    self._failures.pop(symbol, None)
                    return Reload(symbol, "unchanged", old, pointer.version)
                bundle = self.registry.load(pointer.version)
                snapshot = Snapshot.from_bundle(symbol, pointer.generation, bundle)
            except (ClosecastError, OSError) as error:
                if str(self._failures.get(symbol)) != str(error):
                    log.error(
                        "model could not be loaded; the one before keeps serving",
                        extra={"symbol": symbol, "serving": old, "reason": str(error)},
                    )
                self._failures[symbol] = error
                return Reload(symbol, "failed", old, None, str(error))
            self._snapshots[symbol] = snapshot
            self._failures.pop(symbol, None)
            log.info(
                "model loaded",
                extra={"symbol": symbol, "version": snapshot.version, "before": old},
            )
            return Reload(symbol, "swapped", snapshot.version, pointer.version)

    def look_at_all(self) -> list[Reload]:
        """:meth:`look` at every loaded symbol and at the default one."""
        return [self.look(symbol) for symbol in sorted({self.default_symbol, *self._snapshots})]

    def context(self, symbol: str | None, as_of: date | None) -> Context | None:
        """What is known of the symbol's price around ``as_of``, if that can be compared.

        Only closes that the service collected itself, of the same price basis as the model's,
        count; where the date of the window is unknown, nothing can be said.
        """
        if as_of is None:
            return None
        wanted = self.canonical(symbol)
        snapshot = self._snapshots.get(wanted)
        try:
            prices = self.cache.get(wanted)
        except ClosecastError as error:
            log.warning("price cache unreadable", extra={"symbol": wanted, "reason": str(error)})
            return None
        if snapshot is None or prices is None or prices.basis != snapshot.detector.baseline.basis:
            return None
        return _context_at(prices, np.datetime64(as_of, "D"), symbol is not None)


def _context_at(prices: Prices, day: np.datetime64, symbol_named: bool) -> Context | None:
    row = int(np.searchsorted(prices.sessions, day, side="right")) - 1
    if row < 0:
        return None
    age_days = int((day - prices.sessions[row]).astype(int))
    old = int((prices.sessions[-1] - prices.sessions[row]).astype(int)) > _REWRITTEN_AFTER_DAYS
    if prices.basis == "adjusted" and old:
        return None
    per_day = 1.0 if exchange_of(prices.symbol) == EVERY_DAY else _SESSIONS_PER_DAY
    return Context(float(prices.closes[row]), age_days * per_day, symbol_named)


def _refuse_impossible(window: np.ndarray) -> None:
    wrong = np.flatnonzero(~((window >= MIN_PRICE) & (window <= MAX_PRICE)))
    if len(wrong):
        raise InvalidPrices(
            "prices",
            [
                Problem(
                    "out_of_bounds",
                    f"element {i} is {window[i]:g}; a close lies between "
                    f"{MIN_PRICE:g} and {MAX_PRICE:g}",
                )
                for i in wrong
            ],
        )


class PointerFollower:
    """A thread that looks at the pointers every ``interval_s`` seconds."""

    def __init__(self, models: Models, interval_s: float) -> None:
        self._models = models
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pointer-follower", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End within one interval."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            started = time.monotonic()
            try:
                self._models.look_at_all()
            except Exception:  # a follower that dies silently would freeze every model for good
                log.exception("looking at the pointers failed")
            if time.monotonic() - started > 1:
                log.warning("looking at the pointers is slow")
