"""Serving: immutable snapshots of bundles, loaded whole, tried out, swapped by one assignment."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

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
    DamagedBundle,
    InvalidPrices,
    Problem,
    WrongWindowLength,
)
from closecast.forecast import PROBABILITIES
from closecast.forecasters import Predictor, load_predictor
from closecast.intervals import Calibration, LiveState, load_state
from closecast.prices import MAX_PRICE, MIN_PRICE
from closecast.verdict import Verdict

log = logging.getLogger(__name__)

LEVELS = (0.8, 0.95)

_SLOW_S = 0.005


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
    """Everything that one window is answered with. Plain numbers, no arrays.

    Attributes
    ----------
    calibration_revision : int or None
        That of the live calibration, where the answer knows the history.
    degraded_reason : str or None
        Why this is not what the model says, but the last close with a wide interval.
    """

    symbol: str
    model_version: str
    calibration_revision: int | None
    naive_price: float
    path: tuple[Step, ...]
    verdict: Verdict
    degraded_reason: str | None = None


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

    def predict(
        self,
        closes: Sequence[float],
        context: Context | None = None,
        levels: Sequence[float] = LEVELS,
        state: LiveState | None = None,
    ) -> Prediction:
        """Answer one window.

        Parameters
        ----------
        closes : sequence of float
            As many as the bundle's window has, oldest first.
        levels : sequence of float
            Of central intervals, inside (0, 1).
        state : LiveState, optional
            Of a history that ends with this window: its forecast is the answer.

        Raises
        ------
        WrongWindowLength, InvalidPrices
        TooFewCloses
            If a level needs more past errors than there are.
        """
        window = self._window(closes)
        if state is not None:
            forecast = replace(state.forecast(_ends_of(levels)), last_close=window[-1])
        else:
            forecast = self.predictor.predict(window)
            if tuple(levels) == LEVELS:
                forecast = self.calibration.apply(forecast)
            else:
                forecast = self.calibration.at(forecast, _ends_of(levels))
        prices = forecast.price.tolist()
        ends = [(level, *forecast.interval(level)) for level in levels]
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
        revision = None if state is None else state.revision
        return Prediction(self.symbol, self.version, revision, float(window[-1]), path, verdict)

    def check(self, closes: Sequence[float], context: Context | None = None) -> Verdict:
        """What to think of a window, without a forecast: the same as :meth:`predict` says of it.

        Raises
        ------
        WrongWindowLength, InvalidPrices
        """
        return self.detector.check(self._window(closes), context)

    def _window(self, closes: Sequence[float]) -> np.ndarray:
        length = self.manifest.info.seq_length
        if len(closes) != length:
            raise WrongWindowLength(len(closes), length, self.version)
        window = np.asarray(closes, dtype=np.float64)
        _refuse_impossible(window)
        return window


def _ends_of(levels: Sequence[float]) -> np.ndarray:
    """Both ends of central intervals, increasing, each once."""
    return np.unique([p for level in levels for p in ((1 - level) / 2, (1 + level) / 2)])


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
