"""Step 2: leave out faulty series, split by time, write the drift baseline."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from closecast.calibration import LEAST_SCORES
from closecast.core.data_quality import find_faults
from closecast.core.dataset import split_panel
from closecast.core.prices import Prices
from closecast.core.verdict import Channel
from closecast.drift import Baseline, sample_reference
from closecast.errors import DataFault
from closecast.forecasters import Parameters
from closecast.pipeline.workspace import Prepared, PreparedSeries, Workspace
from closecast.registry.documents import dump_by_symbol
from closecast.settings import Settings

log = logging.getLogger(__name__)


def preprocess(
    settings: Settings,
    symbols: Sequence[str],
    parameters: Parameters,
    uncollected: Mapping[str, str] | None = None,
    *,
    automatic: bool = False,
    statistics: Collection[str] | None = None,
    by_kind: bool = True,
) -> Prepared:
    """Split the collected closes of symbols and fit ``baseline_stats.json``.

    A symbol with a fault (frozen feed, wrong unit, lost split) is left out of a pool, with a
    warning: one such series once ruined a network for all. Alone it is trained, with a warning,
    unless the training started by itself.

    Parameters
    ----------
    uncollected : mapping of symbol to str, optional
        Requested symbols that have no closes, and the reason: recorded with the others left out.
    automatic : bool
        Whether a trigger started the training: no person would read the warning.
    statistics : collection of str, optional
        Keys of the drift statistics that get a threshold; all by default.
    by_kind : bool
        Whether coins are judged by coins. Not so in bundles from before references by kind.

    Raises
    ------
    MissingStep
        If nothing was collected.
    TooFewCloses
        If a part would be too short.
    DataFault
        If every symbol has a fault, or a single one has and the training is automatic.
    """
    workspace = Workspace(settings, symbols)
    series, faulty = without_faults(workspace.prices(), keep_single=not automatic)
    if not series:
        raise DataFault(
            f"nothing was retrained, and the model before keeps serving: {_listed(faulty)}; "
            "correct the closes, or send POST /train for one symbol, which trains it all the same"
        )
    p = parameters
    splits, short = split_panel(series, p.train_size, p.seq_length, p.horizon, LEAST_SCORES)
    parts = [split.train for split in splits] if by_kind else None
    left_out = {**(uncollected or {}), **faulty, **short}
    for symbol, reason in left_out.items():
        log.warning("symbol left out", extra={"symbol": symbol, "reason": reason})
    whole = {prices.symbol: prices for prices in series}
    baselines = {
        s.train.symbol: _baseline(s.train, parts, p.seq_length, settings, statistics)
        for s in splits
    }
    prepared = Prepared(
        series=tuple(PreparedSeries(whole[split.train.symbol], split) for split in splits),
        left_out=left_out,
        baseline=dump_by_symbol({symbol: b.to_json() for symbol, b in baselines.items()}),
        seq_length=p.seq_length,
        horizon=p.horizon,
        train_size=p.train_size,
    )
    workspace.put_prepared(prepared)
    return prepared


def _baseline(
    train: Prices,
    parts: Sequence[Prices] | None,
    seq_length: int,
    settings: Settings,
    statistics: Collection[str] | None,
) -> Baseline:
    rates: Mapping[Channel, float] = {
        "fault": settings.drift_fault_rate,
        "regime": settings.drift_regime_rate,
    }
    of_stocks = sample_reference(seq_length, train.span[1]) if parts is None else None
    baseline = Baseline.fit(train, seq_length, rates, of_stocks, statistics, parts or ())
    for fault in baseline.faults:
        extra = {"symbol": train.symbol, "code": fault["code"], "reason": fault["message"]}
        log.warning("a day of the training data is left out of its drift baseline", extra=extra)
    return baseline


def without_faults(
    series: Sequence[Prices], *, keep_single: bool = True
) -> tuple[list[Prices], dict[str, str]]:
    """Separate series without faults from those with a fault, whose reasons are returned.

    Parameters
    ----------
    keep_single : bool
        Keep a single series with a fault: it spoils no pool.
    """
    kept, left_out = [], {}
    for prices in series:
        faults = find_faults(prices)
        if not faults:
            kept.append(prices)
            continue
        reason = "; ".join(str(fault) for fault in faults[:3])
        if keep_single and len(series) == 1:
            log.warning("suspicious closes", extra={"symbol": prices.symbol, "reason": reason})
            kept.append(prices)
        else:
            left_out[prices.symbol] = reason
    return kept, left_out


def _listed(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{symbol}: {reason}" for symbol, reason in reasons.items())
