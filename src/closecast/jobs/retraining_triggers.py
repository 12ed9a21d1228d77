"""Retraining triggers: queue a training when the schedule or a change of the market is due."""

from __future__ import annotations

import logging
from datetime import timedelta

from closecast.core.records import Trigger
from closecast.core.symbols import panel_name, readable_panel
from closecast.database import Database, Job
from closecast.errors import ClosecastError, JobConflict
from closecast.jobs.retraining import (
    Group,
    groups,
    is_due,
    last_training_start,
    make_recipe,
    regime_signal,
)
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache

log = logging.getLogger(__name__)

_TRAIN = "train"


def queue_scheduled(settings: Settings, database: Database) -> list[Job]:
    """Queue a training of every model that is due by the schedule.

    Raises
    ------
    StorageFailed
        If the database or the registry does not answer. A model that cannot be trained again
        does not stop the others.
    """
    registry = Registry(settings.models_url)
    trainings = database.jobs.newest_of_each(_TRAIN)
    queued = []
    for group in groups(registry):
        last = last_training_start(group, trainings)
        if last is None or not is_due(
            settings.retrain_cron, last, database.clock(), _min_interval(settings)
        ):
            continue
        try:
            job = _submit(settings, registry, database, group, "schedule")
        except ClosecastError as error:
            reason = {"symbols": group.symbols, "reason": str(error)}
            log.warning("training by schedule not queued", extra=reason)
            continue
        if job is not None:
            queued.append(job)
    return queued


def queue_after_regime_change(
    settings: Settings, version: str, database: Database
) -> tuple[bool | None, Job | None]:
    """Queue a training of a model if the market changed since the model was made.

    Returns
    -------
    changed, job
        Whether the market changed, and the queued job. ``changed`` is ``None`` without a check:
        the setting is off, the model is current for no symbol, or its files cannot be read.
    """
    if "regime" not in settings.retrain_on:
        return None, None
    registry = Registry(settings.models_url)
    try:
        group = next((g for g in groups(registry) if g.manifest.version == version), None)
        if group is None:
            return None, None
        cache = PriceCache(settings.data_dir / "prices")
        changed = regime_signal(registry.load(version), group.symbols, cache, database)
        last = last_training_start(group, database.jobs.newest_of_each(_TRAIN)) if changed else None
        if last is None or database.clock() - last < _min_interval(settings):
            return changed, None
        return changed, _submit(settings, registry, database, group, "regime")
    except ClosecastError as error:  # the update itself is complete
        log.warning("regime not known", extra={"version": version, "reason": str(error)})
        return None, None


def _min_interval(settings: Settings) -> timedelta:
    return timedelta(hours=settings.retrain_min_interval_h)


def _submit(
    settings: Settings, registry: Registry, database: Database, group: Group, trigger: Trigger
) -> Job | None:
    """Submit a training; return ``None`` where another one of these symbols is active."""
    recipe = make_recipe(registry, group, settings)
    try:
        job, _ = database.jobs.submit(_TRAIN, panel_name(recipe.symbols), recipe.arguments(trigger))
    except JobConflict as conflict:
        log.debug("another training is active", extra={"reason": str(conflict)})
        return None
    extra = {"job_id": job.id, "symbol": readable_panel(job.symbol), "trigger": trigger}
    log.info("training queued by itself", extra=extra)
    return job
