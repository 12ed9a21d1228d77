"""The parts around a ``DatedForecastService``, with a clock and calibrations set by tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from closecast.core.calendars import session_table
from closecast.core.records import Kind
from closecast.core.symbols import canonical
from closecast.core.verdict import Finding, Verdict
from closecast.database import Database, Job
from closecast.serving import ModelManager
from closecast.serving.dated import UPDATE, DatedAnswer, DatedForecastService
from closecast.sources.calendar_cache import CalendarCache
from closecast.sources.price_cache import PriceCache
from tests.conftest import settings_in
from tests.support.calibration_state import FakeCalibrations, live_state


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


VERSION = "20260102T030405Z-0a1b2c3d"


class FakeModels:
    """One made model, whatever the symbol."""

    def data_end(self, symbol: str) -> tuple[str, str]:
        return VERSION, "2022-12-21"

    def get(self, symbol: str | None = None) -> Any:
        wanted = canonical(symbol or "MSFT")
        span = SimpleNamespace(symbol=wanted, basis="raw", source="made")
        info = SimpleNamespace(
            horizon=10,
            forecaster="ewma",
            data=(span,),
            symbols=(wanted,),
            seq_length=60,
            location={},
        )
        detector = SimpleNamespace(check=lambda window, context: Verdict((finding_of(window),)))
        return SimpleNamespace(
            symbol=wanted,
            version=VERSION,
            generation=1,
            manifest=SimpleNamespace(info=info),
            detector=detector,
        )


def finding_of(window: np.ndarray) -> Finding:
    """Says which window was looked at."""
    return Finding("seen", "regime", "window", len(window), window[-1], f"ends at {window[-1]:g}")


@dataclass
class World:
    """Everything around a ``DatedForecastService``, to be moved by hand."""

    folder: Path
    now: datetime = field(default_factory=lambda: at("2022-12-22T23:00"))
    calibrations: FakeCalibrations = field(
        default_factory=lambda: FakeCalibrations(live_state("2022-12-22"))
    )
    published: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = settings_in(self.folder, forecast_wait_s=0.0)
        self.database = Database(self.settings.ledger_url, lambda: self.now)
        self.database.jobs.publish_with(lambda job_id, _: self.published.append(job_id))
        self.prices = PriceCache(self.folder / "prices")
        self.calendars = CalendarCache(self.folder / "calendars")
        for exchange in ("XNYS", "BVMF"):
            self.calendars.put(session_table(exchange, date(2022, 1, 1), date(2023, 12, 31)))

    def forecasting(
        self, *, kind: Kind = "live", worker: bool = False, **settings: object
    ) -> DatedForecastService:
        service = DatedForecastService(
            models=cast("ModelManager", FakeModels()),
            prices=self.prices,
            calendars=self.calendars,
            database=self.database,
            settings=self.settings.model_copy(update=settings),
            clock=lambda: self.now,
            kind=kind,
            has_worker=worker,
        )
        service._refresh._monotonic = lambda: self.now.timestamp()
        service.calibrations.state = self.calibrations.state  # type: ignore[method-assign]
        return service

    def updates(self, symbol: str = "MSFT") -> list[Job]:
        return self.database.jobs.newest(task=UPDATE, symbol=symbol)


def answered(found: object) -> DatedAnswer:
    assert isinstance(found, DatedAnswer)
    return found


def ask(world: World, symbol: str = "MSFT", **asked: Any) -> DatedAnswer:
    return answered(world.forecasting().answer(symbol, **asked))


def days(answer: DatedAnswer) -> list[str]:
    return [row.session.isoformat() for row in answer.path]
