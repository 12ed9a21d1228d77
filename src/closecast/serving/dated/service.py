"""Dated forecasts: one row per session, committed to the ledger before they are returned."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import TypeVar

import numpy as np

from closecast.calibration import AdaptiveState
from closecast.core.calendars import SessionTable, as_date
from closecast.core.forecast import DEFAULT_LEVELS, PROBABILITIES, Forecast
from closecast.core.point_forecasts import flat_path_note
from closecast.core.prices import Prices
from closecast.core.records import SCORED_PROBABILITIES, DatedForecast, DatedStep, Kind
from closecast.core.symbols import exchange_of
from closecast.database import ACTIVE, Database, Job
from closecast.database.engine import Clock
from closecast.errors import (
    BeyondHorizon,
    CalendarTooShort,
    NotCollected,
    StalePrices,
    StorageFailed,
    TooFewCloses,
)
from closecast.serving import COLLECT_AGAIN, FallbackPolicy, ModelManager, Snapshot
from closecast.serving.dated.answers import DatedAnswer, DatedRow, Freshness
from closecast.serving.dated.held import with_held
from closecast.serving.dated.live_calibrations import LiveCalibrations
from closecast.serving.dated.refresh import Refresh
from closecast.serving.dated.rows import (
    ForecastOrigin,
    checked_levels,
    last_update,
    rows_of,
    unfinished_session,
    verdict_of,
)
from closecast.settings import Settings
from closecast.sources import source_again, source_edition
from closecast.sources.calendar_cache import CalendarCache
from closecast.sources.price_cache import PriceCache

log = logging.getLogger(__name__)
T = TypeVar("T")


class DatedForecastService:
    """Answers dated forecasts from the caches, and requests newer closes from the worker.

    Parameters
    ----------
    has_worker : bool
        Newer closes are collected by a job; without a worker none is ever queued.
    """

    def __init__(
        self,
        *,
        models: ModelManager,
        prices: PriceCache,
        calendars: CalendarCache,
        database: Database,
        settings: Settings,
        clock: Clock,
        kind: Kind,
        has_worker: bool = False,
    ) -> None:
        self.calibrations = LiveCalibrations(database, prices)
        self._models = models
        self._prices = prices
        self._calendars = calendars
        self._database = database
        self._settings = settings
        self._clock = clock
        self._kind = kind
        self._policy = FallbackPolicy.from_settings(settings)
        # The worker uses the real clock: in a replay, closes that it collects would be foresight.
        self._refresh = Refresh(database, settings, clock, has_worker=has_worker and kind == "live")

    def answer(
        self,
        symbol: str | None,
        horizon: int | None = None,
        levels: Sequence[float] = DEFAULT_LEVELS,
    ) -> DatedAnswer | Job:
        """Forecast the next sessions, or return the job that collects the closes for it.

        All steps of the model are committed, for any horizon. May wait for ``forecast_wait_s``
        seconds: call it in a thread.

        Parameters
        ----------
        horizon : int, optional
            Sessions ahead; all of the model by default.
        levels : sequence of float
            Of central intervals, each from 0.5 to 0.99, at most 10.

        Raises
        ------
        NoModel, UnknownSymbol, DamagedBundle
            As :meth:`closecast.serving.ModelManager.get`.
        BeyondHorizon, InvalidLevels
        TooFewCloses
            If the past errors cannot hold a level. What is committed goes to 99 %, or to 95 %
            where past errors are too few.
        NotCollected
            If closes were never collected here and no job is collecting any.
        CalendarTooShort
        DataFault
            If the newest closes have a fault, and the policy is to refuse them.
        StorageFailed
            If the ledger cannot be written: a forecast that is not committed is not returned.
        """
        levels = checked_levels(levels)
        snapshot = self._models.get(symbol)
        longest = snapshot.manifest.info.horizon
        steps = longest if horizon is None else horizon
        if not 1 <= steps <= longest:
            raise BeyondHorizon(steps, longest, snapshot.version)
        start = self._current(snapshot)
        if isinstance(start, Job):
            return start
        answer = self._commit(start, levels)
        return replace(answer, path=answer.path[:steps])

    def today(
        self, symbol: str | None, levels: Sequence[float] = DEFAULT_LEVELS
    ) -> tuple[DatedAnswer, DatedRow] | Job:
        """Forecast the session that is open now, or else the next to open (D+0).

        Raises
        ------
        StalePrices
            If that session lies beyond the horizon.

        And as :meth:`answer`.
        """
        levels = checked_levels(levels)
        start = self._current(self._models.get(symbol))
        if isinstance(start, Job):
            return start
        session = start.table.next_to_close(start.now)
        step = start.table.steps_between(start.state.session, session)
        if step > start.state.horizon:
            symbol, origin = start.snapshot.symbol, str(start.state.session)
            raise StalePrices(
                f"the newest close of {symbol} is of {origin}, {start.age} completed sessions "
                f"ago; the session of {session} is {step} ahead of it and the model looks "
                f"{start.state.horizon} ahead. Collect newer closes (`python -m "
                f"scripts.05_score_forecasts --symbols {symbol}`; the sample has none), or ask "
                f"for the sessions after {origin} with GET /forecast/{symbol}",
                origin,
                start.age,
            )
        answer = self._commit(start, levels)
        return answer, answer.path[step - 1]

    def freshness(self, symbol: str) -> Freshness | None:
        """Compute the age of the close that a symbol's forecast starts from.

        ``None`` without a model or a calendar.

        Raises
        ------
        StorageFailed, CalendarTooShort
        """
        learned = self.learned_until(symbol)
        table = self._calendar(symbol)
        if learned is None or table is None:
            return None
        newest = np.datetime64(learned, "D")
        age = table.steps_between(newest, table.last_completed(self._clock()))
        return Freshness(as_date(newest), max(0, age), table.closes_at(newest))

    def learned_until(self, symbol: str) -> date | None:
        """Return the session of the close that a symbol's forecast starts from.

        ``None`` without a model.

        Raises
        ------
        StorageFailed
        """
        current = self._models.data_end(symbol)
        if current is None:
            return None
        version, end = current
        return self._database.calibrations.session_of(version, symbol) or date.fromisoformat(end)

    def _current(self, snapshot: Snapshot) -> ForecastOrigin | Job:
        start = None
        with contextlib.suppress(CalendarTooShort):  # collecting renews the calendar, too
            start = self._origin(snapshot)
        if start is not None and (not start.age or self._is_exhausted(start)):
            return start
        job, snapshot = self._update(snapshot)
        start = self._origin(snapshot)
        if start is not None:
            return replace(start, update=job)
        if job is not None and job.state in ACTIVE:
            return job
        tried = f" (the last attempt: {job.state}, {job.reason})" if job is not None else ""
        raise NotCollected(
            f"there is a model of {snapshot.symbol}, and its closes were never collected here: the "
            f"calendar of {exchange_of(snapshot.symbol)} is missing{tried}. Collect them with "
            f"`python -m scripts.01_collect_data --symbol {snapshot.symbol}`, or send your own "
            "to POST /predict"
        )

    def _update(self, snapshot: Snapshot) -> tuple[Job | None, Snapshot]:
        """Request an update and wait for it; answer with the model that serves afterwards."""
        for _ in range(2):  # a training may make another model current meanwhile
            version, symbols = snapshot.version, snapshot.manifest.info.symbols
            job = self._refresh.request_update(version, symbols)
            snapshot = self._models.get(snapshot.symbol)
            if job is None or job.state in ACTIVE or snapshot.version == version:
                break
        return job, snapshot

    def _is_exhausted(self, start: ForecastOrigin) -> bool:
        """Check that the source has no closes beside those that the state has absorbed."""
        symbol, prices = start.snapshot.symbol, start.prices
        if prices is None or prices.sessions[-1] != start.state.session:
            return False
        if unfinished_session(prices, as_date(start.state.session)):  # by now it may be over
            return False
        info = start.snapshot.manifest.info
        source = source_again(info.data[0].source, self._settings)
        edition = source_edition(source, self._settings, symbol)
        return edition is not None and edition == self._prices.edition(symbol)

    def _calendar(self, symbol: str) -> SessionTable | None:
        return self._unless_damaged(lambda: self._calendars.get(exchange_of(symbol)), symbol)

    def _closes(self, symbol: str) -> Prices | None:
        return self._unless_damaged(lambda: self._prices.get(symbol), symbol)

    def _unless_damaged(self, read: Callable[[], T | None], symbol: str) -> T | None:
        """Read a cache; ``None`` if its file is damaged, since collecting writes it again."""
        try:
            return read()
        except StorageFailed as error:
            log.error("cache unreadable", extra={"symbol": symbol, "reason": str(error)})
            return None

    def _origin(self, snapshot: Snapshot) -> ForecastOrigin | None:
        table = self._calendar(snapshot.symbol)
        if table is None:
            return None
        state = self.calibrations.state(snapshot)
        now = self._clock()
        age = table.steps_between(state.session, table.last_completed(now))
        if age < 0:
            raise NotCollected(
                f"the newest close of {snapshot.symbol} is of {state.session}, a session that is "
                f"not over at {now:%Y-%m-%d %H:%M}; collect its closes again"
            )
        return ForecastOrigin(snapshot, state, table, self._closes(snapshot.symbol), age, now)

    def _commit(self, start: ForecastOrigin, levels: Sequence[float]) -> DatedAnswer:
        decisions, symbol = self._database.close_decisions, start.snapshot.symbol
        held = decisions.held(symbol)
        found = verdict_of(start, decisions.accepted(symbol))
        verdict = with_held(found, held, as_date(start.state.session))
        advice = COLLECT_AGAIN if held is None else held.ends.removesuffix(".")
        self._policy.refuse(symbol, verdict, advice)
        state, table, info = start.state, start.table, start.snapshot.manifest.info
        forecast = _widest_forecast(state)
        sessions = table.after(state.session, state.horizon)
        rows = rows_of(start, sessions, forecast, levels)
        span = next(span for span in info.data if span.symbol == start.snapshot.symbol)
        dated = DatedForecast(
            kind=self._kind,
            symbol=start.snapshot.symbol,
            version=start.snapshot.version,
            revision=state.revision,
            forecaster=info.forecaster,
            origin=as_date(state.session),
            origin_close=state.last_close,
            basis=span.basis,
            source=span.source,
            issued_at=start.now,
            steps=tuple(
                DatedStep(row.step, row.session, row.price, tuple(quantiles))
                for row, quantiles in zip(rows, forecast.quantiles.tolist(), strict=True)
            ),
        )
        return DatedAnswer(
            forecast_id=self._database.forecasts.commit(dated),
            kind=self._kind,
            symbol=dated.symbol,
            exchange=table.exchange,
            model_version=dated.version,
            generation=start.snapshot.generation,
            calibration_revision=dated.revision,
            origin=dated.origin,
            last_close=dated.origin_close,
            basis=dated.basis,
            age=start.age,
            unfinished_session=unfinished_session(start.prices, dated.origin),
            verdict=verdict,
            held=held,
            last_update=last_update(start),
            path=rows,
            note=flat_path_note(info.location),
        )


def _widest_forecast(state: AdaptiveState) -> Forecast:
    """Forecast at all scored probabilities; without the outermost where errors are too few."""
    try:
        return state.forecast(SCORED_PROBABILITIES)
    except TooFewCloses:  # 99 % takes 199 past errors, a short history has fewer
        return state.forecast(PROBABILITIES)
