"""Health of a service: the reasons for which it is degraded, collected without waiting long."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from closecast.core.records import HeldCloses
from closecast.database import ACTIVE, Database, LedgerWatch, Queue, QueueState, queue_states
from closecast.errors import ClosecastError, OtherFormat, StorageFailed, UnverifiedBundle
from closecast.infra.bounded import BoundedCall
from closecast.infra.logging import log_trouble
from closecast.infra.trouble import Trouble, TroubleCode
from closecast.infra.write_probe import probe_folder
from closecast.registry.places import DATA, RESULTS, mlflow_trouble, reserve_bytes
from closecast.serving.model_manager import ModelManager
from closecast.settings import Settings

PROBED_EVERY_S = 15.0
"""Seconds for which the result of a write probe is answered again."""

PATIENCE_S = 1.0
"""Longest wait for disks, the object store and the ledger together, in seconds."""

_CLOCK = timedelta(hours=1)

Check = Callable[[], Trouble | None]


@dataclass(frozen=True, slots=True)
class LedgerState:
    """``ok`` or the error of the ledger, closes held back in it, its queues and its troubles."""

    said: str = "ok"
    held: dict[str, HeldCloses] = field(default_factory=dict)
    queues: dict[Queue, QueueState] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreState:
    """Files of the default symbol's served bundle, and the published version of each symbol.

    Attributes
    ----------
    collected : bool
        Whether closes of the default symbol are in the cache.
    """

    files: frozenset[str] = frozenset()
    published: dict[str, str | None] = field(default_factory=dict)
    failure: str | None = None
    collected: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """The state of everything that a service stands on.

    Attributes
    ----------
    free_bytes : int or None
        Of the disk of the data folder; ``None`` while it does not answer.
    """

    troubles: tuple[Trouble, ...]
    ledger: LedgerState
    store: StoreState
    free_bytes: int | None


class HealthMonitor:
    """Looks at disks, models and ledger, each in a thread of its own that may hang with its disk.

    Parameters
    ----------
    trains : bool
        Whether a worker of this service writes models and results here.
    free_bytes : callable
        Free bytes of the disk of the data folder.
    others : sequence of callables
        Further checks that cost nothing, such as that of the worker.
    """

    def __init__(
        self,
        settings: Settings,
        models: ModelManager,
        database: Database,
        *,
        trains: bool,
        free_bytes: Callable[[], int],
        others: Sequence[Check] = (),
    ) -> None:
        self._models = models
        self._database = database
        self.others = list(others)
        self._watch: LedgerWatch = database.watch(settings.data_dir / ".ledger.json")
        self._folders = {
            name: BoundedCall(f"probe-{name}", check, patience_s=PATIENCE_S, keep_s=PROBED_EVERY_S)
            for name, check in _folder_checks(settings, database, models, trains).items()
        }
        self._ledger = BoundedCall("health-ledger", self._ledger_state, patience_s=PATIENCE_S)
        self._store = BoundedCall("health-store", self._store_state, patience_s=PATIENCE_S)
        self._free = BoundedCall("health-disk", partial(_quietly, free_bytes), patience_s=0.5)

    def start(self) -> None:
        """Check the file of the ledger in the background."""
        self._watch.start()

    def look(self) -> Health:
        """The present state; of what does not answer within a second, the last known one."""
        parts: list[BoundedCall[Any]] = [*self._folders.values(), self._ledger, self._store]
        for call in (*parts, self._free):
            call.begin()  # all at once: their waits do not add up
        found: list[Trouble | None] = []
        for name, probe in self._folders.items():
            folder = probe.answer()
            found.append(_silent(name, folder.silent_s) if folder.silent_s else folder.value)
        ledger, store, free = self._ledger.answer(), self._store.answer(), self._free.answer()
        ledger_state, store_state = ledger.value or LedgerState(), store.value or StoreState()
        if ledger.silent_s:
            found.append(_silent_ledger(ledger.silent_s))
            ledger_state = LedgerState("it does not answer", ledger_state.held, ledger_state.queues)
        found += ledger_state.troubles
        if store.silent_s:
            found.append(_silent("models (CLOSECAST_MODELS_URL)", store.silent_s))
        else:
            found += self._model_troubles(store_state)
        found += [check() for check in (*self.others, log_trouble, self._clock_trouble)]
        return Health(
            tuple(dict.fromkeys(one for one in found if one is not None)),
            ledger_state,
            store_state,
            free.value,
        )

    # -- the parts ---------------------------------------------------------------------------

    def _ledger_state(self) -> LedgerState:
        said, held, troubles = "ok", {}, []
        queues: dict[Queue, QueueState] = {}
        try:
            held = self._database.close_decisions.all_held()
            queues = queue_states(self._database.jobs.newest(limit=1_000, states=ACTIVE))
        except ClosecastError as error:
            said = str(error)
        try:
            troubles = self._watch.look()
        except ClosecastError as error:
            said = str(error)
        if said != "ok" and not any(one.code == "ledger_damaged" for one in troubles):
            remedy = "Free space, check permissions, or restore the file; predictions go on"
            message = said.partition(". POST /predict")[0]
            troubles = [*troubles, Trouble("ledger_unusable", message, remedy)]
        return LedgerState(said, held, queues, tuple(troubles))

    def _store_state(self) -> StoreState:
        registry, served = self._models.registry, self._models.serving(self._models.default_symbol)
        files: frozenset[str] = frozenset()
        failure = None
        try:
            files = frozenset(registry.files_of(served.version)) if served else files
        except ClosecastError as error:
            failure = str(error)
        published: dict[str, str | None] = {}
        for snapshot in self._models.loaded():
            try:
                pointer = registry.pointer(snapshot.symbol)
            except ClosecastError:
                pointer = None
            published[snapshot.symbol] = pointer.version if pointer else None
        # os.path, for Path raises where the disk fails
        collected = os.path.exists(self._models.closes.cache.path(self._models.default_symbol))
        return StoreState(files, published, failure, collected)

    def _model_troubles(self, store: StoreState) -> list[Trouble]:
        found = [_refused(symbol, error) for symbol, error in self._models.errors().items()]
        served = self._models.serving(self._models.default_symbol)
        if store.failure is not None and not found:
            found.append(_unreadable(store.failure))
        elif served is not None and "manifest.json" not in store.files and not store.failure:
            found.append(
                Trouble(
                    "bundle_gone",
                    f"the bundle {served.version} that is served for {served.symbol} is not in the "
                    "models any more: after a restart there is no model",
                    "Restore the folder of models (CLOSECAST_MODELS_URL), or train again",
                )
            )
        return found

    def _clock_trouble(self) -> Trouble | None:
        served = self._models.serving(self._models.default_symbol)
        if served is None or served.manifest.created_at - datetime.now(UTC) < _CLOCK:
            return None
        return Trouble(
            "clock_off",
            f"this machine's clock is behind: bundle {served.version} was made at "
            f"{served.manifest.created_at:%Y-%m-%dT%H:%M:%SZ}, in its future",
            "Set the clock by a time server (NTP): dates of forecasts rely on it",
        )


def _folder_checks(
    settings: Settings, database: Database, models: ModelManager, trains: bool
) -> dict[str, Callable[[], Trouble | None]]:
    reserve = reserve_bytes(settings)
    checks: dict[str, Callable[[], Trouble | None]] = {
        f"data ({DATA})": partial(probe_folder, settings.data_dir, DATA, reserve)
    }
    ledger = database.folder
    if ledger is not None and ledger.absolute() != settings.data_dir.absolute():
        name = "CLOSECAST_LEDGER_URL"
        checks[f"ledger ({name})"] = partial(
            probe_folder, ledger, name, reserve, may_be_missing=True
        )
    if trains:
        if models.registry.is_local:
            name = "CLOSECAST_MODELS_URL"
            root = Path(settings.models_url.removeprefix("file://"))
            checks[f"models ({name})"] = partial(
                probe_folder, root, name, reserve, may_be_missing=not root.exists()
            )
        checks[f"results ({RESULTS})"] = partial(
            probe_folder, settings.results_dir, RESULTS, reserve, may_be_missing=True
        )
        checks["mlruns (CLOSECAST_MLFLOW_ARTIFACT_DIR)"] = partial(mlflow_trouble, settings)
    return checks


def _silent(name: str, seconds: float) -> Trouble:
    return Trouble(
        "folder_silent",
        f"the place of {name} has not answered for {seconds:,.0f} s",
        "Check the disk, the network file system or the object store",
    )


def _silent_ledger(seconds: float) -> Trouble:
    return Trouble(
        "ledger_unusable",
        f"the ledger has not answered for {seconds:,.0f} s",
        "Check the database, its disk, and processes that hold its lock; predictions go on",
    )


def _refused(symbol: str, error: Exception) -> Trouble:
    if isinstance(error, StorageFailed | OSError):
        return _unreadable(f"{symbol}: {error}")
    code: TroubleCode = "other_format" if isinstance(error, OtherFormat) else "bundle_refused"
    remedy = "Train again, or go back: POST /model/rollback"
    if isinstance(error, UnverifiedBundle):
        remedy = "Look at it with `closecast verify`, then train again or go back"
    return Trouble(code, f"the newest model of {symbol} is not served: {error}", remedy)


def _unreadable(reason: str) -> Trouble:
    return Trouble(
        "models_unreadable",
        f"the models cannot be read: {reason}",
        "Check that the folder or the object store (CLOSECAST_MODELS_URL) answers, and its "
        "credentials; what is in memory goes on answering",
    )


def _quietly(free_bytes: Callable[[], int]) -> int | None:
    try:
        return free_bytes()
    except OSError:
        return None
