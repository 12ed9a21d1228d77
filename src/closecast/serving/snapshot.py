"""The snapshot of one symbol: an immutable model that answers windows of closes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from closecast.calibration import AdaptiveState, SplitConformal
from closecast.core.arrays import FloatArray
from closecast.core.forecast import DEFAULT_LEVELS, growth
from closecast.core.prices import MAX_PRICE, MIN_PRICE
from closecast.core.shown_prices import price_text
from closecast.core.verdict import Verdict
from closecast.drift import Context, DriftDetector
from closecast.errors import (
    DamagedBundle,
    InvalidPrices,
    PriceProblem,
    WrongWindowLength,
)
from closecast.forecasters import LocationScale, Predictor, Steps
from closecast.registry.documents import (
    EVALUATION_FILE,
    Manifest,
)
from closecast.serving.answers import BatchForecast, Prediction
from closecast.serving.bundle import AnswerSpeed, LoadedBundle

T = TypeVar("T")

_SLOW_S = 0.005
_LEVELS_KEPT = 100  # callers choose levels; an honest caller uses a few


@dataclass(frozen=True)
class Snapshot:
    """The model of one symbol in memory. Immutable: a reload makes another one."""

    symbol: str
    generation: int
    parts: LoadedBundle
    calibration: SplitConformal
    first_state: AdaptiveState
    """Live calibration as of the end of the bundle's data."""
    detector: DriftDetector
    loaded_at: datetime
    speed: AnswerSpeed = field(default_factory=AnswerSpeed)
    is_pooled: bool = False
    """Answers for symbols without a model."""
    _tables: dict[tuple[float, ...], FloatArray] = field(default_factory=dict, repr=False)
    _states: dict[tuple[float, ...], tuple[AdaptiveState, FloatArray]] = field(
        default_factory=dict, repr=False
    )

    @property
    def manifest(self) -> Manifest:
        """Manifest of the bundle."""
        return self.parts.manifest

    @property
    def version(self) -> str:
        """Version of the bundle."""
        return self.parts.manifest.version

    @property
    def predictor(self) -> Predictor:
        """Predictor of the bundle, shared by all its symbols."""
        return self.parts.predictor

    @property
    def evaluation(self) -> dict[str, Any]:
        """Evaluation of the symbol, with every row and step; parsed each time."""
        found: dict[str, Any] = json.loads(self.parts.document(EVALUATION_FILE, self.symbol))
        return found

    @property
    def is_slow(self) -> bool:
        """True if one answer takes too long (over 5 ms) for an event loop."""
        return self.speed.alone > _SLOW_S

    def pooled(self) -> Snapshot:
        """The same model for symbols that it was not trained on.

        Its intervals are calibrated by past errors of all symbols of the bundle. May parse them:
        call it in a thread.

        Raises
        ------
        DamagedBundle
        """
        pool = self.parts.pooled_calibration
        return replace(self, calibration=pool, is_pooled=True, _tables={}, _states={})

    def predict(
        self,
        closes: Sequence[float],
        context: Context | None = None,
        levels: Sequence[float] = DEFAULT_LEVELS,
        state: AdaptiveState | None = None,
    ) -> Prediction:
        """Answer one window: :meth:`predict_batch` of one."""
        return self.predict_batch([closes], [context], levels, state)[0]

    def predict_batch(
        self,
        windows: Sequence[Sequence[float]],
        contexts: Sequence[Context | None],
        levels: Sequence[float] = DEFAULT_LEVELS,
        state: AdaptiveState | None = None,
        symbols: Sequence[str | None] | None = None,
    ) -> list[Prediction]:
        """Answer several windows, each as if it were alone, in a fraction of the time.

        Bits are the same if ``speed.same_together``; else they differ by some 1e-7.

        Parameters
        ----------
        windows : sequence of sequences of float
            Closes, as many in each as the bundle's window has, oldest first.
        contexts : sequence of Context or None
            Closes, dates and volume that are known beside each window.
        levels : sequence of float
            Of central intervals, inside (0, 1).
        state : AdaptiveState, optional
            Live calibration of a history that ends with these windows: its forecast is used.
        symbols : sequence of str or None, optional
            Canonical symbols that callers named, or ``None``; the model's own by default.

        Raises
        ------
        WrongWindowLength, InvalidPrices
        TooFewCloses
            If a level needs more past errors than there are.
        """
        forecast = self.forecast(self.closes(windows), levels, state)
        return self.check_forecast(forecast, contexts, symbols)

    def forecast(
        self,
        closes: FloatArray,
        levels: Sequence[float] = DEFAULT_LEVELS,
        state: AdaptiveState | None = None,
    ) -> BatchForecast:
        """Forecast windows before they are checked for drift: half of :meth:`predict_batch`.

        Parameters
        ----------
        closes : array, shape (m, n)
            Of :meth:`closes`.

        Raises
        ------
        TooFewCloses
        """
        return self.steps(closes, levels, state)()

    def steps(
        self,
        closes: FloatArray,
        levels: Sequence[float] = DEFAULT_LEVELS,
        state: AdaptiveState | None = None,
    ) -> Steps[BatchForecast]:
        """:meth:`forecast` in two steps; the first one may run in another thread.

        Raises
        ------
        TooFewCloses
        """
        chosen = tuple(levels)
        if state is not None:
            living = self._living(state, chosen)
            return Steps(lambda: living, lambda found: self._priced(closes, chosen, found, state))
        quantiles = self._quantiles(chosen)  # a level too many is no work for the network

        def of_windows(found: LocationScale) -> BatchForecast:
            location, scale = found
            returns = location[..., None] + scale[..., None] * quantiles
            return self._priced(closes, chosen, returns, None)

        return self.predictor.steps(closes).then(of_windows)

    def _priced(
        self,
        closes: FloatArray,
        levels: tuple[float, ...],
        returns: FloatArray,
        state: AdaptiveState | None,
    ) -> BatchForecast:
        if not np.isfinite(returns).all():
            raise DamagedBundle(f"bundle {self.version} answers no numbers")
        return BatchForecast(closes, levels, closes[:, -1, None, None] * growth(returns), state)

    def check_forecast(
        self,
        forecast: BatchForecast,
        contexts: Sequence[Context | None],
        symbols: Sequence[str | None] | None = None,
    ) -> list[Prediction]:
        """Check forecast windows for drift: the other half of :meth:`predict_batch`."""
        verdicts = self.detector.check_batch(forecast.closes, contexts)
        revision = None if forecast.state is None else forecast.state.revision
        rows, closes_used = forecast.prices.tolist(), forecast.closes.shape[1]
        named = [self.symbol] * len(rows) if symbols is None else symbols
        return [
            Prediction(
                named[i],
                self.symbol,
                self.is_pooled,
                self.version,
                self.generation,
                revision,
                naive,
                forecast.levels,
                rows[i],
                verdicts[i],
                closes_used,
            )
            for i, naive in enumerate(forecast.closes[:, -1].tolist())
        ]

    def _quantiles(self, levels: tuple[float, ...]) -> FloatArray:
        """Quantiles of the standardised error, shape (horizon, 1 + 2 levels): 0, then ends."""
        found = self._tables.get(levels)
        if found is None:
            ends, columns = _ends_of(levels)
            table = self.calibration.quantiles(ends)[:, columns]
            found = np.concatenate([np.zeros((len(table), 1)), table], axis=1)
            _keep(self._tables, levels, found)
        return found

    def _living(self, state: AdaptiveState, levels: tuple[float, ...]) -> FloatArray:
        """Log returns of a history's forecast, shape (1, horizon, 1 + 2 levels)."""
        known = self._states.get(levels)
        if known is not None and known[0] is state:
            return known[1]
        ends, columns = _ends_of(levels)
        forecast = state.forecast(ends)
        parts = [forecast.location[:, None], forecast.quantiles[:, columns]]
        found = np.concatenate(parts, axis=1)[None]
        _keep(self._states, levels, (state, found))
        return found

    def check(self, closes: Sequence[float], context: Context | None = None) -> Verdict:
        """Check a window for drift without a forecast; the verdict is that of :meth:`predict`.

        Raises
        ------
        WrongWindowLength, InvalidPrices
        """
        return self.detector.check(self.closes([closes])[0], context)

    def closes(self, windows: Sequence[Sequence[float]]) -> FloatArray:
        """Check windows, and convert them to an array of shape (m, n).

        Raises
        ------
        WrongWindowLength, InvalidPrices
        """
        length = self.manifest.info.seq_length
        for closes in windows:
            if len(closes) != length:
                raise WrongWindowLength(len(closes), length, self.version)
        found = np.array(windows, dtype=np.float64)
        if not (found.min() >= MIN_PRICE and found.max() <= MAX_PRICE):  # NaN is neither
            for window in found:
                _refuse_impossible(window)
        return found


def _ends_of(levels: Sequence[float]) -> tuple[FloatArray, NDArray[np.int64]]:
    """Probabilities of interval ends, increasing and unique, and the column of each end."""
    in_turn = [p for level in levels for p in ((1 - level) / 2, (1 + level) / 2)]
    return np.unique(np.round(in_turn, 12), return_inverse=True)


def _keep(cache: dict[tuple[float, ...], T], levels: tuple[float, ...], value: T) -> None:
    if len(cache) >= _LEVELS_KEPT:
        cache.clear()
    cache[levels] = value


def _refuse_impossible(window: np.ndarray) -> None:
    wrong = np.flatnonzero(~((window >= MIN_PRICE) & (window <= MAX_PRICE)))
    if len(wrong):
        raise InvalidPrices(
            "prices",
            [
                PriceProblem(
                    "out_of_bounds",
                    f"element {i} is {price_text(window[i])}; a close lies between "
                    f"{price_text(MIN_PRICE)} and {price_text(MAX_PRICE)}",
                )
                for i in wrong
            ],
        )
