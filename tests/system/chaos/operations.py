"""What is done over and over in a process that is killed, and what must hold afterwards.

Each operation is done in a child, which tells its parent of every one that it has completed: that
is a promise. The parent looks at what lies on the disk, as the next process would.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from closecast.calibration import AdaptiveState, load_state
from closecast.core.prices import Prices
from closecast.core.records import SCORED_PROBABILITIES, DatedForecast, DatedStep
from closecast.database import CalibrationChange, Database
from closecast.errors import ClosecastError, JobConflict
from closecast.infra.api_keys import KeyStore
from closecast.infra.processes import is_alive, owner_name
from closecast.registry.documents import LIVE_FILE, BundleInfo
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache

SYMBOL = "MSFT"

_KEYS_KEPT = 5
_STEPS = 10
_LEASE = timedelta(seconds=30)


class Operation(ABC):
    """One thing that the service writes down.

    Parameters
    ----------
    settings : Settings
        Of folders with at least one whole bundle of ``SYMBOL``.
    """

    name: ClassVar[str]
    in_files: ClassVar[bool] = True
    """Whether Python itself opens and renames what is written; SQLite does that unseen."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def once(self, n: int) -> Any:
        """Do it, for the n-th time; what is answered (JSON) is promised from now on."""

    @abstractmethod
    def broken(self, promised: Collection[Any]) -> Iterator[str]:
        """What does not hold of all that was ever promised, and of the state as a whole."""

    @abstractmethod
    def leftovers(self) -> list[Path]:
        """Scratch files of processes that were killed."""


class Publishing(Operation):
    """A bundle is published, promoted, and every third time rolled back from."""

    name = "publish and promote"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._registry = Registry(settings.models_url)
        self._root = Path(settings.models_url)
        self._swept: set[str] = set()

    def once(self, n: int) -> Any:
        found = next(self._registry.versions(SYMBOL))
        files = self._registry.load(found.version).files
        # Parameters tell the bundles apart; `chaos` marks those that may be swept away.
        info = BundleInfo.model_validate(
            {**found.info.model_dump(), "hyperparameters": {"chaos": n}}
        )
        version = self._registry.publish(info, files).version
        pointer = self._registry.promote(SYMBOL, version, "chaos", by="chaos")
        if n % 3 == 0:
            pointer = self._registry.rollback(SYMBOL, "chaos", by="chaos")
        return [version, pointer.generation]

    def broken(self, promised: Collection[Any]) -> Iterator[str]:
        listed = {manifest.version for manifest in self._registry.versions()}
        seen = {p.name for p in (self._root / "bundles").iterdir() if not p.name.startswith(".")}
        yield from (f"{version} is visible and not whole" for version in sorted(seen - listed))
        yield from self._not_loading(listed)
        try:
            pointer = self._registry.pointer(SYMBOL)
            if pointer is None:
                yield "the pointer is gone"
                return
            self._registry.load_to_serve(pointer.version, SYMBOL)
        except ClosecastError as error:
            yield f"the pointer leads nowhere: {error}"
            return
        generations = [step.generation for step in pointer.history]
        if generations != sorted(set(generations)):
            yield f"generations do not grow: {generations}"
        newest = max((generation for _, generation in promised), default=0)
        if pointer.generation < newest:
            yield f"the pointer is at generation {pointer.generation}, {newest} was promised"
        if lost := {version for version, _ in promised} - listed - self._swept:
            yield f"published and gone: {sorted(lost)}"

    def leftovers(self) -> list[Path]:
        return [*self._root.glob("bundles/.*"), *self._root.glob("current/.*")]

    def sweep(self) -> None:
        """Remove bundles that this operation has made and that are not current."""
        pointer = self._registry.pointer(SYMBOL)
        for manifest in [*self._registry.versions()][2:]:
            if "chaos" in manifest.info.hyperparameters and pointer is not None:
                folder = self._root / "bundles" / manifest.version
                if manifest.version != pointer.version:
                    self._swept.add(manifest.version)
                    for file in folder.iterdir():
                        file.unlink()
                    folder.rmdir()

    def _not_loading(self, versions: Collection[str]) -> Iterator[str]:
        for version in sorted(versions):
            try:
                self._registry.load(version)
            except ClosecastError as error:
                yield f"a bundle is listed and does not load: {error}"


