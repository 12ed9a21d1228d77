"""An immutable snapshot of a bundle, ready to answer for one symbol: loaded whole and tried out."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from closecast.calibration import AdaptiveState, SplitConformal
from closecast.core.arrays import FloatArray
from closecast.core.forecast import PROBABILITIES, growth
from closecast.core.prices import MAX_PRICE, MIN_PRICE
from closecast.core.verdict import Verdict
from closecast.drift import Baseline, Context, DriftDetector, warn_of_unmeasured
from closecast.errors import (
    DamagedBundle,
    InvalidPrices,
    PriceProblem,
    WrongWindowLength,
)
from closecast.forecasters import LocationScale, Predictor, Steps
from closecast.registry.documents import (
    BASELINE_FILE,
    EVALUATION_FILE,
    INTERVALS_FILE,
    Bundle,
    Manifest,
)
from closecast.serving.bundle import AnswerSpeed, LoadedBundle

T = TypeVar("T")

LEVELS = (0.8, 0.95)

_SLOW_S = 0.005
_TOGETHER = 16
_LEVELS_KEPT = 100  # callers choose levels; nobody chooses so many


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
    levels : tuple of float
        Of the intervals.
    rows : sequence of sequences of float
        Per step ahead the median price, then lower and upper end of each level.
    degraded_reason : str or None
        Why this is not what the model says, but the last close with a wide interval.
    """

    symbol: str
    model_version: str
    generation: int
    calibration_revision: int | None
    naive_price: float
    levels: tuple[float, ...]
    rows: Sequence[Sequence[float]]
    verdict: Verdict
    degraded_reason: str | None = None

    @property
    def path(self) -> tuple[Step, ...]:
        """The rows, with names."""
        return tuple(
            Step(
                i + 1,
                row[0],
                tuple(
                    Interval(level, row[2 * k + 1], row[2 * k + 2])
                    for k, level in enumerate(self.levels)
                ),
            )
            for i, row in enumerate(self.rows)
        )


@dataclass(frozen=True, slots=True, eq=False)
class BatchForecast:
    """Forecasts of windows that nobody has looked at yet.

    Attributes
    ----------
    closes : array, shape (m, n)
    prices : array, shape (m, horizon, 1 + 2 levels)
        Median, then the ends of each level.
    """

    closes: FloatArray
    levels: tuple[float, ...]
    prices: FloatArray
    state: AdaptiveState | None


