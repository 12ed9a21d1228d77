"""Shrinkage of a location towards the naive one where it is not significantly better."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from closecast.core.arrays import read_only
from closecast.core.dataset import make_examples
from closecast.core.point_forecasts import NAIVE_BY_DESIGN
from closecast.core.prices import Prices
from closecast.forecasters.base import Predictor
from closecast.forecasters.shrunk import Shrinkage, ShrunkPredictor
from closecast.metrics.significance import diebold_mariano

_SIGNIFICANCE = 0.05
_FACTORS = np.linspace(0, 1, 11)


def learn_shrinkage(predictor: Predictor, valid: Sequence[Prices]) -> Shrinkage:
    """Measure the share of a location to keep, on rows that were not learned from.

    Per step the share with the least absolute error, where that is better than the naive
    location with two-sided p < 0.05 (Diebold-Mariano, overlap respected); else 0. Symbols of
    one market rise and fall together: the test sees one row per session, their mean, or twenty
    symbols in one good year would look like twenty good years.

    Parameters
    ----------
    valid : sequence of Prices
        The validation parts; windows alone are forecast from.
    """
    parts = [make_examples(s, predictor.seq_length, predictor.horizon) for s in valid]
    predicted = [predictor.predict_batch(e.windows).location for e in parts]
    steps = predictor.horizon
    if not any(location.any() for location in predicted):
        return Shrinkage(read_only(np.ones(steps)), NAIVE_BY_DESIGN)
    days = np.concatenate([s.sessions[e.origins] for s, e in zip(valid, parts, strict=True)])
    _, place, count = np.unique(days, return_inverse=True, return_counts=True)
    actual, location = np.concatenate([e.targets for e in parts]), np.concatenate(predicted)
    factor, gains = np.zeros(steps), np.ones(steps)
    for step in range(steps):
        errors = np.abs(actual[:, step, None] - _FACTORS * location[:, step, None])
        losses = [np.bincount(place, weights=column) / count for column in errors.T]
        best = int(np.argmin([loss.mean() for loss in losses]))
        statistic, p = diebold_mariano(losses[best], losses[0], step + 1)
        gains[step] = losses[best].mean() / max(losses[0].mean(), 1e-300)
        if statistic < 0 and p < _SIGNIFICANCE:
            factor[step] = _FACTORS[best]
    kept = int((factor > 0).sum())
    reason = (
        f"on {len(count)} days of the validation part the location is significantly better than "
        f"naive's at {kept} of {steps} steps (best relative MAE {gains.min():.4f})"
    )
    return Shrinkage(read_only(factor), reason)


def shrink(predictor: Predictor, shrinkage: Shrinkage) -> Predictor:
    """The same predictor with its location multiplied; itself where nothing changes."""
    return predictor if (shrinkage.factor == 1).all() else ShrunkPredictor(predictor, shrinkage)