class Committing(Operation):
    """A dated forecast is committed: what ``GET /forecast`` answers is in the ledger before."""

    name = "commit a forecast"
    in_files = False

    def once(self, n: int) -> Any:
        with closing(Database(self.settings.ledger_url)) as database:
            database.forecasts.commit(_said(n))
        return n

    def broken(self, promised: Collection[Any]) -> Iterator[str]:
        yield from damage_of_database(self.settings)
        with closing(Database(self.settings.ledger_url)) as database:
            for n in promised:
                said = _said(n)
                try:
                    found, _ = database.forecasts.get(said.forecast_id)
                except ClosecastError as error:
                    yield f"a committed forecast is lost: {error}"
                    continue
                if found != said:
                    yield f"forecast {said.forecast_id} is not what was committed"
            for name, found, _ in database.forecasts.newest(SYMBOL, "replay", 5):
                if len(found.steps) != _STEPS:
                    yield f"forecast {name} has {len(found.steps)} of {_STEPS} steps"

    def leftovers(self) -> list[Path]:
        return []


class Absorbing(Operation):
    """The live calibration moves on by one revision, all its parts in one transaction."""

    name = "store a calibration"
    in_files = False

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        registry = Registry(settings.models_url)
        *_, oldest = registry.versions(SYMBOL)  # the newest ones come and go
        self._version = oldest.version
        self._first: AdaptiveState = load_state(
            registry.load(self._version).files[LIVE_FILE], SYMBOL
        )

    def once(self, n: int) -> Any:
        with closing(Database(self.settings.ledger_url)) as database:
            stored = database.calibrations.newest(self._version, SYMBOL)
            before = None if stored is None else stored.revision
            revision = (before or 0) + 1
            day = date(2026, 1, 1) + timedelta(days=revision)
            change = CalibrationChange(
                SYMBOL, before, revision, day, self._parts(revision), self._closes(revision)
            )
            database.calibrations.store(self._version, [change])
        return [revision, day.isoformat()]

    def broken(self, promised: Collection[Any]) -> Iterator[str]:
        yield from damage_of_database(self.settings)
        with closing(Database(self.settings.ledger_url)) as database:
            try:
                stored = database.calibrations.newest(self._version, SYMBOL)
            except ClosecastError as error:
                yield f"the stored calibration is damaged: {error}"
                return
            newest = max((revision for revision, _ in promised), default=0)
            if (stored.revision if stored else 0) < newest:
                yield f"revision {newest} was promised, {stored and stored.revision} is stored"
            if stored is not None:
                if stored.parts != self._parts(stored.revision):
                    yield f"revision {stored.revision} is a mixture"
                known = database.calibrations.absorbed(self._version, SYMBOL)
                if known is None or known.prices != self._closes(known.revision):
                    yield f"revision {stored.revision} without the closes that it absorbed"

    def leftovers(self) -> list[Path]:
        return []

    def _parts(self, revision: int) -> tuple[bytes, ...]:
        return tuple(revision.to_bytes(4) + part for part in self._first.to_parts())

    def _closes(self, revision: int) -> Prices:
        days = np.datetime64("2026-01-01") + revision + np.arange(-9, 1)
        return Prices(SYMBOL, days, np.full(10, float(revision)), "made")


class Working(Operation):
    """A job is queued, taken, shown to be alive, and finished."""

    name = "run a job"
    in_files = False

    def once(self, n: int) -> Any:
        with closing(Database(self.settings.ledger_url)) as database:
            owner = owner_name()
            # One that a killed child had taken waits to be begun again: it comes first.
            with suppress(JobConflict):
                database.jobs.submit("chaos", SYMBOL, {"n": n}, idempotency_key=f"chaos-{n}")
            job = database.jobs.claim(owner)
            if job is None:
                return None
            database.jobs.heartbeat(job.id, owner, {"n": n})
            database.jobs.finish(job.id, owner, "succeeded", result={"n": n})
        return [job.id, n]

    def broken(self, promised: Collection[Any]) -> Iterator[str]:
        yield from damage_of_database(self.settings)
        with closing(Database(self.settings.ledger_url)) as database:
            database.jobs.bury_dead(_LEASE, is_alive)
            for job in database.jobs.newest(limit=50, task="chaos"):
                if job.state == "running":
                    yield f"job {job.id} runs for ever"
                elif job.state == "failed" and not job.reason:
                    yield f"job {job.id} failed without a reason"
            for job_id, n in promised:
                job = database.jobs.get(job_id)
                if job.state != "succeeded" or job.result != {"n": n}:
                    yield f"job {job_id} had succeeded and is {job.state}"

    def leftovers(self) -> list[Path]:
        return []


