"""Policies for windows with drift findings: warn, refuse, or answer with a wide interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal, Self

import numpy as np

from closecast.core.dataset import ewma_volatility, log_returns, long_run_volatility
from closecast.core.forecast import MAX_LOG_RETURN
from closecast.core.verdict import Verdict
from closecast.errors import DataFault
from closecast.serving.answers import Prediction
from closecast.settings import Settings

WIDENING = 2.0
"""Half width of a fallback's interval over that of a normal law with the same volatility."""

_CLIP = 6.0  # of the median absolute return, as in drift: a fault must not set the scale

_SEND_OTHERS = "Correct the closes and send them again"
COLLECT_AGAIN = "Correct them at their source and collect them again"


@dataclass(frozen=True, slots=True)
class FallbackPolicy:
    """The policy of one service: a reaction to findings of each channel.

    Attributes
    ----------
    on_fault : {"warn", "refuse", "fallback"}
        Reaction to data that are probably wrong.
    on_regime : {"warn", "fallback"}
        Reaction to another regime of the market; never refused, since it is no mistake.
    """

    on_fault: Literal["warn", "refuse", "fallback"] = "warn"
    on_regime: Literal["warn", "fallback"] = "warn"

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Read ``CLOSECAST_DRIFT_ON_FAULT`` and ``CLOSECAST_DRIFT_ON_REGIME``."""
        return cls(settings.drift_on_fault, settings.drift_on_regime)

    def refuse(
        self, symbol: str | None, verdict: Verdict | None, advice: str = _SEND_OTHERS
    ) -> None:
        """Refuse a window with a fault, where that is the policy; else do nothing.

        Parameters
        ----------
        symbol : str or None
            Canonical, if the caller named one.
        verdict : Verdict, optional
            Without one, nothing is refused.
        advice : str
            Advice to the caller: a sentence without its full stop.

        Raises
        ------
        DataFault
            With all findings of the verdict.
        """
        if self.on_fault != "refuse" or verdict is None or verdict.level != "fault":
            return
        codes = ", ".join(f.code for f in verdict.findings if f.level == "fault")
        about = "the closes" if symbol is None else f"the closes of {symbol}"
        raise DataFault(
            f"{about} are probably wrong ({codes}): `findings` says how and where. "
            f"{advice}; or have the service answer with a warning instead "
            "(CLOSECAST_DRIFT_ON_FAULT=warn)",
            verdict.findings,
        )

    def apply(
        self, prediction: Prediction, closes: Sequence[float], volatility: float
    ) -> Prediction:
        """Return the prediction, or the naive forecast in its place if the policy is ``fallback``.

        Parameters
        ----------
        closes : sequence of float
            The window that the prediction is made from.
        volatility : float
            Long-run, of one session's log return; from the model's baseline.

        Raises
        ------
        DataFault
            As :meth:`refuse`.
        """
        verdict = prediction.verdict
        self.refuse(prediction.symbol, verdict)
        falling = {
            channel
            for channel, on in (("fault", self.on_fault), ("regime", self.on_regime))
            if on == "fallback"
        }
        causes = [finding for finding in verdict.findings if finding.level in falling]
        if not causes:
            return prediction
        reason = "; ".join(f"{cause.level}: {cause.code}" for cause in causes)
        rows = naive_rows(np.asarray(closes), volatility, len(prediction.rows), prediction.levels)
        return replace(prediction, calibration_revision=None, rows=rows, degraded_reason=reason)


def own_volatility(closes: Sequence[float], otherwise: float) -> float:
    """Volatility of a window's usual moves, for a symbol whose long-run one is not known.

    Parameters
    ----------
    otherwise : float
        Answered where more than half of the closes stand still.
    """
    returns = _clipped(log_returns(np.asarray(closes, dtype=np.float64)))
    return long_run_volatility(returns) if returns.any() else otherwise


def _clipped(returns: np.ndarray) -> np.ndarray:
    limit = _CLIP * float(np.median(np.abs(returns)))
    return np.asarray(np.clip(returns, -limit, limit))


def naive_rows(
    window: np.ndarray, volatility: float, horizon: int, levels: Sequence[float]
) -> list[list[float]]:
    """Forecast the last close at every step, with wide intervals that need no model.

    In log returns the half width of an interval is
    :data:`WIDENING` times that of a random walk: normal quantile of the level, times the larger
    of the long-run volatility and the window's own (EWMA), times the root of the step. Before the
    EWMA, returns are cut at six times their median size, so that a fault among them does not
    make the interval useless. The intervals are not calibrated; if the last close is wrong, so is
    the centre.

    Parameters
    ----------
    window : array, shape (n,)
        Positive, finite closes, oldest first; at least 2.
    volatility : float
        Long-run, of one session's log return; positive.
    horizon : int
        Steps ahead.
    levels : sequence of float
        Of central intervals, inside (0, 1).

    Returns
    -------
    list of lists of float
        Per step the price, then lower and upper end of each level, as in :class:`Prediction`:
        ``0 < lower < price < upper``, all finite.

    Examples
    --------
    >>> [[price, lower, upper]] = naive_rows(np.full(60, 100.0), 0.01, 1, [0.8])
    >>> price, round(lower, 2), round(upper, 2)
    (100.0, 97.47, 102.6)
    """
    window = np.asarray(window, dtype=np.float64)
    last = float(window[-1])
    scale = max(volatility, float(ewma_volatility(_clipped(log_returns(window)))))
    quantiles = [WIDENING * NormalDist().inv_cdf((1 + level) / 2) for level in levels]
    rows = []
    for step in range(1, horizon + 1):
        row = [last]
        for quantile in quantiles:
            half = min(quantile * scale * step**0.5, MAX_LOG_RETURN)
            row += [last * float(np.exp(-half)), last * float(np.exp(half))]
        rows.append(row)
    return rows
