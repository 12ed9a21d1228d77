"""Forecasts at every origin of a test part, as they would have been served there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from closecast.calibration import MEMORY, AdaptiveState, PanelMember, SplitConformal, follow
from closecast.core.arrays import FloatArray
from closecast.core.dataset import Examples, Split, make_examples
from closecast.core.forecast import PROBABILITIES, Forecast, stack
from closecast.core.prices import Prices
from closecast.core.progress import FractionWatch, ignore_fraction
from closecast.errors import TooFewCloses
from closecast.forecasters import Predictor


def calibrate(predictor: Predictor, valid: Sequence[Prices]) -> SplitConformal:
    """Interval state from the validation part: rows the predictor was not trained on."""
    parts = [make_examples(s, predictor.seq_length, predictor.horizon) for s in valid]
    windows = np.concatenate([part.windows for part in parts])
    targets = np.concatenate([part.targets for part in parts])
    return SplitConformal.from_forecasts(predictor.predict_batch(windows), targets)


@dataclass(frozen=True, slots=True)
class ScoredModel:
    """A model to be scored: one predictor per symbol (the same one where it is pooled).

    Attributes
    ----------
    predictors : mapping of symbol to Predictor
        A symbol that is missing here is not scored.
    calibrations : mapping of symbol to Calibration
        Of the "window only" row; where one is missing the predictor's own quantiles stand.
    with_history : bool
        Whether there is a second row, with the history and live calibration.
    label : str
        Its name in the results; the forecaster's name where it is empty.
    companions : sequence of Prices
        Other series that the predictor knows where it serves, and that are not scored.
    judged_from : mapping of symbol to datetime64[D]
        First session that no part of it has learned from or been chosen by; where it is
        missing, the test part's.
    """

    predictors: Mapping[str, Predictor]
    calibrations: Mapping[str, SplitConformal]
    with_history: bool = True
    label: str = ""
    companions: Sequence[Prices] = ()
    judged_from: Mapping[str, np.datetime64] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name in every row."""
        return self.label or next(iter(self.predictors.values())).name


@dataclass(frozen=True, slots=True)
class HistoryForecasts:
    """A contender's forecasts with history, and the calibration as of the last close.

    Attributes
    ----------
    forecasts : mapping of symbol to Forecast
        One row per origin of the test part.
    states : mapping of symbol to AdaptiveState
        State after every close of the data, from which serving continues.
    """

    forecasts: Mapping[str, Forecast]
    states: Mapping[str, AdaptiveState]


def roll(
    predictor: Predictor,
    calibration: SplitConformal | None,
    examples: Examples,
    split: Split | None = None,
) -> Forecast:
    """Forecasts at every origin from windows alone, as they would have been served.

    Without ``calibration`` the predictor's own quantiles stand. ``split`` is that of the
    examples, and needed where the predictor takes windows of another length than theirs.
    """
    windows = examples.windows
    if split is not None and windows.shape[1] != predictor.seq_length:
        windows = _windows_ending_at(split, examples.origins, predictor.seq_length)
    forecast = predictor.predict_batch(windows)
    return forecast if calibration is None else calibration.apply(forecast)


def roll_with_history(
    splits: Sequence[Split],
    contender: ScoredModel,
    shape: tuple[int, int] | None = None,
    watch: FractionWatch = ignore_fraction,
) -> HistoryForecasts:
    """Forecasts at every origin with histories and live calibration, as they would be served.

    The calibration begins 750 origins and a few before the test part, so that its scores are
    full when the test begins. Early ones are of rows that the network has learned from; they are
    gone from its memory three years later.

    Parameters
    ----------
    shape : (int, int), optional
        Window length and horizon that decide which rows are origins; the contender's own by
        default.
    watch : callable
        Receives the fraction that is done, 0 to 1; may raise to stop.
    """
    splits = [split for split in splits if split.test.symbol in contender.predictors]
    sample = next(iter(contender.predictors.values()))
    length, horizon = shape or (sample.seq_length, sample.horizon)
    series: list[PanelMember] = []
    starts = []
    for predictor in {id(p): p for p in contender.predictors.values()}.values():
        memory = MEMORY + 2 * predictor.horizon
        members = [s for s in splits if contender.predictors[s.test.symbol] is predictor]
        whole = [s.whole for s in members]
        first_rows = [len(w) - len(s.test) for w, s in zip(whole, members, strict=True)]
        newest = max(len(s.test) for s in members) + memory
        known = [*whole, *contender.companions]
        for prices, forecast in zip(known, predictor.predict_along(known, newest), strict=True):
            series.append(PanelMember(prices, forecast))
        starts += [
            w.sessions[max(0, row - memory)] for w, row in zip(whole, first_rows, strict=True)
        ]
    tests = {s.test.symbol: s.test for s in splits}
    found: dict[str, list[Forecast]] = {symbol: [] for symbol in tests}
    states: dict[str, AdaptiveState] = {}
    start, end = min(starts), max(one.prices.sessions[-1] for one in series)
    for day, after in follow(series, start):
        watch(float((day - start) / max(end - start, np.timedelta64(1, "D"))))
        states |= after
        for symbol, state in after.items():
            test = tests.get(symbol)
            if test is not None and test.sessions[length - 1] <= day <= test.sessions[-horizon - 1]:
                found[symbol].append(state.forecast(PROBABILITIES))
    return HistoryForecasts(
        {symbol: stack(forecasts) for symbol, forecasts in found.items()},
        {symbol: state for symbol, state in states.items() if symbol in tests},
    )


def _windows_ending_at(split: Split, origins: NDArray[np.int64], length: int) -> FloatArray:
    """Windows of another length that end at rows of the test part, shape (n, length).

    Raises
    ------
    TooFewCloses
        If the data do not reach back far enough for the first.
    """
    before = len(split.train) + len(split.valid)
    starts = before + origins - length + 1
    if starts[0] < 0:
        raise TooFewCloses(
            f"{split.test.symbol}: {before + int(origins[0]) + 1} closes up to the first origin, "
            f"a window needs {length}"
        )
    return np.asarray(sliding_window_view(split.whole.closes, length)[starts])
