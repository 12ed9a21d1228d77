"""Thresholds by kind of market: coins are judged by coins, not by stocks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from closecast.core.dataset import log_returns, long_run_volatility
from closecast.core.markets import kind_or_stock
from closecast.core.prices import Prices
from closecast.core.verdict import Channel
from closecast.drift.reference import (
    STEP,
    Reference,
    measure_reference,
    measured_at,
    sample_reference,
)
from closecast.drift.thresholds import (
    FalseAlarmRate,
    Threshold,
    thresholds_for,
)

LEAST_SYMBOLS = 5
"""Symbols of a kind that are trained together, without which no rate is known."""

SHIPPED = frozenset({"stock", "index"})
"""Kinds that the embedded sample of US stocks is a reference for: an index is made of stocks."""

_WILD_SYMBOLS = 0.9  # quantile: a window alone may be of any symbol of the kind
_LEAST_WINDOWS = 2  # lengths of a window that a series must have to be measured
_MOST_WINDOWS = 15_000  # of a reference; with more, fewer of each symbol are measured


@dataclass(frozen=True, eq=False)
class Calibration:
    """Thresholds of both modes, and the windows that they come from.

    Attributes
    ----------
    kind : str
        Kind of market of the reference's symbols.
    plausible : float or None
        Long-run volatility that nine in ten symbols of the kind do not exceed; ``None`` for stocks,
        of which all but few have splits that no news explains.
    unrated : str or None
        Reason for which the rates hold for no window of the symbol; ``None`` where they do.
    """

    reference: Reference
    kind: str
    alone: Mapping[str, Threshold]
    with_before: Mapping[str, Threshold]
    rates: Mapping[str, Mapping[Channel, FalseAlarmRate]] = field(default_factory=dict)
    unrated: str | None = None
    plausible: float | None = None

    @property
    def about(self) -> dict[str, Any]:
        """Kind and reason as a bundle holds them; nothing for stocks, as it was before kinds."""
        kind: dict[str, Any] = {} if self.kind in SHIPPED else {"kind": self.kind}
        if self.plausible is not None:
            kind["volatility"] = self.plausible
        return kind if self.unrated is None else {**kind, "unrated": self.unrated}


def calibrate(
    train: Prices,
    seq_length: int,
    rates: Mapping[Channel, float],
    reference: Reference | None = None,
    statistics: Collection[str] | None = None,
    companions: Sequence[Prices] = (),
) -> Calibration:
    """Compute the thresholds of a symbol from windows of its kind of market.

    Where the sample is no reference, no threshold is smaller than the sample's: a pool of coins is
    small, and years that it has not seen may be wilder.

    Parameters
    ----------
    train : Prices
        Training part of the symbol.
    rates : mapping
        Target share of clean windows with a finding, per channel.
    reference : Reference, optional
        Used in place of any other.
    statistics : collection of str, optional
        Keys of the statistics that share the rates; all by default.
    companions : sequence of Prices
        Training parts of the symbols that are trained together, of any kind.
    """
    kind = kind_or_stock(train.symbol)
    if reference is not None or kind in SHIPPED:
        pool = sample_reference(seq_length, train.span[1]) if reference is None else reference
        others = pool.without(train.symbol)
        return _calibrated(others if len(others.symbols) else pool, "stock", rates, statistics)
    stocks = _calibrated(sample_reference(seq_length, train.span[1]), "stock", rates, statistics)
    same_kind = _of_kind(kind, train, companions, seq_length)
    volatilities = [long_run_volatility(log_returns(part.closes)) for part in same_kind]
    plausible = round(float(np.quantile(volatilities, _WILD_SYMBOLS)), 6)
    pool = _kind_reference(train, same_kind, seq_length, plausible)
    own = _calibrated(pool, kind, rates, statistics, least=stocks)
    few = no_rate(kind, len(same_kind)) if len(same_kind) < LEAST_SYMBOLS else None
    return replace(own, unrated=few, plausible=plausible)


def no_rate(kind: str, symbols: int) -> str:
    """Reason for which no rate of false alarms is known."""
    return (
        f"no rate of false alarms is known for a {kind}: it takes the closes of {LEAST_SYMBOLS} "
        f"symbols of the kind in one training, and this one had {symbols}"
    )


def _calibrated(
    pool: Reference,
    kind: str,
    rates: Mapping[Channel, float],
    statistics: Collection[str] | None,
    least: Calibration | None = None,
) -> Calibration:
    """Compute thresholds from a pool; never smaller than those of another calibration."""
    if statistics is not None:
        pool = pool.only(statistics)
    days = pool.last_sessions
    of_stocks = (None, None) if least is None else (least.alone, least.with_before)
    alone, reached = thresholds_for(pool.alone, days, rates, with_before=False, least=of_stocks[0])
    before, reached_before = thresholds_for(
        pool.with_before, days, rates, with_before=True, least=of_stocks[1]
    )
    return Calibration(pool, kind, alone, before, {"alone": reached, "with_before": reached_before})


def _of_kind(
    kind: str, train: Prices, companions: Iterable[Prices], seq_length: int
) -> tuple[Prices, ...]:
    """Select the parts of a kind that are long enough to be measured, by symbol; with its own."""
    parts = {part.symbol: part for part in companions if kind_or_stock(part.symbol) == kind}
    parts = {s: part for s, part in parts.items() if len(part) > _LEAST_WINDOWS * seq_length}
    parts[train.symbol] = train
    return tuple(parts[symbol] for symbol in sorted(parts))


def _kind_reference(
    train: Prices, same_kind: tuple[Prices, ...], seq_length: int, plausible: float
) -> Reference:
    """Measure the windows of the other symbols of a kind, or of all where they are too few.

    Windows alone are in the scale of the judged symbol: as the service's default it is compared
    with windows of any symbol of its kind.
    """
    pool, judged = _own_scales(same_kind, seq_length), same_kind
    if len(same_kind) >= LEAST_SYMBOLS:
        pool = pool.without(train.symbol)
        judged = tuple(part for part in same_kind if part.symbol != train.symbol)
    volatility = long_run_volatility(log_returns(train.closes))
    wildest = max(volatility, plausible)
    return replace(pool, alone=measured_at(judged, seq_length, volatility, pool.step, wildest))


@lru_cache(maxsize=2)
def _own_scales(series: tuple[Prices, ...], seq_length: int) -> Reference:
    windows = sum(len(part) for part in series) // STEP
    return measure_reference(series, seq_length, STEP * (1 + windows // _MOST_WINDOWS))
