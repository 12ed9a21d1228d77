"""``DriftDetector``: one window in, a ``Verdict`` out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closecast.dataset import log_returns
from closecast.drift.baseline import Baseline
from closecast.drift.statistics import STATISTICS, Context
from closecast.drift.statistics.base import Scale
from closecast.verdict import Finding, Verdict


@dataclass(frozen=True, slots=True)
class DriftDetector:
    """Compares a window with the baseline of its model. Deterministic, stateless."""

    baseline: Baseline

    def check(self, window: NDArray[np.float64], context: Context | None = None) -> Verdict:
        """Findings about one window, faults first.

        Parameters
        ----------
        window : array, shape (n,)
            Positive, finite closes, oldest first.
        context : Context, optional
            What the service knows of the symbol beside the window.
        """
        returns = log_returns(window)
        scale = Scale(self.baseline.volatility)
        findings = []
        for code, statistic in STATISTICS.items():
            if code not in self.baseline.thresholds:
                continue  # a statistic younger than the bundle has no threshold in it
            value = statistic.measure(returns, window, scale, context)
            threshold = self.baseline.thresholds[code]
            if value is not None and value > threshold:
                findings.append(
                    Finding(
                        code=code,
                        level=statistic.level(value, context),
                        statistic=statistic.name,
                        value=round(value, 4),
                        threshold=threshold,
                        sentence=statistic.sentence(value, threshold),
                    )
                )
        findings.sort(key=lambda finding: finding.level != "fault")
        return Verdict(tuple(findings))
