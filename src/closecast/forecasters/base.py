"""The port of all models: a ``Forecaster`` is trainable, a ``Predictor`` is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any, ClassVar, Generic, Self, TypeVar, final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray, read_only
from closecast.core.dataset import log_returns, make_examples
from closecast.core.forecast import PROBABILITIES, Forecast
from closecast.core.prices import Prices
from closecast.errors import TooFewCloses
from closecast.forecasters.files import dump_state, reading
from closecast.forecasters.parameters import Parameters
from closecast.forecasters.rows import TrainingRows, View

T = TypeVar("T")
U = TypeVar("U")
Watch = Callable[[Mapping[str, Any]], None]
"""Receives training progress (``epoch``, ``epochs``, ``train_loss``, ``valid_loss``, …).

It may raise to stop the training: :class:`closecast.errors.JobCancelled`.
"""


def ignore_progress(progress: Mapping[str, Any]) -> None:
    """Watch nothing."""


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """Record of a training.

    Attributes
    ----------
    learned_from, chosen_by : tuple of str
        Content hashes of the series that ``fit`` was given as ``train`` and ``valid``. The
        look-ahead check compares them with the parts that a model may know.
    """

    learned_from: tuple[str, ...] = ()
    chosen_by: tuple[str, ...] = ()
    seconds: float = 0.0
    best_epoch: int | None = None
    best_valid_loss: float | None = None
    epochs: tuple[Mapping[str, float], ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Runtime:
    """On what a training runs; no part of what is learned.

    ``accelerator`` is Lightning's (``cpu``, ``gpu``, ``mps``, ``auto``).
    """

    accelerator: str = "cpu"
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Steps(Generic[T]):
    """Work in two steps.

    Attributes
    ----------
    run : callable
        Most of the work, for a thread of its own. A network's is compiled code that needs no lock
        of Python's, and takes nothing from the others.
    finish : callable
        The rest, of what ``run`` answered.
    """

    run: Callable[[], Any]
    finish: Callable[[Any], T]

    def __call__(self) -> T:
        """Both steps."""
        return self.finish(self.run())

    def then(self, more: Callable[[T], U]) -> Steps[U]:
        """The same, and something after it."""
        return Steps(self.run, lambda found: more(self.finish(found)))


LocationScale = tuple[FloatArray, FloatArray]

NORMAL_QUANTILES = read_only([NormalDist().inv_cdf(p) for p in PROBABILITIES])
"""Quantiles of the standard normal law at ``PROBABILITIES``."""


class Predictor(ABC):
    """A trained model. Immutable; carries its own preprocessing; saves without pickle."""

    name: ClassVar[str]
    uses_history: ClassVar[bool] = False
    """True if :meth:`predict_along` answers differently from :meth:`predict_batch`."""

    seq_length: int
    horizon: int
    training: TrainingReport = TrainingReport()

    @abstractmethod
    def predict_batch(self, windows: FloatArray) -> Forecast:
        """Forecasts from windows alone.

        Parameters
        ----------
        windows : array, shape (n, seq_length)
            Positive, finite closes, oldest first.

        Returns
        -------
        Forecast
            A batch of ``n``; quantiles at :data:`closecast.core.forecast.PROBABILITIES`.
        """

    def location_scale(self, windows: FloatArray) -> LocationScale:
        """Location and scale of :meth:`predict_batch`, shapes (n, horizon): the same bits.

        Serving calibrates them itself; a predictor that is quicker without its quantiles
        overrides this.
        """
        forecast = self.predict_batch(windows)
        return forecast.location, forecast.scale

    def steps(self, windows: FloatArray) -> Steps[LocationScale]:
        """:meth:`location_scale` in two steps; a predictor with a network overrides this."""
        return Steps(lambda: self.location_scale(windows), lambda found: found)

    def with_training(self, training: TrainingReport) -> Self:
        """The same model with another report of how it came about."""
        made = copy(self)
        object.__setattr__(made, "training", training)  # models are frozen dataclasses
        return made

    def predict(self, window: FloatArray) -> Forecast:
        """The forecast from one window, shape (seq_length,)."""
        return self.predict_batch(window[None, :])[0]

    def predict_along(self, series: Sequence[Prices], newest: int | None = None) -> list[Forecast]:
        """Forecasts at the origins of series that are known together, each with its history.

        At an origin everything up to its day is used: the symbol's own past and that of the
        others on its exchange. Nothing later is, and the answer at an origin is the same bits
        independent of later closes.

        Parameters
        ----------
        series : sequence of Prices
            Whole histories, one per symbol.
        newest : int, optional
            Only this number of newest origins of each.

        Returns
        -------
        list of Forecast
            One batch per series, a row per origin of :meth:`origins`.
        """
        starts = [self.origins(prices, newest) - self.seq_length + 1 for prices in series]
        return [
            self.predict_batch(sliding_window_view(prices.closes, self.seq_length)[rows])
            for prices, rows in zip(series, starts, strict=True)
        ]

    def origins(self, prices: Prices, newest: int | None = None) -> NDArray[np.int64]:
        """Rows of ``prices`` that a forecast can start from, oldest first.

        Raises
        ------
        TooFewCloses
            If there is none.
        """
        if len(prices) < self.seq_length:
            raise TooFewCloses(
                f"{prices.symbol}: {len(prices)} closes, a forecast needs {self.seq_length}"
            )
        first = self.seq_length - 1
        return np.arange(first if newest is None else max(first, len(prices) - newest), len(prices))

    @abstractmethod
    def to_files(self) -> dict[str, bytes]:
        """Everything :meth:`from_files` needs, as named byte strings."""

    @classmethod
    @abstractmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Rebuild; executes nothing that the files contain.

        Raises
        ------
        DamagedBundle
            If a file is missing or does not parse.
        """


