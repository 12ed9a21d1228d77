"""``Baseline``: the numbers that a detector compares windows with, stored in a bundle."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from closecast.core.data_quality import find_faults
from closecast.core.dataset import log_returns, long_run_volatility
from closecast.core.markets import kind_or_stock
from closecast.core.prices import Prices
from closecast.core.verdict import Channel
from closecast.drift.kinds import SHIPPED, calibrate, no_rate
from closecast.drift.reference import Reference, still_share_of
from closecast.drift.statistics import STATISTICS, keys_measured
from closecast.drift.thresholds import (
    CHANNELS,
    FORMER_TAILS,
    TAIL,
    FalseAlarmRate,
    Threshold,
)
from closecast.errors import DamagedBundle, TooFewCloses

RATES: Mapping[Channel, float] = {"fault": 0.01, "regime": 0.01}
"""Target share of clean windows with a finding, per channel."""

LEVELS = (
    *("symbol", "basis", "seq_length", "first_session", "last_session", "data_hash"),
    *("mean_return", "sd_return", "volatility", "faults"),
)
"""Members that come from the training part alone, by every method."""

_MOST_FAULTS = 5
_STILL_HALF_LIFE = 500.0  # sessions
_MODES = ("alone", "with_before")
_METHOD = (
    "thresholds from pooled windows of other symbols, each in units of its own long-run "
    "volatility; the union of a channel's statistics has the wanted rate, for regimes at a high "
    "quantile of a bootstrap of quarters of the year; in the share of still days recent years "
    "count more"
)


@dataclass(frozen=True)
class Baseline:
    """Levels of one symbol, and thresholds from clean windows of many symbols.

    Holds no price level: closes in another currency have the same baseline.

    Attributes
    ----------
    volatility : float
        Long-run volatility of one session's log return, without days that are faults.
    wildness : float
        Volatility of the reference's whole span over that of the training years, 1 to 2; the
        factor that the usual volatility is multiplied by.
    still_share : float
        Share of sessions in which the close does not move; recent years count more.
    faults : tuple of dict
        Faults of the training data themselves: ``code``, ``date``, ``message``.
    reference : mapping
        Windows that the thresholds come from: symbols, span, number, hash, method; their ``kind``
        of market unless they are stocks.
    alone, with_before : mapping of key to Threshold
        For a window alone, and where the closes before it are known. A bundle has none of a
        statistic that is newer than itself, and may have one of a statistic that is gone.
    rates : mapping
        ``alone`` and ``with_before`` to channel to :class:`FalseAlarmRate`; those of the reference
        where :attr:`unrated` is not ``None``.
    """

    symbol: str
    basis: str
    seq_length: int
    first_session: str
    last_session: str
    data_hash: str
    mean_return: float
    sd_return: float
    volatility: float
    wildness: float
    still_share: float
    faults: tuple[Mapping[str, str | None], ...]
    reference: Mapping[str, Any]
    alone: Mapping[str, Threshold]
    with_before: Mapping[str, Threshold]
    rates: Mapping[str, Mapping[Channel, FalseAlarmRate]]

    @classmethod
    def fit(
        cls,
        train: Prices,
        seq_length: int,
        rates: Mapping[Channel, float] = RATES,
        reference: Reference | None = None,
        statistics: Collection[str] | None = None,
        companions: Sequence[Prices] = (),
    ) -> Self:
        """Compute the levels and thresholds of a training part.

        A stock's thresholds come from the embedded sample of stocks. Those of another kind of
        market, a coin's, come from the companions of its kind, without the symbol's own windows,
        if with it they are at least five; from all of their windows otherwise, and no rate is
        known. None of them is smaller than a stock's.

        Parameters
        ----------
        rates : mapping
            Target share of clean windows with a finding, per channel.
        reference : Reference, optional
            Clean windows of many symbols; those of the embedded sample up to the end of the
            training part by default for stocks. The symbol's own are left out.
        statistics : collection of str, optional
            Keys of the statistics that share the rates; all by default.
        companions : sequence of Prices
            Training parts of the symbols that are trained together, of any kind.

        Raises
        ------
        TooFewCloses
            If the training part is shorter than a window.
        """
        if len(train) <= seq_length:
            raise TooFewCloses(
                f"{train.symbol}: {len(train)} closes, more than {seq_length} are needed for a "
                "baseline"
            )
        first, last = train.span
        found = calibrate(train, seq_length, rates, reference, statistics, companions)
        pool = found.reference
        returns = log_returns(train.closes)
        faults = find_faults(train)
        wrong = np.isin(train.sessions[1:].astype(str), [str(fault.date) for fault in faults])
        clean = returns[~wrong]
        return cls(
            symbol=train.symbol,
            basis=train.basis,
            seq_length=seq_length,
            first_session=first,
            last_session=last,
            data_hash=train.content_hash,
            mean_return=float(clean.mean()),
            sd_return=float(clean.std()),
            volatility=long_run_volatility(clean),
            wildness=round(pool.wildness_beside(first, last), 4),
            still_share=still_share_of(clean, pool.still_share, half_life=_STILL_HALF_LIFE),
            faults=tuple(
                {"code": f.rule, "date": f.date, "message": f.message}
                for f in faults[:_MOST_FAULTS]
            ),
            reference={
                **found.about,
                "symbols": len(np.unique(pool.symbols)),
                "first_session": str(pool.last_sessions.min()),
                "last_session": str(pool.last_sessions.max()),
                "windows": len(pool.symbols),
                "step": pool.step,
                "data_hash": pool.data_hash,
                "method": _METHOD,
            },
            alone=found.alone,
            with_before=found.with_before,
            rates=found.rates,
        )

    @property
    def plausible(self) -> float:
        """Long-run volatility of the wilder symbols of the kind, if it has another than stocks."""
        return max(self.volatility, float(self.reference.get("volatility", 0.0)))

    @property
    def unrated(self) -> str | None:
        """Reason for which :attr:`rates` hold for no window of the symbol; ``None`` if they do."""
        if self.from_before_kinds:
            return no_rate(kind_or_stock(self.symbol), 0)
        return self.reference.get("unrated")

    @property
    def from_before_kinds(self) -> bool:
        """True of bundles so old that stocks are the reference of another kind, a coin."""
        return "kind" not in self.reference and kind_or_stock(self.symbol) not in SHIPPED

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Keys of statistics that lack a threshold, of a window alone or of one with closes before.

        They are newer than the bundle: no window is measured by them.
        """
        missing: set[str] = set()
        for known, thresholds in enumerate((self.alone, self.with_before)):
            missing |= keys_measured(known=bool(known)).difference(thresholds)
        return tuple(sorted(missing))

    def to_json(self) -> bytes:
        """Encode as ``baseline_stats.json``, 8 KB at most."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Decode :meth:`to_json`, also of versions with fewer or other statistics.

        Raises
        ------
        DamagedBundle
            If the content is not a baseline, or has no threshold of a known statistic.
        """
        try:
            values: dict[str, Any] = json.loads(content)
            _refuse_other_members(values)
            for mode in _MODES:
                values[mode] = {key: _threshold(found) for key, found in values[mode].items()}
            values["rates"] = {
                mode: {
                    channel: FalseAlarmRate(**of_mode[channel])
                    for channel in CHANNELS
                    if channel in of_mode
                }
                for mode, of_mode in values["rates"].items()
            }
            values["faults"] = tuple(values["faults"])
            baseline = cls(**values)
            for known, thresholds in enumerate((baseline.alone, baseline.with_before)):
                measured = keys_measured(known=bool(known)).intersection(thresholds)
                if not measured:
                    raise ValueError(f"{_MODES[known]} has no threshold of any statistic")
                channels = {STATISTICS[key].channel for key in measured}
                if lacking := channels.difference(baseline.rates[_MODES[known]]):
                    raise ValueError(f"{_MODES[known]} has no rate of {', '.join(lacking)}")
            levels = (baseline.volatility, baseline.wildness, baseline.still_share)
            if not all(0 < level < np.inf for level in levels) or baseline.still_share >= 1:
                raise ValueError("volatility and the share of still days must be positive numbers")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedBundle(f"baseline_stats.json does not fit: {error}") from error
        return baseline


def _refuse_other_members(values: Mapping[str, Any]) -> None:
    """Refuse a baseline of older code, naming its missing members."""
    missing = [field.name for field in fields(Baseline) if field.name not in values]
    if missing and "symbol" in values:
        raise ValueError(f"it has no {', '.join(missing)}")


def _threshold(stored: Mapping[str, Any]) -> Threshold:
    threshold = Threshold(stored["value"], stored["rate"], _at_tail(tuple(stored["tail"])))
    if not np.isfinite([threshold.value, threshold.rate, *threshold.tail]).all():
        raise ValueError(f"a threshold must be a number, not {stored}")
    return threshold


def _at_tail(values: tuple[float, ...]) -> tuple[float, ...]:
    """Convert values stored at the shares of an earlier version to those of :data:`TAIL`.

    Linear in the logarithm of the share; rarer than the stored shares, the outermost value.
    """
    for shares in FORMER_TAILS:
        if len(values) == len(shares) != len(TAIL):
            at = np.interp(-np.log(TAIL), -np.log(shares), values)
            return tuple(at.tolist())
    if len(values) != len(TAIL):
        raise ValueError(f"a tail has {len(TAIL)} values, not {len(values)}")
    return values
