"""Automatic retraining: decide which models are due, and prepare the request. Queues nothing."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from cronsim import CronSim

from closecast.core.arrays import Floats
from closecast.core.records import Trigger
from closecast.core.symbols import canonical_list
from closecast.core.verdict import Verdict
from closecast.database import ACTIVE, Database, Job
from closecast.drift import Baseline, DriftDetector, discoveries, warn_of_unmeasured
from closecast.errors import ClosecastError
from closecast.forecasters import canonical_name, is_baseline
from closecast.registry.documents import (
    BASELINE_FILE,
    Bundle,
    BundleInfo,
    DataSpan,
    Manifest,
    of_symbol,
)
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources import source_again
from closecast.sources.price_cache import PriceCache

if TYPE_CHECKING:  # the process that serves imports this module, and no pipeline
    from closecast.pipeline.close_gate import UsableCloses

log = logging.getLogger(__name__)

# -- what is trained again ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """The symbols for which one bundle is current; they are trained again together."""

    manifest: Manifest
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The request of a retraining, on closes up to now.

    Attributes
    ----------
    start : str
        First session of the previous model's training data, ISO date.
    """

    symbols: tuple[str, ...]
    source: str
    start: str
    forecaster: str
    hyperparameters: dict[str, Any]
    name: str | None = None

    def arguments(self, trigger: Trigger) -> dict[str, Any]:
        """Return the arguments of task ``train``: a ``TrainRequest`` in JSON types."""
        made = {**asdict(self), "symbols": list(self.symbols), "trigger": trigger}
        return made if self.name else {key: made[key] for key in made if key != "name"}


def groups(registry: Registry) -> list[Group]:
    """Group the symbols that have a model by their current bundle.

    A pointer or a manifest that cannot be read is left out with a warning: it has to be repaired
    by hand, and must not prevent the training of the others.

    Raises
    ------
    StorageFailed
        If the pointers cannot be listed.
    """
    by_version: dict[str, list[str]] = {}
    for symbol in registry.symbols():
        try:
            if pointer := registry.pointer(symbol):
                by_version.setdefault(pointer.version, []).append(symbol)
        except ClosecastError as error:
            log.warning("no pointer to follow", extra={"symbol": symbol, "reason": str(error)})
    found = []
    for version, symbols in by_version.items():
        try:
            found.append(Group(registry.manifest(version), canonical_list(symbols)))
        except ClosecastError as error:
            log.warning("no model to repeat", extra={"version": version, "reason": str(error)})
    return found


def make_recipe(registry: Registry, group: Group, settings: Settings) -> Recipe:
    """Make the recipe of a group: like its current model, from the same source.

    Symbols that were left out of that model and have no model of their own are included again,
    for their data may be complete since. If the current model is a baseline, which only stands
    in for a network, the newest network that was published after it is repeated instead.

    Raises
    ------
    ClosecastError
        If a pointer cannot be read.
    """
    info = group.manifest.info
    left_out = [symbol for symbol in info.left_out if registry.pointer(symbol) is None]
    like = _template(registry, group)
    return Recipe(
        symbols=canonical_list([*group.symbols, *left_out]),
        source=source_again(info.data[0].source, settings),
        start=min(span.first_session for span in info.data),
        forecaster=canonical_name(like.forecaster),
        hyperparameters=like.hyperparameters,
        name=info.name,
    )


def _template(registry: Registry, group: Group) -> BundleInfo:
    """Return the bundle to repeat: the current one.

    Where that is a baseline, the newest network for most of the symbols.
    """
    current = group.manifest
    if not is_baseline(current.info.forecaster):
        return current.info

    def shared(info: BundleInfo) -> int:
        return len({*group.symbols} & {*info.symbols})

    networks = [
        manifest
        for manifest in registry.versions()
        if manifest.created_at > current.created_at
        and not is_baseline(manifest.info.forecaster)
        and shared(manifest.info)
    ]
    return max(networks, key=lambda m: (shared(m.info), m.created_at), default=current).info


# -- by schedule --------------------------------------------------------------------------------


def last_training_start(group: Group, trainings: Iterable[Job]) -> datetime | None:
    """Return the start of the newest training, of any origin, of any symbol of a group.

    A failed training counts too, or it would be repeated for ever.

    Parameters
    ----------
    trainings : iterable of Job
        The newest training of every panel.

    Returns
    -------
    datetime or None
        Aware, UTC; ``None`` while a training waits or runs.
    """
    wanted = {*group.symbols}
    own = [job for job in trainings if wanted & {*job.arguments.get("symbols", ())}]
    if any(job.state in ACTIVE for job in own):
        return None
    made = group.manifest.created_at.astimezone(UTC)
    newest = max(own, key=lambda job: job.created_at, default=None)
    if newest is None or made > (newest.finished_at or newest.created_at):
        return made  # trained by hand: `closecast train` leaves no job
    return newest.created_at


