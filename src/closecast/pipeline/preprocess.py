"""Step 2: leave out faulty closes, split by time, write the drift baseline."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import date

from closecast.calibration import LEAST_SCORES
from closecast.core.dataset import Split, split_panel
from closecast.core.prices import Prices
from closecast.core.records import AcceptedClose
from closecast.core.short_history import fit_short_history, least_closes
from closecast.core.verdict import Channel
from closecast.database import Database
from closecast.drift import Baseline, sample_reference
from closecast.errors import DataFault, StorageFailed, TooFewCloses
from closecast.forecasters import Parameters
from closecast.pipeline.sound_closes import SoundCloses, sound_closes
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
    checked: bool = False,
    shorten: bool = False,
) -> Prepared:
    """Split the collected closes of symbols and fit ``baseline_stats.json``.

    Learned from are the closes since a symbol's last long gap and, in a pool, since its last fault
    (frozen feed, wrong unit, lost split), with a warning: one such series once ruined a network
    for all. Alone a symbol is trained on the closes before a fault as well, with a warning, unless
    the training started by itself. A fault that a person accepted is none.

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
    checked : bool
        Whether the closes are those that a bundle was made from: every one is learned from.
    shorten : bool
        Whether closes that are too few for the parameters get a shorter window, fewer steps and
        other shares: the result then has sizes of its own, for the bootstrap forecaster.

    Raises
    ------
    MissingStep
        If nothing was collected.
    TooFewCloses
        If a part would be too short.
    DataFault
        If no symbol has enough closes since its last fault.
    """
    workspace = Workspace(settings, symbols)
    collected = workspace.prices()
    sound = (
        SoundCloses(tuple(collected), {}, frozenset())
        if checked
        else sound_closes(
            collected, keep_single=not automatic, accepted=_accepted(settings, workspace.symbols)
        )
    )
    try:
        splits, short = _split(sound, parameters)
    except TooFewCloses:
        if not shorten or not sound.series:
            raise
        parameters = shortened(sound.series, parameters)
        splits, short = _split(sound, parameters)
    p = parameters
    parts = [split.train for split in splits] if by_kind else None
    left_out = {**(uncollected or {}), **sound.left_out, **short}
    for symbol, reason in left_out.items():
        log.warning("closes left out", extra={"symbol": symbol, "reason": reason})
    whole = {prices.symbol: prices for prices in sound.series}
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
        first_sessions={prices.symbol: prices.span[0] for prices in sound.series},
        valid_size=p.valid_size,
    )
    workspace.put_prepared(prepared)
    return prepared


def shortened(series: Sequence[Prices], parameters: Parameters) -> Parameters:
    """Return parameters of the bootstrap forecaster that the longest series is enough for.

    Raises
    ------
    TooFewCloses
        If there are none, with the number of closes that is needed.
    """
    longest = max(series, key=len)
    asked = parameters.seq_length, parameters.horizon
    found = fit_short_history(len(longest), *asked, LEAST_SCORES)
    if found is None:
        raise TooFewCloses(
            f"{longest.symbol}: {len(longest)} closes are too few for any model of its own, "
            f"{least_closes(*asked, LEAST_SCORES)} are needed; a service with a model of another "
            "symbol answers them without training: POST /predict"
        )
    return Parameters(**asdict(found), seed=parameters.seed)


def _accepted(settings: Settings, symbols: Sequence[str]) -> dict[str, dict[date, AcceptedClose]]:
    """Decisions of people on closes of these symbols, as far as the database can be read."""
    database = Database(settings.ledger_url)
    try:
        return {symbol: database.close_decisions.accepted(symbol) for symbol in symbols}
    except StorageFailed as error:  # a training needs no database
        log.warning("accepted closes unknown", extra={"reason": str(error)})
        return {}
    finally:
        database.close()


def _split(sound: SoundCloses, parameters: Parameters) -> tuple[list[Split], dict[str, str]]:
    """Split sound closes; the reason of a series that is too short says what was left out of it."""
    p = parameters
    try:
        if not sound.series:
            raise TooFewCloses("no sound close of any symbol")
        splits, short = split_panel(
            sound.series, p.train_size, p.seq_length, p.horizon, LEAST_SCORES, p.valid_size
        )
    except TooFewCloses as error:
        if not sound.left_out:
            raise
        if not sound.faulty:
            raise TooFewCloses(f"{error}; {_listed(sound.left_out)}") from error
        raise DataFault(
            f"nothing was retrained, and the model before keeps serving: "
            f"{_listed(sound.left_out)}; {error}; correct the closes, or send POST /train for "
            "one symbol, which trains it all the same, or for a span without the fault"
        ) from error
    reasons = {
        symbol: f"{sound.left_out[symbol]}; {reason}" if symbol in sound.left_out else reason
        for symbol, reason in short.items()
    }
    return splits, reasons


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


def _listed(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{symbol}: {reason}" for symbol, reason in reasons.items())
