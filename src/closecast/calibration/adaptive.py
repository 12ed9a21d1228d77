"""``AdaptiveState``: calibration that learns from every close, without refitting anything.

Three things move with the market, in this order:

1. *Fast factor.* The scale is multiplied by how large the last ten days' errors were beside the
   last 750 (over all symbols of the panel), to the power ``.5 / sqrt(step)``. It answers a crisis
   within days; a window of 750 scores cannot.
2. *Conformal quantiles* over the last 750 standardised errors, half symmetric, half signed.
3. *Coverage tracker* (quantile tracking on the log scale: Angelopoulos, Candes and Tibshirani
   2023, eq. 6, "P control"; with forgetting, so that it is bounded): every miss of the 90 %
   interval, one's own and the panel's, widens what follows, every hit narrows it. At a state that
   never leaves a bounded range no interval is ever empty or infinite.

The state is immutable; :meth:`AdaptiveState.absorb` makes the next one. ``docs/decisions/0008`` has
the measurements behind the constants.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from closecast.calibration.observations import ENDS, OriginForecast, PanelObservation, ScoredClose
from closecast.calibration.quantiles import MEMORY, half_quantiles, needed_scores
from closecast.core.arrays import FloatArray, read_only
from closecast.core.forecast import Forecast
from closecast.errors import DamagedBundle, TooFewCloses

FAST_DAYS = 10
FAST_POWER = 0.5
LEAST_DAYS = 60
"""Panel days before the fast factor leaves 1."""

TRACKED = 0.9075
"""Coverage that the tracker steers the 90 % interval to. Above it, because misses come in
clusters: at 0.905 the worst 250 days of the worst symbol held 0.856, here 0.860."""

LARGEST_SURPRISE = 6.0
"""One symbol's wrong close must not look like a crisis to all others."""

OWN_RATE, PANEL_RATE, FORGETTING = 0.04, 0.1, 0.99
_LARGEST_TILT = 1.0
_LARGEST_FACTOR = 5.0


