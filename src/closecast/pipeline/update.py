"""New closes: collect them, score what was forecast, let the calibration absorb them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from closecast.core.records import Kind
from closecast.core.symbols import canonical, canonical_list, folder_name
from closecast.database import Database
from closecast.errors import ClosecastError, InvalidPrices, UnknownSymbol
from closecast.evaluation.performance_plots import performance_plot, to_png
from closecast.forecasters.base import Watch, ignore_progress
from closecast.infra.files import write_atomically
from closecast.metrics.live import summarise
from closecast.pipeline.close_gate import held_download, usable_closes
from closecast.pipeline.collect import collect_many
from closecast.pipeline.known_closes import one_update_at_a_time
from closecast.pipeline.recalibrate import AbsorbResult, absorb
from closecast.pipeline.scoring import ScoreCounts, score_forecasts
from closecast.registry.documents import EVALUATION_FILE, Bundle, of_symbol, promise_of
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources import source_again
from closecast.sources.price_cache import PriceCache

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """Counts of an update, and the symbols whose closes are not used.

    Attributes
    ----------
    failed : mapping of symbol to str
        Symbols that could not be collected, or with closes that are held back, and why.
    absorbed, scored : int
        Closes that are new to the calibration, and steps that got a first outcome.
    corrected, reopened : int
        Steps with another outcome after corrected closes, and without one while closes are held.
    rebuilt : tuple of str
        Symbols whose calibration was rebuilt because an absorbed close is another now.
    """

    version: str
    collected: tuple[str, ...]
    failed: Mapping[str, str]
    absorbed: int
    scored: int
    corrected: int = 0
    reopened: int = 0
    rebuilt: tuple[str, ...] = ()

    def followed_by(self, later: UpdateResult) -> UpdateResult:
        """Both updates as one: the counts of both, the symbols as the later one left them."""
        return replace(
            later,
            absorbed=self.absorbed + later.absorbed,
            scored=self.scored + later.scored,
            corrected=self.corrected + later.corrected,
            reopened=self.reopened + later.reopened,
            rebuilt=tuple(sorted({*self.rebuilt, *later.rebuilt})),
        )


def update(
    settings: Settings,
    symbol: str,
    database: Database,
    *,
    end: date | None = None,
    kind: Kind = "live",
    draw: bool = True,
) -> UpdateResult:
    """:func:`update_version` of the model that is current for a symbol.

    Raises
    ------
    UnknownSymbol
        If the symbol has no model.
    """
    symbol = canonical(symbol)
    pointer = Registry(settings.models_url).pointer(symbol)
    if pointer is None:
        raise UnknownSymbol(
            f"no model for {symbol}: train one first, with `closecast train --symbols {symbol}`"
        )
    return update_version(settings, pointer.version, database, end=end, kind=kind, draw=draw)


def update_version(
    settings: Settings,
    version: str,
    database: Database,
    *,
    end: date | None = None,
    kind: Kind = "live",
    draw: bool = True,
    watch: Watch = ignore_progress,
) -> UpdateResult:
    """Bring a model up to date for every symbol that it is current for.

    Parameters
    ----------
    end : date, optional
        Last session to collect; a replay sets it.
    draw : bool
        Whether to draw pictures of what was scored.

    Raises
    ------
    ClosecastError
        If no closes can be collected. Of several symbols, one that cannot be is left for the
        next time.
    """
    registry = Registry(settings.models_url)
    bundle = registry.load(version)
    info = bundle.manifest.info
    members = [s for s in info.symbols if _is_current(registry, s, version)]
    if not members:
        return UpdateResult(version, (), {}, absorbed=0, scored=0)
    cache = PriceCache(settings.data_dir / "prices")
    with one_update_at_a_time(cache, canonical_list(members), watch):
        watch({"stage": "collect"})
        source = source_again(info.data[0].source, settings)
        found = collect_many(settings, members, source, None, end, for_steps=False)
        failed = {
            s: one for s, one in zip(members, found, strict=True) if isinstance(one, ClosecastError)
        }
        for name, error in failed.items():
            log.warning("closes not collected", extra={"symbol": name, "reason": str(error)})
        refused = {s: e for s, e in failed.items() if isinstance(e, InvalidPrices)}
        for name, fault in refused.items():
            database.close_decisions.hold(name, held_download(fault, database.clock()))
        if len(failed) == len(members):
            raise failed[members[0]]
        learned = learn_from_closes(bundle, database, cache, members, watch, refused)
        for later in _models_promoted_since(registry, version, members):
            current = [s for s in members if _is_current(registry, s, later.manifest.version)]
            learned = learned.followed_by(
                learn_from_closes(later, database, cache, current, watch, refused)
            )
        for name in (name for name, count in learned.counts.items() if draw and count.any):
            draw_performance(settings, name, database, kind)
    counts = learned.counts.values()
    return UpdateResult(
        version,
        tuple(s for s in members if s not in failed),
        {**learned.held, **{name: str(error) for name, error in failed.items()}},
        learned.calibration.absorbed,
        sum(count.scored for count in counts),
        sum(count.corrected for count in counts),
        sum(count.reopened for count in counts),
        learned.calibration.rebuilt,
    )


@dataclass(frozen=True, slots=True)
class Learned:
    """Changes that cached closes brought about.

    Attributes
    ----------
    held : mapping of symbol to str
        Reasons for which closes are held back.
    counts : mapping of symbol to ScoreCounts
        Changed outcomes of the symbols that the model is current for.
    """

    held: Mapping[str, str]
    counts: Mapping[str, ScoreCounts]
    calibration: AbsorbResult

    def followed_by(self, later: Learned) -> Learned:
        """Both as one: changes of both, the reasons as the later one left them."""
        counts = dict(self.counts)
        for symbol, count in later.counts.items():
            counts[symbol] = counts[symbol].plus(count) if symbol in counts else count
        released = {s: why for s, why in self.held.items() if s not in later.counts}
        return Learned(
            {**released, **later.held},
            counts,
            AbsorbResult(
                self.calibration.absorbed + later.calibration.absorbed,
                tuple(sorted({*self.calibration.rebuilt, *later.calibration.rebuilt})),
            ),
        )


def learn_from_closes(
    bundle: Bundle,
    database: Database,
    cache: PriceCache,
    members: Sequence[str],
    watch: Watch = ignore_progress,
    refused: Collection[str] = (),
) -> Learned:
    """Hold faulty closes back, score forecasts with the others, and let the calibration learn.

    Killed in between, the next call arrives at the same outcomes and states.

    Parameters
    ----------
    members : sequence of str
        Symbols that the model is current for.
    refused : collection of str
        Symbols whose newest download was refused, so that the cache holds the one before: that
        it has no fault releases nothing.

    Raises
    ------
    DamagedBundle, StorageFailed
    """
    usable = usable_closes(bundle, database, cache)
    held = {}
    for symbol, one in usable.items():
        if symbol in members and symbol not in refused:  # other models decide for the others
            database.close_decisions.hold(symbol, one.held)
        if one.held is not None:
            extra = {"symbol": symbol, "since": str(one.held.since), "reason": one.held.reason}
            log.warning("closes held back", extra=extra)
            held[symbol] = one.held.reason
    # Scores come first: once the calibration has absorbed a corrected close, nothing shows any
    # more that outcomes rest on the one before.
    watch({"stage": "score"})
    counts = {s: score_forecasts(database, s, usable[s]) for s in members if s in usable}
    watch({"stage": "absorb"})
    return Learned(held, counts, absorb(bundle, database, usable))


def draw_performance(settings: Settings, symbol: str, database: Database, kind: Kind) -> None:
    """Write ``results/<symbol>/performance-<kind>.png``."""
    rows = database.forecasts.scored(symbol, kind)
    if not rows:
        return
    promise = None
    registry = Registry(settings.models_url)
    try:
        bundle = registry.load(rows[-1].version)
        promise = promise_of(of_symbol(bundle.files, EVALUATION_FILE, symbol), rows[-1].forecaster)
    except ClosecastError as error:
        log.warning("no promise to compare with", extra={"symbol": symbol, "reason": str(error)})
    figure = performance_plot(symbol, kind, summarise(rows, promise))
    path = settings.results_dir / folder_name(symbol) / f"performance-{kind}.png"
    write_atomically(path, to_png(figure))


def _models_promoted_since(
    registry: Registry, version: str, members: Sequence[str]
) -> list[Bundle]:
    """Models that a training has made current for some members since an update of one began.

    They learn from the same closes in the same update: their first forecasts are not behind.
    """
    try:
        pointers = [registry.pointer(symbol) for symbol in members]
        later = {pointer.version for pointer in pointers if pointer} - {version}
        return [registry.load(name) for name in sorted(later)]
    except ClosecastError as error:
        log.warning("a new model is left for the next update", extra={"reason": str(error)})
        return []


def _is_current(registry: Registry, symbol: str, version: str) -> bool:
    pointer = registry.pointer(symbol)
    return pointer is not None and pointer.version == version
