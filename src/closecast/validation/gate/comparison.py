"""Comparison of a candidate with another model, or with all, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.evaluation import MODES, Losses, Mode
from closecast.forecasters import REFERENCE
from closecast.metrics.significance import diebold_mariano, giacomini_white, model_confidence_set

Loss = Literal["crps", "absolute_error"]
OfSymbol = Mapping[tuple[str, Mode], Losses]

JUDGED_MODES = MODES[::-1]  # with history first: its comparison decides about promotion
LOSSES: tuple[Loss, Loss] = ("crps", "absolute_error")
CONFIDENCE = 0.95
_NAMES = {"crps": "CRPS", "absolute_error": "absolute error"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of the candidate with one other model, over the whole horizon.

    Attributes
    ----------
    ratio : float
        The candidate's mean loss divided by the other's, each step in units of naive's; below
        1 is better.
    p_one_sided : float
        Diebold-Mariano, overlapping steps with their lag: the p-value against equal accuracy of
        a difference in the direction of ``ratio``. At most 0.5, which also stands for losses
        that are equal or too few. The gate decides by this number; manifests of earlier
        versions hold twice as much, two-sided, as ``p``.
    p_conditional, next_difference : float
        Giacomini-White, a chi-squared test that has no sides: the p-value against "the better of
        the two cannot be predicted", and the difference that is expected now (negative: the
        candidate is better).
    days : int
        Rows of the test.
    """

    against: str
    mode: Mode
    loss: Loss
    ratio: float
    p_one_sided: float
    p_conditional: float
    next_difference: float
    days: int

    def is_worse(self, significance: float) -> bool:
        """Test whether the candidate is worse, at a one-sided level of significance."""
        return self.ratio > 1 and self.p_one_sided < significance

    def is_better(self, significance: float) -> bool:
        """Test whether the candidate is better, at a one-sided level of significance."""
        return self.ratio < 1 and self.p_one_sided < significance

    def __str__(self) -> str:
        return self._sentence(f"{self.p_one_sided:.3f}")

    def beside(self, significance: float) -> str:
        """State the comparison with its p-value beside the level that it is compared with."""
        return self._sentence(ordered(self.p_one_sided, significance))

    def _sentence(self, p: str) -> str:
        return (
            f"{_NAMES[self.loss]} {self.ratio:.4f} of {self.against} "
            f"({self.mode}, one-sided p {p}, {self.days} days)"
        )


def ordered(p: float, significance: float) -> str:
    """Write ``p < significance`` or ``p >= significance`` so that the rounded numbers agree."""
    sign = "<" if p < significance else ">="
    for digits in range(3, 17):
        left, right = f"{p:.{digits}f}", f"{significance:.{digits}g}"
        if (float(left) < float(right)) == (p < significance):
            return f"{left} {sign} {right}"
    return f"{p!r} {sign} {significance!r}"


def gain_at_step_1(of_symbol: OfSymbol, candidate: str, mode: Mode) -> float:
    """Share by which the candidate's RMSE is below naive's, one session ahead."""
    ours, naive = (
        _find(of_symbol, name, mode).absolute_error[:, 0] for name in (candidate, REFERENCE)
    )
    reference = float(np.square(naive).mean())
    return 1 - float(np.sqrt(np.square(ours).mean() / reference)) if reference else 0.0


def compare(
    symbols: Sequence[OfSymbol], candidate: str, other: str, mode: Mode, loss: Loss
) -> Comparison:
    """Compare the candidate with one other model, over all symbols together."""
    if any((other, "window only") not in one for one in symbols):
        return Comparison(other, mode, loss, 1.0, 0.5, 1.0, 0.0, 0)  # the other was not scored
    daily, steps = _daily(symbols, [candidate, other], mode, loss)
    ours, theirs = daily[candidate], daily[other]
    if not len(ours):
        return Comparison(other, mode, loss, 1.0, 0.5, 1.0, 0.0, 0)
    conditional = giacomini_white(ours, theirs, steps)
    mean = float(theirs.mean())
    return Comparison(
        against=other,
        mode=mode,
        loss=loss,
        ratio=float(ours.mean()) / mean if mean else 1.0,
        # A ratio to losses that are all zero does not exist, and so has no direction.
        p_one_sided=diebold_mariano(ours, theirs, steps)[1] / 2 if mean else 0.5,
        p_conditional=conditional.p,
        next_difference=conditional.next_difference,
        days=len(ours),
    )


def confidence_set(symbols: Sequence[OfSymbol], names: Sequence[str]) -> dict[str, float]:
    """P-values of the model confidence set: CRPS, with history."""
    daily, steps = _daily(symbols, names, "with history", "crps")
    return model_confidence_set(daily, steps, CONFIDENCE)


def _daily(
    symbols: Sequence[OfSymbol], names: Sequence[str], mode: Mode, loss: Loss
) -> tuple[dict[str, FloatArray], int]:
    """Mean loss of each day over symbols and steps, every step in units of naive's mean.

    Returns
    -------
    losses, steps
        Arrays of one length, shape (days,), oldest first, of origins that none of the models has
        learned from; and the number of steps that all of them have.
    """
    rows = [[_find(one, name, mode) for name in (*names, REFERENCE)] for one in symbols]
    steps = min(getattr(losses, loss).shape[1] for row in rows for losses in row)
    days, values = [], []
    for row in rows:
        table = np.stack([getattr(losses, loss)[:, :steps] for losses in row])
        fresh = np.isfinite(table).all(axis=(0, 2))
        table = table[:, fresh]
        if not fresh.any():
            continue
        unit = table[-1].mean(axis=0)
        days.append(row[0].sessions[fresh])
        values.append((table[:-1] / np.where(unit > 0, unit, 1.0)).mean(axis=2))
    if not days:
        return {name: np.empty(0) for name in names}, steps
    _, place, count = np.unique(np.concatenate(days), return_inverse=True, return_counts=True)
    joined = np.concatenate(values, axis=1)
    return {
        name: np.bincount(place, weights=joined[i]) / count for i, name in enumerate(names)
    }, steps


def _find(of_symbol: OfSymbol, name: str, mode: Mode) -> Losses:
    """The losses of a model in a mode; those from windows alone where it has no others."""
    return of_symbol.get((name, mode)) or of_symbol[name, "window only"]