@dataclass(frozen=True, eq=False)
class AdaptiveState:
    """Calibration of one bundle for one symbol, as of its newest close.

    Attributes
    ----------
    session : datetime64[D]
        The newest close that was absorbed, from which the next forecast starts.
    last_close : float
        That close, in the basis it then had.
    revision : int
        Counts closes absorbed. Answers carry that of the stored state, which also counts on when
        a state is rebuilt after a corrected close.
    tilt : array, shape (horizon,)
        The tracker: log of what intervals are multiplied by.
    surprises : array, shape (m,)
        The panel's mean one-step error sizes, oldest first, at most 750.
    scores : array, shape (rows, horizon)
        Row = origin, oldest first, the newest last; NaN where the close is yet to come.
    origins : array of datetime64[D], shape (w,)
        Origins whose forecasts wait for closes, at most ``horizon``; the last is ``session``.
    location, scale : arrays, shape (w, horizon)
        Their forecasts: median, and scale with the fast factor.
    raw_scale : array, shape (w,)
        The one-step scale without it.
    ends : array, shape (w, horizon, 2)
        Their 90 % interval in units of ``scale`` from ``location``.
    """

    session: np.datetime64
    last_close: float
    revision: int
    tilt: FloatArray
    surprises: FloatArray
    scores: FloatArray
    origins: NDArray[np.datetime64]
    location: FloatArray
    scale: FloatArray
    raw_scale: FloatArray
    ends: FloatArray

    @property
    def horizon(self) -> int:
        """Steps ahead."""
        return len(self.tilt)

    @classmethod
    def start(cls, session: np.datetime64, close: float, base: OriginForecast) -> Self:
        """The state at the first origin: nothing learned, one forecast waiting."""
        horizon = len(base.location)
        return cls(
            session=session,
            last_close=close,
            revision=1,
            tilt=np.zeros(horizon),
            surprises=np.empty(0),
            scores=np.full((1, horizon), np.nan),
            origins=np.array([session], "datetime64[D]"),
            location=base.location[None],
            scale=base.scale[None],
            raw_scale=base.scale[:1].copy(),
            ends=base.ends[None],
        )

    # -- learning ---------------------------------------------------------------------------

    def score(self, log_returns: FloatArray) -> ScoredClose:
        """Hold waiting forecasts against a new close.

        Parameters
        ----------
        log_returns : array, shape (w,)
            From each of ``origins`` to the new close; NaN where one is unknown.
        """
        waiting = len(self.origins)
        steps = np.arange(waiting)  # step h waits at row w - h
        rows = waiting - 1 - steps
        error = log_returns[rows] - self.location[rows, steps]
        score = np.full(self.horizon, np.nan)
        score[:waiting] = error / self.scale[rows, steps]
        lower, upper = self.ends[rows, steps].T
        known = np.isfinite(error)
        miss = np.full(self.horizon, np.nan)
        missed = (score[:waiting] < lower) | (score[:waiting] > upper)
        miss[:waiting] = np.where(known, missed, np.nan)
        surprise = min(float(abs(error[0]) / self.raw_scale[-1]), LARGEST_SURPRISE)
        return ScoredClose(surprise if known[0] else np.nan, score, miss)

    def absorb(
        self,
        session: np.datetime64,
        close: float,
        scored: ScoredClose,
        day: PanelObservation,
        base: OriginForecast,
    ) -> Self:
        """The next state: learn from the close, then state the forecast that starts from it.

        Parameters
        ----------
        scored, day
            Of :meth:`score` for this close, and over the panel on that day.
        base : OriginForecast
            The uncalibrated forecast from the new close on.
        """
        horizon = self.horizon
        aim, steps = 1 - TRACKED, np.arange(1, horizon + 1)
        own = np.where(np.isfinite(scored.misses), scored.misses - aim, 0.0)
        panel = np.where(np.isfinite(day.misses), day.misses - aim, 0.0)
        tilt = FORGETTING * self.tilt + (OWN_RATE * own + PANEL_RATE * panel) / steps
        tilt = np.clip(tilt, -_LARGEST_TILT, _LARGEST_TILT)
        surprises = self.surprises
        if np.isfinite(day.surprise):
            surprises = np.append(surprises, day.surprise)[-MEMORY:]
        scores = self.scores.copy()
        waiting = len(self.origins)
        for step in range(waiting):
            scores[len(scores) - 1 - step, step] = scored.scores[step]
        scores = np.vstack([scores, np.full((1, horizon), np.nan)])[-(MEMORY + horizon) :]
        scale = base.scale * _fast_factor(surprises) ** (FAST_POWER / np.sqrt(steps))
        learned = replace(self, tilt=tilt, surprises=surprises, scores=scores)
        keep = slice(-(horizon - 1), None) if horizon > 1 else slice(0, 0)
        return replace(
            learned,
            session=session,
            last_close=close,
            revision=self.revision + 1,
            origins=np.append(self.origins[keep], session),
            location=np.vstack([self.location[keep], base.location]),
            scale=np.vstack([self.scale[keep], scale]),
            raw_scale=np.append(self.raw_scale[keep], base.scale[0]),
            ends=np.concatenate([self.ends[keep], learned._ends(base, scale)[None]]),
        )

    def _ends(self, base: OriginForecast, scale: FloatArray) -> FloatArray:
        """The 90 % interval of the next forecast in units of its scale, shape (horizon, 2)."""
        ends = base.ends * (base.scale / scale)[:, None]
        if self._known.shape[1] >= needed_scores(0.9):
            ends = half_quantiles(self._known, ENDS)
        return np.asarray(ends * np.exp(self.tilt)[:, None])

    @cached_property
    def _known(self) -> FloatArray:
        """The newest known scores, shape (horizon, n), as many as the step with the fewest has."""
        known = np.isfinite(self.scores)
        n = min(int(known.sum(axis=0).min()), MEMORY)
        columns = (self.scores[known[:, step], step] for step in range(self.horizon))
        return np.stack([column[len(column) - n :] for column in columns])

    # -- forecasting ------------------------------------------------------------------------

    def forecast(self, probabilities: FloatArray) -> Forecast:
        """The forecast from the newest close, calibrated, at any probabilities.

        Raises
        ------
        TooFewCloses
            If the outermost level needs more past errors than there are.
        """
        level = float(np.abs(2 * probabilities - 1).max())
        needed, least = needed_scores(level), self._known.shape[1]
        if least < needed:
            raise TooFewCloses(
                f"a {100 * level:.4g} % interval needs {needed} past forecasts whose close is "
                f"known, there are {least}: {needed - least} more closes are needed"
            )
        table = half_quantiles(self._known, probabilities)
        spread = self.scale[-1] * np.exp(self.tilt)
        location = self.location[-1]
        return Forecast(
            np.asarray(self.last_close),
            location,
            self.scale[-1],
            read_only(probabilities),
            location[:, None] + spread[:, None] * table,
        )

    def path_band(self, level: float) -> tuple[FloatArray, FloatArray]:
        """A band that the whole path stays in with probability ``level``.

        The steps' 95 % intervals, all times one factor: the conformal quantile of the
        largest relative excursion of past paths (the max statistic of simultaneous
        confidence bands; Montiel Olea and Plagborg-Moller 2019, algorithm 2).

        Returns
        -------
        lower, upper : arrays, shape (horizon,), log returns from the last close

        Raises
        ------
        TooFewCloses
            If there are too few whole past paths.
        """
        paths = self.scores[np.isfinite(self.scores).all(axis=1)][-MEMORY:]
        needed = max(needed_scores(0.95), int(np.ceil(1 / (1 - level) - 1e-9)) - 1)
        if len(paths) < needed:
            raise TooFewCloses(
                f"a {100 * level:.4g} % path band needs {needed} past paths whose closes are "
                f"known, there are {len(paths)}: {needed - len(paths)} more closes are needed"
            )
        ends = half_quantiles(self._known, np.array([0.025, 0.975]))
        lower, upper = np.minimum(ends[:, 0], -1e-9), np.maximum(ends[:, 1], 1e-9)
        excursion = np.sort(np.maximum(paths / upper, paths / lower).max(axis=1))
        rank = int(np.ceil((len(paths) + 1) * level - 1e-9)) - 1
        factor = excursion[min(rank, len(paths) - 1)]
        spread = self.scale[-1] * np.exp(self.tilt) * factor
        location = self.location[-1]
        return location + spread * lower, location + spread * upper

    # -- storing ----------------------------------------------------------------------------

    def to_parts(self) -> tuple[bytes, ...]:
        """Values shared by all steps, then one part per step; exact."""
        shared = {
            "session": np.asarray(self.session).astype("datetime64[D]").astype("<i8"),
            "last_close": np.float64(self.last_close),
            "revision": np.int64(self.revision),
            "tilt": self.tilt,
            "surprises": self.surprises,
            "origins": self.origins.astype("datetime64[D]").astype("<i8"),
            "location": self.location,
            "scale": self.scale,
            "raw_scale": self.raw_scale,
            "ends": self.ends,
        }
        buffer = io.BytesIO()
        np.savez(buffer, **shared)  # type: ignore[arg-type]
        columns = (self.scores[:, step].astype("<f8").tobytes() for step in range(self.horizon))
        return buffer.getvalue(), *columns

    @classmethod
    def from_parts(cls, parts: Sequence[bytes]) -> Self:
        """Read :meth:`to_parts`.

        Raises
        ------
        DamagedBundle
            If it is something else.
        """
        try:
            with np.load(io.BytesIO(parts[0]), allow_pickle=False) as file:
                shared = {name: file[name] for name in file.files}
            scores = np.stack([np.frombuffer(part, "<f8") for part in parts[1:]], axis=1)
            state = cls(
                session=np.datetime64(int(shared.pop("session")), "D"),
                last_close=float(shared.pop("last_close")),
                revision=int(shared.pop("revision")),
                origins=shared.pop("origins").astype("datetime64[D]"),
                scores=scores,
                **shared,
            )
            state._check()
        except Exception as error:  # numpy's and zip's readers raise a dozen kinds on wrong bytes
            raise DamagedBundle(f"a calibration state does not parse: {error!r}") from error
        return state

    def _check(self) -> None:
        waiting, horizon = len(self.origins), self.horizon
        shapes = {
            "scores": (len(self.scores), horizon),
            "location": (waiting, horizon),
            "scale": (waiting, horizon),
            "raw_scale": (waiting,),
            "ends": (waiting, horizon, 2),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape or not waiting:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, not {shape}")
        for name in ("location", "scale", "raw_scale", "ends", "tilt", "surprises"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} holds values that are not finite")


def _fast_factor(surprises: FloatArray) -> float:
    """Size of the newest errors beside the remembered ones; 1 while too little is known."""
    if len(surprises) < LEAST_DAYS:
        return 1.0
    usual = float(surprises.mean())
    if usual <= 0:
        return 1.0
    return float(
        np.clip(surprises[-FAST_DAYS:].mean() / usual, 1 / _LARGEST_FACTOR, _LARGEST_FACTOR)
    )