def is_due(expression: str, last: datetime, now: datetime, min_interval: timedelta) -> bool:
    """Decide whether the schedule fired since the last training, and enough time passed.

    Several firings (while the machine slept, for example) lead to one training.

    Parameters
    ----------
    expression : str
        Cron expression of five fields, in UTC.
    last, now : datetime
        Aware.

    Examples
    --------
    >>> friday = datetime(2026, 1, 2, 12, tzinfo=UTC)
    >>> day = timedelta(days=1)
    >>> [is_due("0 22 * * 6", friday, friday + n * day, 3 * day) for n in (1, 2, 3)]
    [False, False, True]
    """
    if now - last < min_interval:
        return False
    firing = next(CronSim(expression, last.astimezone(UTC)), None)
    return firing is not None and firing <= now


# -- by regime ----------------------------------------------------------------------------------


def regime_signal(
    bundle: Bundle, symbols: Collection[str], cache: PriceCache, database: Database
) -> bool:
    """Decide whether the market changed since a model was made, so that it needs a retraining.

    Two tests: at once, if at least half of the newest windows are of another regime
    (:func:`regime_changed`); over time, if the drift monitor finds errors larger than promised
    (:func:`drifted_over_time`), which no single window shows. Closes with a fault count in
    neither: the monitor gets absorbed closes only.

    Raises
    ------
    StorageFailed
    """
    from closecast.pipeline.close_gate import usable_closes

    evidence = database.drift_days.evidence(bundle.manifest.version)
    if drifted_over_time({s: evidence[s] for s in symbols if s in evidence}):
        return True
    return regime_changed(*regime_verdicts(bundle, symbols, usable_closes(bundle, database, cache)))


def drifted_over_time(evidence: Mapping[str, float]) -> bool:
    """Decide whether at least half of the monitored symbols are discoveries of the drift monitor.

    Parameters
    ----------
    evidence : mapping of symbol to float
        :attr:`closecast.drift.Monitor.evidence`.

    Examples
    --------
    >>> drifted_over_time({"A": 2500.0, "B": 3.0}), drifted_over_time({"A": 1200.0, "B": 3.0})
    (True, False)
    >>> drifted_over_time({})
    False
    """
    return bool(evidence) and 2 * len(discoveries(evidence)) >= len(evidence)


def regime_changed(verdicts_then: Sequence[Verdict], verdicts_now: Sequence[Verdict]) -> bool:
    """Decide whether at least half of the windows are of another regime now, and fewer were then.

    A verdict about data that are probably wrong is no evidence about the market: it has no vote.

    Examples
    --------
    >>> from closecast.core.verdict import Finding
    >>> wild = Finding("volatility_high", "regime", "volatility ratio", 3.0, 1.5, "Wild.")
    >>> frozen = Finding("frozen_feed", "fault", "longest run", 9.0, 4.0, "Frozen?")
    >>> calm, odd, wrong = Verdict(), Verdict((wild,)), Verdict((frozen, wild))
    >>> regime_changed([calm, calm], [calm, odd]), regime_changed([odd, calm], [odd, odd])
    (True, False)
    >>> regime_changed([calm], [wrong])
    False
    """
    return _share_of_regime(verdicts_now) >= 0.5 > _share_of_regime(verdicts_then)


def _share_of_regime(verdicts: Sequence[Verdict]) -> float:
    votes = [v.level == "regime" for v in verdicts if v.level in ("regime", "ok")]
    return sum(votes) / len(votes) if votes else 0.0


def regime_verdicts(
    bundle: Bundle, symbols: Collection[str], usable: Mapping[str, UsableCloses]
) -> tuple[list[Verdict], list[Verdict]]:
    """Judge the last window of a model's training data and the newest window.

    Each list has one verdict for every symbol of whose closes none are held back; the others have
    no vote.
    """
    then, now = [], []
    for span in bundle.manifest.info.data:
        one = usable.get(span.symbol) if span.symbol in symbols else None
        windows = _windows(one, span, bundle.manifest.info.seq_length) if one else None
        if windows is None:
            continue
        baseline = Baseline.from_json(of_symbol(bundle.files, BASELINE_FILE, span.symbol))
        warn_of_unmeasured(baseline, bundle.manifest.version)
        detector = DriftDetector(baseline)
        before, after = (detector.check(window) for window in windows)
        if after.level != "fault":
            then.append(before)
            now.append(after)
    return then, now


def _windows(usable: UsableCloses, span: DataSpan, seq_length: int) -> tuple[Floats, Floats] | None:
    """Return the last window of a model's data and the newest one, each of shape (seq_length,).

    ``None`` if they are not comparable: there is no new close, the earlier closes are not cached
    any more, or new ones are held back.
    """
    prices = usable.prices
    if prices is None or usable.held is not None:
        return None
    known = int(np.searchsorted(prices.sessions, np.datetime64(span.last_session), side="right"))
    if not seq_length <= known < len(prices):
        return None
    return prices.closes[known - seq_length : known], prices.closes[-seq_length:]