@dataclass(frozen=True, eq=False)
class LocationScalePredictor(Predictor):
    """A predictor whose quantiles are location + scale x fixed standardised quantiles.

    A subclass is a frozen dataclass that implements :meth:`location_scale`, and overrides
    :attr:`standard_quantiles` where its errors are not normal. If its fields are numbers and arrays
    it needs no more: they are its file.
    """

    seq_length: int
    horizon: int

    @property
    def standard_quantiles(self) -> FloatArray:
        """Standardised quantiles, shape (39,) or (horizon, 39); the standard normal's here."""
        return NORMAL_QUANTILES

    @cached_property
    def roots(self) -> FloatArray:
        """Growth of a random walk's standard deviation by step, shape (horizon,)."""
        return np.sqrt(np.arange(1, self.horizon + 1))

    @abstractmethod
    def location_scale(self, windows: FloatArray) -> LocationScale:
        """Location and scale of the log return from the last close, shapes (n, horizon)."""

    def predict_batch(self, windows: FloatArray) -> Forecast:
        location, scale = self.location_scale(windows)
        quantiles = location[:, :, None] + scale[:, :, None] * self.standard_quantiles
        return Forecast(windows[:, -1], location, scale, PROBABILITIES, quantiles)

    def to_files(self) -> dict[str, bytes]:
        state = {one.name: getattr(self, one.name) for one in fields(self)}
        return dump_state(state)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        with reading(files) as state:
            return cls(**state)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Closes to learn from, and how to go about it; see :meth:`Forecaster.fit`.

    Attributes
    ----------
    train, valid : sequences of Prices
        The part to learn from, and the part to choose by (early stopping).
    start_from : Predictor or None
        Continue from its weights (fine-tuning), where that means something.
    watch : callable
        Receives progress.
    """

    train: Sequence[Prices]
    valid: Sequence[Prices]
    start_from: Predictor | None = None
    watch: Watch = ignore_progress


BaseParameters = Parameters  # inside Forecaster the name means the class's own parameters


class Forecaster(ABC):
    """A recipe. ``fit`` returns a new :class:`Predictor` and changes nothing in the recipe.

    A new one implements :meth:`_fit`.
    """

    name: ClassVar[str]
    Parameters: ClassVar[type[Parameters]] = Parameters

    def __init__(
        self, parameters: BaseParameters | None = None, runtime: Runtime = Runtime()
    ) -> None:
        self.parameters = parameters or self.Parameters()
        self.runtime = runtime

    @final
    def fit(
        self,
        train: Sequence[Prices],
        valid: Sequence[Prices],
        *,
        start_from: Predictor | None = None,
        watch: Watch = ignore_progress,
    ) -> Predictor:
        """Learn from ``train``, choose by ``valid``; the report names the closes of both.

        Parameters
        ----------
        train, valid : sequences of Prices
            One or several series; windows are cut inside each, never across. Each series of
            ``train`` has its part in ``valid`` at the same place.
        start_from : Predictor, optional
            Continue from its weights (fine-tuning), where that means something.
        watch : callable
            Receives progress.

        Raises
        ------
        TooFewCloses
            If a series is too short for one window.
        """
        predictor = self._fit(TrainingData(train, valid, start_from, watch))
        return predictor.with_training(
            replace(
                predictor.training,
                learned_from=tuple(prices.content_hash for prices in train),
                chosen_by=tuple(prices.content_hash for prices in valid),
            )
        )

    def training_rows(
        self, series: Sequence[Prices], train: Sequence[Prices]
    ) -> Mapping[View, Sequence[TrainingRows]]:
        """Rows that :meth:`fit` would learn from, were ``series`` its training part, by view.

        The look-ahead check inspects them. A forecaster with inputs of its own overrides this, and
        its ``_fit`` takes its rows from here. Constants, such as a floor under the volatility, are
        learned from ``train`` alone: the training part of each series, in the same order.
        """
        p = self.parameters
        examples = [make_examples(prices, p.seq_length, p.horizon) for prices in series]
        return {"window": [TrainingRows(log_returns(e.windows), None, e.targets) for e in examples]}

    @abstractmethod
    def _fit(self, data: TrainingData) -> Predictor:
        """Return a new predictor; :meth:`fit` adds to its report which closes were used."""
