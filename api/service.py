"""Service container: the parts that routes need, wired once at start."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from fastapi import Depends, Request

from api.services.first_training import with_training
from api.services.prediction import PredictionService
from api.telemetry.gauges import ServiceGauges
from api.telemetry.requests import Telemetry
from closecast.core.records import Kind
from closecast.database import Database, PredictionLogWriter
from closecast.database.engine import Clock
from closecast.errors import ClosecastError, StorageFailed
from closecast.infra.bounded import BoundedCall
from closecast.infra.latency import Latencies
from closecast.jobs.backends.local import LocalBackend
from closecast.jobs.supervisor import Supervisor, can_train
from closecast.jobs.worker_failures import worker_trouble
from closecast.registry.documents import Pointer
from closecast.registry.places import require_places
from closecast.registry.registry import Registry
from closecast.serving import (
    FallbackPolicy,
    FleetReporter,
    MarketContext,
    ModelManager,
    PointerFollower,
)
from closecast.serving.dated import DatedForecastService
from closecast.serving.health import HealthMonitor
from closecast.settings import Settings
from closecast.sources.calendar_cache import CalendarCache
from closecast.sources.price_cache import PriceCache


@dataclass
class Service:
    """The parts of one API process."""

    settings: Settings
    registry: Registry
    models: ModelManager
    database: Database
    follower: PointerFollower
    fleet: FleetReporter
    latencies: Latencies
    supervisor: Supervisor | None
    forecasting: DatedForecastService
    predictions: PredictionLogWriter
    telemetry: Telemetry
    clock: Clock
    kind: Kind
    health: HealthMonitor
    prediction: PredictionService = field(init=False)
    network: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "batch-network")
    )
    gauges: ServiceGauges = field(init=False)

    def __post_init__(self) -> None:
        self.prediction = PredictionService(
            models=self.models,
            forecasting=self.forecasting,
            policy=FallbackPolicy.from_settings(self.settings),
            telemetry=self.telemetry,
            log=self.predictions,
            clock=self.clock,
        )
        self._places = BoundedCall("places", self._places_failure, patience_s=2.0)
        self.gauges = ServiceGauges(
            registry=self.registry,
            models=self.models,
            forecasting=self.forecasting,
            database=self.database,
            machine=self.telemetry.machine,
            clock=self.clock,
            kind=self.kind,
            failed=self.telemetry.scrape_failed,
        )

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock, kind: Kind) -> Service:
        """Build all parts; opens nothing but the thread that logs predictions."""
        registry = Registry(settings.models_url)
        cache = PriceCache(settings.data_dir / "prices")
        calendars = CalendarCache(settings.data_dir / "calendars")
        database = Database(settings.ledger_url, clock)
        models = ModelManager(
            registry,
            MarketContext(cache, calendars),
            settings.default_symbol,
            describe_missing=partial(with_training, jobs=database.jobs),
        )
        latencies = Latencies()
        fleet = FleetReporter(models, database.processes, latencies, database.other_clocks)
        supervisor = (
            Supervisor(settings, database) if settings.worker_enabled and can_train() else None
        )
        telemetry = Telemetry(settings.data_dir, settings.recent_requests)
        health = HealthMonitor(
            settings,
            models,
            database,
            trains=supervisor is not None,
            free_bytes=lambda: telemetry.machine.disk()[0],
            others=[partial(worker_trouble, settings.data_dir), fleet.trouble],
        )
        backend = LocalBackend(database, wake=supervisor.wake if supervisor else None)
        database.jobs.publish_with(backend.publish)
        return cls(
            settings=settings,
            registry=registry,
            models=models,
            database=database,
            follower=PointerFollower(models, settings.pointer_poll_s, on_change=fleet.wake),
            fleet=fleet,
            latencies=latencies,
            supervisor=supervisor,
            forecasting=DatedForecastService(
                models=models,
                prices=cache,
                calendars=calendars,
                database=database,
                settings=settings,
                clock=clock,
                kind=kind,
                has_worker=supervisor is not None,
            ),
            predictions=PredictionLogWriter(database.predictions, keep=settings.predictions_kept),
            telemetry=telemetry,
            clock=clock,
            kind=kind,
            health=health,
        )

    def _places_failure(self) -> StorageFailed | None:
        try:
            require_places(self.settings)
        except StorageFailed as error:
            return error
        return None

    def pointer(self, symbol: str) -> Pointer | None:
        """The pointer of a symbol; ``None`` also where it cannot be read."""
        try:
            return self.registry.pointer(symbol)
        except ClosecastError:
            return None

    def published_version(self, symbol: str) -> str | None:
        """Version that the pointer of a symbol names; ``None`` where it cannot be read."""
        pointer = self.pointer(symbol)
        return pointer.version if pointer else None

    def require_places(self) -> None:
        """Check that the worker of this service can write a model where it will have to.

        Raises
        ------
        StorageFailed
            If not, or if the disk does not answer within two seconds.
        """
        if self.supervisor is None:
            return  # another machine trains, with folders of its own
        self._places.begin()
        found = self._places.answer()
        if found.silent_s:
            raise StorageFailed(
                "the folders that a training writes to do not answer: check the disk; nothing was "
                "begun"
            )
        if found.value is not None:
            raise found.value

    def start(self) -> None:
        """Load the default model, follow pointers, report to the fleet, supervise the worker."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        self.telemetry.start(self.predictions)
        with suppress(ClosecastError):  # models that cannot be written: their writer completes it
            self.registry.finish_moves()
        self.models.look(self.models.default_symbol)
        self.follower.start()
        self.fleet.start()
        self.health.start()
        if self.supervisor is not None:
            self.supervisor.start()

    def stop(self) -> None:
        """The reverse."""
        self.follower.stop()
        self.fleet.stop()
        if self.supervisor is not None:
            self.supervisor.stop()
        self.predictions.close(timeout_s=5)
        self.telemetry.stop()
        self.network.shutdown(cancel_futures=True)
        self.database.close()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]
