"""``Monitor``: evidence, added up session by session, that a model no longer fits its market.

A regime that no single window shows is found by accumulation. Two things are watched, each one
session ahead: whether the 90 % interval that was served missed (it learns from every close, so a
miss that keeps coming back is one that it cannot learn away), and how far out in the tails of the
model *as it was trained* the return fell (that one does not learn, so it remembers what a normal
market was).

Each session brings every bet an e-value ``L``: a non-negative number whose expectation, given
all that is known before the session, is at most 1 while the model fits. A bet's Shiryaev-Roberts
value ``M' = (1 + M) L`` sums the products since every possible beginning of a change, and
``E[M_t] <= t``. So is that of any fixed mixture, and by optional stopping the first session T at
which the mixture is ``ARL0`` or more has ``ARL0 <= E[M_T] <= E[T]``: no asymptotics, no
independence, no law of the returns (Shin, Ramdas and Rinaldo 2023, "E-detectors: a nonparametric
framework for sequential change detection", New England J. Statist. Data Sci., article 59).

Measured (``python -m benchmarks.drift.monitor``): ARL0 1,700 on sessions that fit, because evidence
overshoots. From the first session on, the median delay is 12 sessions when half of the closes are
missed and 43 at a quarter (12 and 46 where the tails show nothing); 10 and 35 after a year that
fitted (10 and 38).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from closecast.core.arrays import FloatArray, read_only
from closecast.errors import DamagedBundle

ARL0 = 1000.0
"""Sessions between false alarms of one symbol, at least, on average: four years. Also the value
of the evidence that an alarm is raised at."""

MISS_RATE = 0.10
"""Of the 90 % interval, at most, while the model fits."""


@dataclass(frozen=True, slots=True)
class Bet:
    """One way in which sessions may stop to fit, and its share of the evidence.

    Attributes
    ----------
    on : str
        ``miss``: misses of the 90 % interval; ``shock``: tail probabilities.
    parameter : float
        Of a bet on misses, the rate of misses that it is best against. Of a bet on shocks,
        ``kappa`` of the calibrator ``kappa u ** (kappa - 1)`` of a p-value u (Shafer, Shen,
        Vereshchagin and Vovk 2011, Statist. Sci. 26, 84-101).
    share : float
        Of the evidence; the shares of all bets add up to 1.
    """

    on: Literal["miss", "shock"]
    parameter: float
    share: float


BET_TABLE = (
    Bet("miss", 0.25, 0.24),
    Bet("miss", 0.5, 0.36),
    Bet("shock", 0.5, 0.2),
    Bet("shock", 0.7, 0.2),
)
"""All bets. Stored monitors hold one value per bet in this order, so a new bet goes to the end.

