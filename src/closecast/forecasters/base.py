"""The port of all models: a ``Forecaster`` is trainable, a ``Predictor`` is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Self, TypeVar, final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from closecast.core.arrays import FloatArray
from closecast.core.forecast import Forecast
from closecast.core.prices import Prices
from closecast.errors import TooFewCloses

T = TypeVar("T")
U = TypeVar("U")
Watch = Callable[[Mapping[str, Any]], None]
"""Receives training progress (``epoch``, ``epochs``, ``train_loss``, ``valid_loss``, …).

It may raise to stop the training: :class:`closecast.errors.JobCancelled`.
"""


def ignore_progress(progress: Mapping[str, Any]) -> None:
    """Watch nothing."""


class Parameters(BaseModel):
    """Hyper-parameters that every forecaster has. Bounds are part of the contract."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    seq_length: int = Field(60, ge=10, le=512, description="Closes in a window.")
    horizon: int = Field(10, ge=1, le=30, description="Sessions ahead, all predicted at once.")
    train_size: float = Field(
        0.7, ge=0.3, le=0.9, description="Share of rows to train on; the rest is halved."
    )
    seed: int = Field(42, ge=0, le=2**31 - 1, description="Seed of everything random.")


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What happened during ``fit``.

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


class Predictor(ABC):
    """A trained model. Immutable; carries its own preprocessing; saves without pickle."""

    name: ClassVar[str]
    uses_history: ClassVar[bool] = False
    """Whether :meth:`predict_along` answers differently from :meth:`predict_batch`."""

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

        What serving calibrates by itself; a predictor that is quicker without its quantiles
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
        whatever comes after it.

        Parameters
        ----------
        series : sequence of Prices
            Whole histories, one per symbol.
        newest : int, optional
            Only the last so many origins of each.

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
        """Learn from ``train``, choose by ``valid``; the report says from and by which closes.

        Parameters
        ----------
        train, valid : sequences of Prices
            One or several series; windows are cut inside each, never across. Each series of
            ``train`` has its part in ``valid`` at the same place.
        start_from : Predictor, optional
            Continue from its weights (fine-tuning), where that means something.
        watch : callable
            Told of progress.

        Raises
        ------
        TooFewCloses
            If a series is too short for one window.
        """
        predictor = self._fit(train, valid, start_from=start_from, watch=watch)
        return predictor.with_training(
            replace(
                predictor.training,
                learned_from=tuple(prices.content_hash for prices in train),
                chosen_by=tuple(prices.content_hash for prices in valid),
            )
        )

    @abstractmethod
    def _fit(
        self,
        train: Sequence[Prices],
        valid: Sequence[Prices],
        *,
        start_from: Predictor | None,
        watch: Watch,
    ) -> Predictor:
        """What :meth:`fit` promises, but for what the report says of the closes."""