@dataclass(frozen=True)
class Snapshot:
    """One bundle, ready to answer for one symbol. Never changed: a reload makes another."""

    symbol: str
    generation: int
    parts: LoadedBundle
    calibration: SplitConformal
    first_state: AdaptiveState
    """Live calibration as of the end of the bundle's data."""
    detector: DriftDetector
    loaded_at: datetime
    speed: AnswerSpeed = field(default_factory=AnswerSpeed)
    _tables: dict[tuple[float, ...], FloatArray] = field(default_factory=dict, repr=False)
    _states: dict[tuple[float, ...], tuple[AdaptiveState, FloatArray]] = field(
        default_factory=dict, repr=False
    )

    @property
    def manifest(self) -> Manifest:
        """The bundle's."""
        return self.parts.manifest

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.parts.manifest.version

    @property
    def predictor(self) -> Predictor:
        """The bundle's; of all its symbols."""
        return self.parts.predictor

    @property
    def evaluation(self) -> dict[str, Any]:
        """The symbol's, with every row and step; read each time."""
        found: dict[str, Any] = json.loads(self.parts.document(EVALUATION_FILE, self.symbol))
        return found

    @property
    def is_slow(self) -> bool:
        """Whether one answer takes so long that nobody should wait for it in an event loop."""
        return self.speed.alone > _SLOW_S

    @classmethod
    def from_bundle(cls, symbol: str, generation: int, bundle: Bundle) -> Self:
        """:meth:`from_parts` of a bundle that nothing else is made from."""
        return cls.from_parts(symbol, generation, LoadedBundle(bundle))

    @classmethod
    def from_parts(cls, symbol: str, generation: int, parts: LoadedBundle) -> Self:
        """Build and try out.

        Raises
        ------
        DamagedBundle
            If anything is missing, does not parse, or does not answer a harmless window.
        """
        parts.document(EVALUATION_FILE, symbol)
        baseline = Baseline.from_json(parts.document(BASELINE_FILE, symbol))
        warn_of_unmeasured(baseline, parts.manifest.version)
        snapshot = cls(
            symbol=symbol,
            generation=generation,
            parts=parts,
            calibration=SplitConformal.from_json(parts.document(INTERVALS_FILE, symbol)),
            first_state=parts.first_state(symbol),
            detector=DriftDetector(baseline),
            loaded_at=datetime.now(UTC),
        )
        windows = _harmless_windows(parts.manifest.info.seq_length)
        snapshot._try_out(windows[:1])  # the first run also allocates
        if parts.speed is None:
            parts.speed = snapshot._measured(windows)
        return replace(snapshot, speed=parts.speed)

    def _measured(self, windows: list[list[float]]) -> AnswerSpeed:
        alone = [self._try_out([window]) for window in windows]
        rows, took = min((self._try_out(windows) for _ in range(3)), key=itemgetter(1))
        return AnswerSpeed(
            alone=min(seconds for _, seconds in alone),
            each=took / len(windows),
            same_together=rows == [row for [row], _ in alone],
        )

    def _try_out(self, windows: list[list[float]]) -> tuple[list[Any], float]:
        """Answer windows; what is said of each, and the seconds that it took."""
        started = time.perf_counter()
        try:
            answers = self.predict_batch(windows, [None] * len(windows))
            took = time.perf_counter() - started
            self.first_state.forecast(PROBABILITIES)
        except Exception as error:  # a foreign network fails in ways of its own
            raise DamagedBundle(f"bundle {self.version} cannot answer: {error}") from error
        if any(len(answer.rows) != self.manifest.info.horizon for answer in answers):
            raise DamagedBundle(f"bundle {self.version} answers {len(answers[0].rows)} steps")
        return [answer.rows for answer in answers], took

    def predict(
        self,
        closes: Sequence[float],
        context: Context | None = None,
        levels: Sequence[float] = LEVELS,
        state: AdaptiveState | None = None,
    ) -> Prediction:
        """Answer one window: :meth:`predict_batch` of one."""
        return self.predict_batch([closes], [context], levels, state)[0]

    def predict_batch(
        self,
        windows: Sequence[Sequence[float]],
        contexts: Sequence[Context | None],
        levels: Sequence[float] = LEVELS,
        state: AdaptiveState | None = None,
    ) -> list[Prediction]:
        """Answer several windows, each as if it were alone, in a fraction of the time.

        To the last bit where ``speed.same_together`` says so, else to some 1e-7.

        Parameters
        ----------
        windows : sequence of sequences of float
            Closes, as many in each as the bundle's window has, oldest first.
        contexts : sequence of Context or None
            What is known beside each window.
        levels : sequence of float
            Of central intervals, inside (0, 1).
        state : AdaptiveState, optional
            Of a history that ends with these windows: its forecast is the answer.

        Raises
        ------
        WrongWindowLength, InvalidPrices
        TooFewCloses
            If a level needs more past errors than there are.
        """
        return self.judged(self.foretold(self.closes(windows), levels, state), contexts)

    def foretold(
        self,
        closes: FloatArray,
        levels: Sequence[float] = LEVELS,
        state: AdaptiveState | None = None,
    ) -> BatchForecast:
        """The first half of :meth:`predict_batch`: the network's.

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
        levels: Sequence[float] = LEVELS,
        state: AdaptiveState | None = None,
    ) -> Steps[BatchForecast]:
        """:meth:`foretold` in two steps, of which the first may be another thread's.

        Raises
        ------
        TooFewCloses
        """
        wanted = tuple(levels)
        if state is not None:
            living = self._living(state, wanted)
            return Steps(lambda: living, lambda found: self._priced(closes, wanted, found, state))
        quantiles = self._quantiles(wanted)  # a level too many is no work for the network

        def of_windows(found: LocationScale) -> BatchForecast:
            location, scale = found
            returns = location[..., None] + scale[..., None] * quantiles
            return self._priced(closes, wanted, returns, None)

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

    def judged(self, said: BatchForecast, contexts: Sequence[Context | None]) -> list[Prediction]:
        """The other half: what to think of the windows."""
        verdicts = self.detector.check_batch(said.closes, contexts)
        revision = None if said.state is None else said.state.revision
        rows = said.prices.tolist()
        return [
            Prediction(
                self.symbol,
                self.version,
                self.generation,
                revision,
                naive,
                said.levels,
                rows[i],
                verdicts[i],
            )
            for i, naive in enumerate(said.closes[:, -1].tolist())
        ]

    def _quantiles(self, levels: tuple[float, ...]) -> FloatArray:
        """Of the standardised error, shape (horizon, 1 + 2 levels): 0, then the ends in turn."""
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
        """What to think of a window, without a forecast: the same as :meth:`predict` says of it.

        Raises
        ------
        WrongWindowLength, InvalidPrices
        """
        return self.detector.check(self.closes([closes])[0], context)

    def closes(self, windows: Sequence[Sequence[float]]) -> FloatArray:
        """Windows that this bundle can answer, as an array of shape (m, n).

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


def _harmless_windows(length: int) -> list[list[float]]:
    days = np.arange(length)
    sizes = np.linspace(0.005, 0.02, _TOGETHER)
    return [(100 * np.exp(size * np.sin(days))).tolist() for size in sizes]


def _ends_of(levels: Sequence[float]) -> tuple[FloatArray, NDArray[np.int64]]:
    """Ends of central intervals, increasing, each once; and where those of each level are."""
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
                    f"element {i} is {window[i]:g}; a close lies between "
                    f"{MIN_PRICE:g} and {MAX_PRICE:g}",
                )
                for i in wrong
            ],
        )