A third bet on misses, of rate 0.2, finds that rate four sessions earlier after a year that fitted,
and rates of 0.35 and 0.5 one session later. With shares of shocks of 0.5 instead of 0.4 in all, the
delay at 25 % misses is a session longer; without bets on shocks, models of 2018 notice March 2020
in 3 of 40 cases, with them in 37."""

_LEAST_BETS = 4
"""Of stored monitors: no version had fewer."""

LEAST_TAIL = 1e-3
"""A tail probability is not believed below it: at most 16 for one session, so that a wrong close
alone raises no alarm. A larger p-value has a smaller e-value, so nothing is lost of the promise."""

LARGEST = 1e6
"""Value that a bet stops at, which keeps the promise, too. It decides how long an alarm
outlives its regime: see :class:`Monitor`. The bets on shocks alone can bring a symbol to 400 times
``ARL0``: enough for a single discovery among 400 symbols."""

_PARAMETERS = read_only([bet.parameter for bet in BET_TABLE])
_ON_MISSES = np.array([bet.on == "miss" for bet in BET_TABLE])
_SHARES = read_only([bet.share for bet in BET_TABLE])
BETS = len(BET_TABLE)


def e_values(misses: FloatArray, tails: FloatArray) -> FloatArray:
    """E-values of one session, one per bet.

    Parameters
    ----------
    misses : array, shape (...)
        1 where the 90 % interval missed, 0 where it held, NaN where it is not known.
    tails : array, shape (...)
        Two-sided tail probability of the return, in [0, 1]; NaN where it is not known.

    Returns
    -------
    array, shape (..., BETS)
        NaN for the bets on what is not known.
    """
    missed = np.asarray(misses)[..., None]
    best, kept = _PARAMETERS / MISS_RATE, (1 - _PARAMETERS) / (1 - MISS_RATE)
    ratios = np.where(np.isnan(missed), np.nan, np.where(missed > 0, best, kept))
    u = np.maximum(np.asarray(tails)[..., None], LEAST_TAIL)
    return np.where(_ON_MISSES, ratios, _PARAMETERS * u ** (_PARAMETERS - 1))


def accumulate(values: FloatArray, misses: FloatArray, tails: FloatArray) -> FloatArray:
    """Values of the bets after one more session, for any number of monitors at once.

    A bet on what is not known stays as it is.

    Parameters
    ----------
    values : array, shape (..., BETS)
    misses, tails : arrays, shape (...)
        As :func:`e_values` takes them.
    """
    session = e_values(misses, tails)
    return np.where(np.isnan(session), values, np.minimum((1 + values) * session, LARGEST))


def evidence_of(values: FloatArray) -> FloatArray:
    """The mixture of the bets, shape (..., BETS) to (...)."""
    return np.asarray((values * _SHARES).sum(axis=-1))


def tail_probability(scores: FloatArray, score: float) -> float:
    """Two-sided tail probability of a standardised error among those of the calibration.

    The conformal p-value: where the error comes from the same law as the ``n`` scores, it is at
    most u with probability u or less, for every u and any law (Vovk, Gammerman and Shafer 2005,
    section 2.2).

    >>> tail_probability(np.array([-2.0, 0.5, 1.0, -0.1]), 1.5)
    0.4
    """
    outside = int((np.abs(scores) >= abs(score)).sum())
    return (1 + outside) / (1 + len(scores))


@dataclass(frozen=True, slots=True)
class Monitor:
    """The evidence against one model for one symbol. Immutable.

    While the evidence is at ``ARL0`` or above, the monitor is in alarm. It does not begin anew:
    the alarm stays for as long as the regime does, and when that is over, sessions that fit take
    the evidence down by themselves (it may cross the line more than once on the way). That takes a
    median of 80 sessions (nine in ten: 145), whether half of the closes were missed for 60
    sessions or a quarter for 250: evidence that grew for months is not gone in a week, and without
    ``LARGEST`` it would stay for a year. A new model begins with a new monitor.

    Attributes
    ----------
    values : tuple of float, length BETS
        Shiryaev-Roberts value of each bet, misses first, in [0, ``LARGEST``].

    Examples
    --------
    >>> monitor = Monitor()
    >>> for _ in range(4):
    ...     monitor = monitor.after(missed=True, tail=0.02)
    >>> round(monitor.evidence), monitor.in_alarm
    (348, False)
    >>> monitor.after(missed=True, tail=0.02).in_alarm
    True
    """

    values: tuple[float, ...] = (0.0,) * BETS

    @property
    def evidence(self) -> float:
        """In sessions: E[evidence] is at most the number of sessions seen while the model fits."""
        return float(evidence_of(np.array(self.values)))

    @property
    def in_alarm(self) -> bool:
        """True while the evidence is ``ARL0`` or more."""
        return self.evidence >= ARL0

    def after(self, missed: bool | None, tail: float | None) -> Self:
        """The monitor after one more session.

        Parameters
        ----------
        missed : bool or None
            Whether the 90 % interval missed the close; ``None`` where it is not known.
        tail : float or None
            Two-sided tail probability of the return under the model as it was trained, in
            [0, 1]; ``None`` where it is not known.

        Raises
        ------
        ValueError
            If ``tail`` is no probability.
        """
        if tail is not None and not 0 <= tail <= 1:
            raise ValueError(f"a tail probability lies in [0, 1], not at {tail!r}")
        values = accumulate(
            np.array(self.values),
            np.array(np.nan if missed is None else float(missed)),
            np.array(np.nan if tail is None else tail),
        )
        return type(self)(tuple(values.tolist()))

    @classmethod
    def from_values(cls, values: Sequence[float]) -> Self:
        """Read stored ``values``.

        Bets that are newer than the stored values begin at 0, as in a new monitor.

        Raises
        ------
        DamagedBundle
            If they are not one number from 0 to ``LARGEST`` for each bet.
        """
        try:
            stored = tuple(float(value) for value in values)
        except (TypeError, ValueError) as error:
            raise DamagedBundle(f"a drift monitor holds no numbers: {error}") from error
        if not (
            _LEAST_BETS <= len(stored) <= BETS and all(0 <= value <= LARGEST for value in stored)
        ):
            raise DamagedBundle(
                f"a drift monitor has {BETS} values between 0 and {LARGEST:g}, not {stored}"
            )
        return cls(stored + (0.0,) * (BETS - len(stored)))


def discoveries(evidence: Mapping[str, float], arl0: float = ARL0) -> frozenset[str]:
    """Select, among many symbols, those whose model no longer fits: e-d-BH.

    The ``k`` symbols with the most evidence, for the largest ``k`` at which each of them has
    ``K arl0 / k`` or more, K symbols in all. For any dependence between symbols, at any
    stopping time tau the expected share of false discoveries is at most ``E[tau] / arl0``: the
    error over patience is at most ``1 / arl0`` (Dandapanthula and Ramdas 2025, "Multiple testing
    in multi-stream sequential change detection", arXiv 2501.04130, algorithm e-d-BH). A mere
    false discovery rate cannot be promised by anything that also answers in finite time.

    Proof: a false discovery among k has evidence M of at least ``K arl0 / k``, so the share of
    false ones is at most the sum over fitting symbols of ``M / (K arl0)``; each of the at most K
    terms has expectation ``E[tau] / (K arl0)`` or less. What is known before a session has to
    include what all symbols did before it.

    Parameters
    ----------
    evidence : mapping of symbol to float
        :attr:`Monitor.evidence` of all that are watched, also of those that seem to fit.

    Examples
    --------
    >>> sorted(discoveries({"A": 2500.0, "B": 1600.0, "C": 12.0, "D": 900.0}))
    []
    >>> sorted(discoveries({"A": 2500.0, "B": 2000.0, "C": 12.0, "D": 900.0}))
    ['A', 'B']
    """
    ranked = sorted(evidence, key=lambda symbol: -evidence[symbol])
    needed = len(ranked) * arl0
    largest = max(
        (k for k, symbol in enumerate(ranked, 1) if k * evidence[symbol] >= needed), default=0
    )
    return frozenset(ranked[:largest])