class Collecting(Operation):
    """Collected closes replace those before."""

    name = "store closes"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._folder = settings.data_dir / "chaos-prices"

    def once(self, n: int) -> Any:
        PriceCache(self._folder).put(_closes(n))
        return n

    def broken(self, promised: Collection[Any]) -> Iterator[str]:
        try:
            found = PriceCache(self._folder).get(SYMBOL)
        except ClosecastError as error:
            yield f"the closes are damaged: {error}"
            return
        newest = max(promised, default=0)
        if found is None:
            if promised:
                yield "the closes are gone"
        elif found.closes[0] < newest or found != _closes(int(found.closes[0])):
            yield f"the closes are of write {found.closes[0]:.0f}, {newest} was promised"

    def leftovers(self) -> list[Path]:
        return [*self._folder.glob(".*")]


class MakingKeys(Operation):
    """A key is made, and an older one revoked."""

    name = "make a key"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._store = KeyStore(settings.data_dir / "chaos-keys" / "keys.json")

    def once(self, n: int) -> Any:
        self._store.create(f"k{n}", "read")
        for key in self._store.listed()[:-_KEYS_KEPT]:
            self._store.revoke(key.name)
        return n

    def broken(self, promised: Collection[Any]) -> Iterator[str]:
        try:
            names = {key.name for key in self._store.listed()}
        except ClosecastError as error:
            yield f"the keys are damaged: {error}"
            return
        newest = max(promised, default=None)
        # Children that were killed before they told have made keys, too, and revoked for them.
        later = [name for name in names if newest is not None and int(name[1:]) > newest]
        if newest is not None and f"k{newest}" not in names and len(later) < _KEYS_KEPT:
            yield f"key k{newest} was made and is gone"

    def leftovers(self) -> list[Path]:
        folder = self._store.path.parent
        return [path for path in folder.glob(".*") if path.suffix != ".lock"]


OPERATIONS: dict[str, type[Operation]] = {
    operation.name: operation
    for operation in (Publishing, Committing, Absorbing, Working, Collecting, MakingKeys)
}


def damage_of_database(settings: Settings) -> Iterator[str]:
    """What SQLite itself finds wrong with the ledger."""
    file = settings.ledger_url.removeprefix("sqlite:///")
    if not Path(file).exists():
        return
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        [found] = connection.execute("PRAGMA integrity_check").fetchone()
    if found != "ok":
        yield f"the ledger is damaged: {found}"


def _said(n: int) -> DatedForecast:
    origin = date(2020, 1, 1)
    rng = np.random.default_rng(n)
    steps = tuple(
        DatedStep(
            step,
            origin + timedelta(days=step),
            float(rng.uniform(1, 500)),
            tuple(np.sort(rng.normal(size=len(SCORED_PROBABILITIES))).tolist()),
        )
        for step in range(1, _STEPS + 1)
    )
    return DatedForecast(
        kind="replay",
        symbol=SYMBOL,
        version="20200101T000000Z-00000000",
        revision=n,
        forecaster="chaos",
        origin=origin,
        origin_close=float(n),
        basis="adjusted",
        source="chaos",
        issued_at=datetime(2020, 1, 1, 22, tzinfo=UTC) + timedelta(seconds=n),
        steps=steps,
    )


def _closes(n: int) -> Prices:
    """The first close tells which write they are of, the rest whether they are whole."""
    closes = np.random.default_rng(n).uniform(1, 500, 2000)
    closes[0] = n
    days = np.busday_offset("2015-01-01", np.arange(len(closes)), roll="forward")
    return Prices(SYMBOL, days, closes, "chaos", "adjusted")
