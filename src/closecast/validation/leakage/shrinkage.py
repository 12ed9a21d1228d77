"""Check of the location's share: measured again on the validation parts alone."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.forecasters.shrunk import ShrunkPredictor, without_shrinkage
from closecast.metrics.significance import diebold_mariano
from closecast.validation.leakage.evidence import LeakEvidence, LeakFindings, labels_of, windows_of

_SHARES = np.linspace(0, 1, 11)
_SIGNIFICANCE = 0.05


def check_location(evidence: LeakEvidence, findings: LeakFindings) -> None:
    """Require that the share of the location is the one that the validation parts give."""
    predictor = evidence.predictor
    if isinstance(predictor, ShrunkPredictor):
        used = predictor.shrinkage.factor
    else:
        used = np.ones(predictor.horizon)
    findings.expect(
        np.array_equal(used, _shares(evidence)),
        "location",
        predictor.name,
        "its share was not measured on the validation parts",
    )


def _shares(evidence: LeakEvidence) -> FloatArray:
    """Per step, by the rule in ``learn_shrinkage``'s docstring."""
    predictor = without_shrinkage(evidence.predictor)
    length, horizon = predictor.seq_length, predictor.horizon
    days, actual, location = [], [], []
    for split in evidence.splits:
        closes = split.valid.closes
        origins = np.arange(length - 1, len(closes) - horizon)
        days.append(split.valid.sessions[origins])
        actual.append(labels_of(closes, origins, horizon))
        location.append(predictor.predict_batch(windows_of(closes, origins, length)).location)
    if not any(part.any() for part in location):
        return np.ones(horizon)
    _, place = np.unique(np.concatenate(days), return_inverse=True)
    y, f = np.concatenate(actual), np.concatenate(location)
    shares = np.zeros(horizon)
    for step in range(horizon):
        losses = [
            np.bincount(place, np.abs(y[:, step] - share * f[:, step])) / np.bincount(place)
            for share in _SHARES
        ]
        best = int(np.argmin([loss.mean() for loss in losses]))
        statistic, p = diebold_mariano(losses[best], losses[0], step + 1)
        if statistic < 0 and p < _SIGNIFICANCE:
            shares[step] = _SHARES[best]
    return shares
