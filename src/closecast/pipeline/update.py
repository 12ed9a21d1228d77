"""New closes: collect them, let the calibration absorb them, score what was forecast."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from closecast.core.calendars import as_date, session_table
from closecast.core.records import Kind
from closecast.core.symbols import canonical, exchange_of, folder_name
from closecast.database import Database
from closecast.errors import ClosecastError, UnknownSymbol
from closecast.evaluation.performance_plots import performance_plot, to_png
from closecast.forecasters.base import Watch, ignore_progress
from closecast.infra.files import write_atomically
from closecast.metrics.live import summarise
from closecast.metrics.outcomes import realised_log_return, score_step, will_never_come
from closecast.pipeline.collect import collect_many
from closecast.pipeline.recalibrate import absorb
from closecast.pipeline.workspace import Workspace
from closecast.registry.documents import EVALUATION_FILE, of_symbol, promise_of
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources import source_again
from closecast.sources.price_cache import PriceCache

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """Counts of an update, and the symbols that could not be collected or absorbed."""

    version: str
    collected: tuple[str, ...]
    failed: Mapping[str, str]
    absorbed: int
    scored: int


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
        raise UnknownSymbol(f"no model for {symbol}: train one first")
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
        return UpdateResult(version, (), {}, 0, 0)
    with Workspace(settings, members).alone():
        watch({"stage": "collect"})
        source = source_again(info.data[0].source, settings)
        found = collect_many(settings, members, source, None, end)
        failed = {
            s: one for s, one in zip(members, found, strict=True) if isinstance(one, ClosecastError)
        }
        for name, error in failed.items():
            log.warning("closes not collected", extra={"symbol": name, "reason": str(error)})
        if len(failed) == len(members):
            raise failed[members[0]]
        watch({"stage": "absorb"})
        absorbed, left_out = absorb(settings, bundle, database)
        watch({"stage": "score"})
        scored = {name: score_due(settings, name, database) for name in members}
        for name in (name for name, count in scored.items() if draw and count):
            draw_performance(settings, name, database, kind)
    return UpdateResult(
        version,
        tuple(s for s in members if s not in failed),
        {**left_out, **{name: str(error) for name, error in failed.items()}},
        absorbed,
        sum(scored.values()),
    )


def score_due(settings: Settings, symbol: str, database: Database) -> int:
    """Score every committed step of a symbol whose close is known, and return their number.

    Closes are those of the price cache, which the service collected itself. A step that was
    issued after its session's close is void: it was no forecast.
    """
    prices = PriceCache(settings.data_dir / "prices").get(symbol)
    if prices is None:
        return 0
    outcomes, void = [], []
    calendar = session_table(exchange_of(symbol))
    for forecast_id, forecast, step in database.forecasts.due(symbol, as_date(prices.sessions[-1])):
        if forecast.basis != prices.basis:
            continue
        if calendar.closes_at(np.datetime64(step.session, "D")) <= forecast.issued_at:
            void.append((forecast_id, step.step))  # issued after the close: no forecast
            continue
        log_return = realised_log_return(prices, forecast.origin, step.session)
        if log_return is not None:
            now = database.clock()
            outcomes.append((forecast_id, step.step, score_step(forecast, step, log_return, now)))
        elif will_never_come(prices, forecast.origin, step.session):
            void.append((forecast_id, step.step))
    scored = database.forecasts.score(outcomes) if outcomes else 0
    if void:
        database.forecasts.void(void)
    return scored


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


def _is_current(registry: Registry, symbol: str, version: str) -> bool:
    pointer = registry.pointer(symbol)
    return pointer is not None and pointer.version == version
