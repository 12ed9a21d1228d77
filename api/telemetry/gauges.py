"""Gauges looked up at each scrape: models, closes, skill, jobs, the machine."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from api.telemetry.job_gauges import gauge, job_gauges
from api.telemetry.machine import Machine
from closecast import __version__
from closecast.core.records import Kind
from closecast.database import Database
from closecast.database.engine import Clock
from closecast.errors import ClosecastError, StorageFailed
from closecast.metrics.live import summarise
from closecast.registry.documents import Manifest
from closecast.registry.registry import Registry
from closecast.serving import ModelManager
from closecast.serving.dated import DatedForecastService, Freshness

log = logging.getLogger(__name__)

MOST_SYMBOLS = 200
"""Symbols with gauges of age and skill; the first ones of the alphabet."""

_KEPT_S = 30.0
_SHARE = 0.02
"""Share of one CPU that looking may take at most, however many symbols there are."""
_JUDGED_BY = timedelta(days=366)

T = TypeVar("T")


class CachedValue(Generic[T]):
    """A value that is looked up again when it is old; longer if looking takes long.

    Parameters
    ----------
    look : callable
        May raise: then the next call looks again.
    """

    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self._looking = threading.Lock()
        self._value: T | None = None
        self._until = 0.0

    def get(self) -> T:
        """The value, of now or of a while ago."""
        with self._looking:
            started = time.monotonic()
            if self._value is None or started >= self._until:
                self._value = self._look()
                now = time.monotonic()
                self._until = now + max(_KEPT_S, (now - started) / _SHARE)
            return self._value


@dataclass(frozen=True, slots=True)
class _Skill:
    """Of the forecasts of one symbol that were scored within a year."""

    symbol: str
    scored: int
    relative_mae: float | None
    crps: float
    coverage: tuple[tuple[float, float | None], ...]


class ServiceGauges(Collector):
    """Gauges of the state that all processes share, equal in every process.

    The exception is ``models_refused``: bundles that the answering process could not load. A part
    that fails, or one symbol of it, is left out and counted; the others are exposed.

    Parameters
    ----------
    failed : callable
        Called with the name of a part that could not be looked up.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        models: ModelManager,
        forecasting: DatedForecastService,
        database: Database,
        machine: Machine,
        clock: Clock,
        kind: Kind,
        failed: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._models = models
        self._forecasting = forecasting
        self._database = database
        self._machine = machine
        self._clock = clock
        self._kind = kind
        self._failed = failed
        self._manifests: dict[str, Manifest] = {}
        self._current = CachedValue(self._look_at_models)
        self._fresh = CachedValue(self._look_at_closes)
        self._skill = CachedValue(self._look_at_skill)

    def collect(self) -> Iterator[Metric]:
        """Every gauge that can be looked up now."""
        for part in (
            self.machine,
            self.models,
            self.refused,
            self.closes,
            self.held,
            self.skill,
            self.jobs,
            self.database,
        ):
            try:
                yield from list(part())
            except Exception as error:  # one that fails must not hide all others
                self._missing(part.__name__, error)

    def machine(self) -> Iterator[Metric]:
        """CPU, memory, disk."""
        yield gauge(
            "build_info", "The version of closecast, as a label.", ["version"], [([__version__], 1)]
        )
        cpu_percent = self._machine.cpu_percent
        yield gauge(
            "machine_cpu_ratio",
            "Share of the machine's CPU time in use, 0 to 1; NaN in the first 0.1 s.",
            value=math.nan if cpu_percent is None else cpu_percent / 100,
        )
        yield gauge(
            "machine_memory_ratio",
            "Share of the machine's memory in use, 0 to 1.",
            value=self._machine.memory_percent / 100,
        )
        free, total = self._machine.disk()
        yield gauge("disk_free_bytes", "Free on the disk that holds the data folder.", value=free)
        yield gauge("disk_bytes", "Size of that disk.", value=total)

    def models(self) -> Iterator[Metric]:
        """Current model of each symbol and its age."""
        now = self._clock()
        current = self._current.get()
        yield gauge(
            "model_info",
            "The current model of a symbol, as labels.",
            ["symbol", "version", "forecaster"],
            [([s, m.version, m.info.forecaster], 1) for s, m in current],
        )
        yield gauge(
            "model_age_seconds",
            "Time since the current model was made.",
            ["symbol"],
            [([s], (now - m.created_at).total_seconds()) for s, m in current],
        )

    def refused(self) -> Iterator[Metric]:
        """Number of bundles that this process could not load."""
        yield gauge(
            "models_refused",
            "Symbols whose newest bundle cannot be served; the one before is.",
            value=len(self._models.failures()),
        )

    def closes(self) -> Iterator[Metric]:
        """Age of the newest closes, in sessions and in seconds."""
        now = self._clock()
        fresh = self._fresh.get()
        yield gauge(
            "data_age_sessions",
            "Sessions completed since the newest close that forecasts start from.",
            ["symbol"],
            [([symbol], found.age) for symbol, found in fresh],
        )
        yield gauge(
            "data_age_seconds",
            "Time since the bell of the newest close that forecasts start from.",
            ["symbol"],
            [([symbol], (now - found.closed_at).total_seconds()) for symbol, found in fresh],
        )

    def held(self) -> Iterator[Metric]:
        """Symbols whose newest closes are held back."""
        held = self._database.close_decisions.all_held()
        yield gauge(
            "closes_held",
            "1 where newest closes are held back as probably wrong, else 0.",
            ["symbol"],
            [([symbol], float(symbol in held)) for symbol, _ in self._current.get()],
        )

    def skill(self) -> Iterator[Metric]:
        """Scores of the dated forecasts of the last year."""
        skills = self._skill.get()
        yield gauge(
            "live_scored",
            "Forecast steps of the last year that were scored.",
            ["symbol"],
            [([s.symbol], s.scored) for s in skills],
        )
        yield gauge(
            "live_relative_mae",
            "Mean absolute error over naive's on the same rows; below 1 is better.",
            ["symbol"],
            [([s.symbol], s.relative_mae) for s in skills if s.relative_mae is not None],
        )
        yield gauge(
            "live_crps",
            "Mean CRPS of log returns.",
            ["symbol"],
            [([s.symbol], s.crps) for s in skills],
        )
        yield gauge(
            "live_coverage_ratio",
            "Share of closes inside the interval of a level; as much as the level says is right.",
            ["symbol", "level"],
            [
                ([s.symbol, f"{level:g}"], share)
                for s in skills
                for level, share in s.coverage
                if share is not None
            ],
        )

    def jobs(self) -> Iterator[Metric]:
        """Jobs that wait or run, their progress, and the last result."""
        return job_gauges(self._database.jobs, self._clock())

    def database(self) -> Iterator[Metric]:
        """1 if the ledger can be read, else 0."""
        try:
            self._database.check()
            up = 1
        except ClosecastError:
            up = 0
        yield gauge("ledger_up", "Whether the ledger can be read.", value=up)

    def _look_at_models(self) -> Sequence[tuple[str, Manifest]]:
        current = []
        for symbol in self._registry.symbols()[:MOST_SYMBOLS]:
            with self._without("models", symbol):
                pointer = self._registry.pointer(symbol)
                if pointer is None:
                    continue
                manifest = self._manifests.get(pointer.version)
                if manifest is None:
                    manifest = self._registry.manifest(pointer.version)
                current.append((symbol, manifest))
        self._manifests = {manifest.version: manifest for _, manifest in current}
        return current

    def _look_at_closes(self) -> Sequence[tuple[str, Freshness]]:
        told = []
        for symbol, _ in self._current.get():
            with self._without("closes", symbol):
                found = self._forecasting.freshness(symbol)
                if found is not None:
                    told.append((symbol, found))
        return told

    def _look_at_skill(self) -> Sequence[_Skill]:
        since = (self._clock() - _JUDGED_BY).date()
        found = []
        for symbol, _ in self._current.get():
            with self._without("skill", symbol):
                rows = self._database.forecasts.scored(symbol, self._kind, since=since)
                overall = summarise(rows).overall
                if overall is None:
                    continue
                coverage = tuple((c.level, c.observed.value) for c in overall.coverage)
                found.append(
                    _Skill(symbol, overall.n, overall.relative_mae.value, overall.crps, coverage)
                )
        return found

    @contextmanager
    def _without(self, part: str, symbol: str) -> Iterator[None]:
        """Leave out a symbol whose lookup fails."""
        try:
            yield
        except StorageFailed:
            # Hardly one symbol's: each of the others would wait for the same ledger.
            raise
        except ClosecastError as error:
            self._missing(part, error, symbol)

    def _missing(self, part: str, error: Exception, symbol: str | None = None) -> None:
        log.warning("a metric is missing", extra={"part": part, "symbol": symbol, "reason": error})
        self._failed(part)
