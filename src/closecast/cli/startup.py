"""Checks before ``closecast serve`` starts, and the first training beside it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from closecast.cli.progress import ProgressBar
from closecast.core.symbols import canonical, exchange_of, panel_name
from closecast.database import ACTIVE, Database, Job
from closecast.errors import ClosecastError, DamagedBundle, JobConflict, NoModel, StorageFailed
from closecast.forecasters import DEFAULT_FORECASTER, make_parameters
from closecast.infra.files import storage
from closecast.jobs.supervisor import can_train, require_training
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources import SOURCES, make_source

_LOOK_S = 0.5


def check_start(settings: Settings, *, trains: bool = False) -> None:
    """Refuse to serve what can never work, before anything is bound or started.

    A service without a model starts where one can come to be: by a training of its own, or by
    another machine's on the same store. A damaged model is no reason not to start either: the API
    leads back from it.

    Parameters
    ----------
    trains : bool
        Whether a first model is to be trained.

    Raises
    ------
    ClosecastError
        If a setting cannot work, the models cannot be read, the data cannot be written; or if
        there is no model, and nothing that could train one is installed.
    """
    symbol = canonical(settings.default_symbol)
    if settings.source.partition(":")[0] != "file":  # a column of the file may name the exchange
        exchange_of(symbol)
    if settings.source.partition(":")[0] not in SOURCES:
        make_source(settings.source, settings)  # raises an error that lists the valid ones
    Database(settings.ledger_url).close()
    with storage(settings.data_dir):
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        if not os.access(settings.data_dir, os.W_OK | os.X_OK):
            raise StorageFailed(
                f"cannot write {settings.data_dir}: check its permissions (CLOSECAST_DATA_DIR)"
            )
    try:
        pointer = Registry(settings.models_url).pointer(symbol)
    except DamagedBundle:
        return
    if trains:
        require_training()
    if pointer is None and not can_train():
        raise NoModel(
            f"no model for {symbol} in {settings.models_url}, and this is the serving image, which "
            "cannot train one: give it models (CLOSECAST_MODELS_URL), or run the image built with "
            "`--target train`"
        )


class FirstTraining(threading.Thread):
    """Queues the first training and shows its progress until it has ended.

    The service's own worker does the work; this thread only looks at the ledger.

    Parameters
    ----------
    say : callable
        Prints one text.
    welcome : callable
        What to print when there is a model.
    """

    def __init__(
        self,
        settings: Settings,
        symbols: Sequence[str],
        say: Callable[[str], None],
        welcome: Callable[[], str],
    ) -> None:
        super().__init__(name="first-training", daemon=True)
        self._database = Database(settings.ledger_url)
        self._say = say
        self._welcome = welcome
        self._job = _queued(settings, self._database, symbols)

    def run(self) -> None:
        self._say(
            f"First training: queued as GET /train/{self._job.id}; until there is a model, "
            "forecasts are answered with 503."
        )
        with ProgressBar(lambda line: self._say(f"First training: {line}")) as bar:
            while (job := self._look()).state in ACTIVE:
                bar.show(_progress(job))
                time.sleep(_LOOK_S)
            if job.state != "succeeded":
                bar.abandon()
        if job.state == "succeeded":
            self._say(self._welcome())
        else:
            self._say(
                f"First training: it has {job.state}: {job.reason}. Mend that, then start again "
                "or POST /train; the service goes on."
            )
        self._database.close()

    def _look(self) -> Job:
        with suppress(ClosecastError):  # logged elsewhere; the database may answer again
            self._job = self._database.jobs.get(self._job.id)
        return self._job


def _queued(settings: Settings, database: Database, symbols: Sequence[str]) -> Job:
    """The job, or one that is in its way: that will leave a model, too."""
    arguments = {
        "symbols": list(symbols),
        "source": settings.source if settings.source.partition(":")[0] != "file" else "file",
        "start": None,
        "end": None,
        "forecaster": DEFAULT_FORECASTER,
        "hyperparameters": make_parameters(DEFAULT_FORECASTER, {}).model_dump(),
        "fine_tune": False,
    }
    try:
        return database.jobs.submit("train", panel_name(symbols), arguments)[0]
    except JobConflict as conflict:
        if conflict.job_id is None:
            raise
        return database.jobs.get(conflict.job_id)


def _progress(job: Job) -> Mapping[str, Any]:
    if job.state == "queued":
        return {"stage": "waits for the worker"}
    return {"stage": "starts", **job.progress}
