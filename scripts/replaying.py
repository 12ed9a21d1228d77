"""A replay: a model, a set clock, the real API, and the ledger that fills day by day."""

from __future__ import annotations

import json
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import uvicorn

from api.main import create_app
from closecast.calibration import AdaptiveState, PanelMember, follow, load_state
from closecast.cli.progress import ProgressBar
from closecast.core.calendars import session_table
from closecast.core.prices import Prices
from closecast.core.records import SCORED_PROBABILITIES, DatedForecast
from closecast.core.symbols import folder_name
from closecast.database import Database
from closecast.errors import ClosecastError
from closecast.evaluation.performance_plots import forecast_plot, to_png
from closecast.forecasters import load_predictor
from closecast.infra.files import write_atomically
from closecast.metrics.live import summarise
from closecast.pipeline import update
from closecast.pipeline.update import draw_performance
from closecast.registry.documents import LIVE_FILE
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache

PATH_LEVEL = 0.9


class ReplayDiffers(ClosecastError):
    """Served forecasts differ from those that the evaluation computes."""

    code = "replay_differs"


@dataclass
class Clock:
    """A clock that stands where it is put."""

    now: datetime

    def __call__(self) -> datetime:
        """The set time."""
        return self.now


@contextmanager
def serving(settings: Settings, clock: Clock) -> Iterator[str]:
    """The API on a free port of this machine, with the clock, for as long as the block runs."""
    app = create_app(settings, clock=clock, kind="replay")
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, name="replay-api", daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise ReplayDiffers("the API did not start; its log says why")
        thread.join(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)


def ask(url: str) -> Any:
    """A JSON answer."""
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  our own server  # nosec B310
        return json.load(answer)


def days_after(exchange: str, last: date, count: int) -> list[tuple[date, datetime]]:
    """The next sessions, and when the close of each is final."""
    table = session_table(exchange)
    found = []
    for session in table.after(np.datetime64(last, "D"), count):
        final = table.final_at[np.searchsorted(table.sessions, session)].item()
        found.append((session.item(), final.replace(tzinfo=UTC)))
    return found


def walk(
    settings: Settings, symbols: Sequence[str], days: Sequence[tuple[date, datetime]]
) -> dict[str, list[str]]:
    """Replay the days; answers the identifiers of all forecasts by symbol."""
    clock = Clock(days[0][1])
    database = Database(settings.ledger_url, clock)
    served: dict[str, list[str]] = {symbol: [] for symbol in symbols}
    with serving(settings, clock) as address, ProgressBar() as bar:
        for i, (day, final_at) in enumerate(days):
            clock.now = final_at
            done: set[str] = set()
            for symbol in symbols:
                if symbol not in done:  # else it came along with another symbol of its model
                    updated = update(settings, symbol, database, end=day, kind="replay", draw=False)
                    done |= set(updated.collected)
            for symbol in symbols:
                answer = ask(f"{address}/forecast/{urllib.parse.quote(symbol)}")
                if answer["origin"] != day.isoformat():
                    raise ReplayDiffers(f"{symbol} on {day} starts from {answer['origin']}")
                served[symbol].append(answer["forecast_id"])
            percent = round(100 * (i + 1) / len(days), 1)
            bar.show({"stage": f"replay {day}", "percent": percent})
    database.close()
    return served


def check(
    settings: Settings, symbols: Sequence[str], database: Database, served: dict[str, list[str]]
) -> dict[tuple[str, str], AdaptiveState]:
    """Compare served forecasts with those that the evaluation computes from the whole data.

    Returns
    -------
    dict of (symbol, ISO date) to AdaptiveState
        The calibration as the evaluation's code has it after each day.

    Raises
    ------
    ReplayDiffers
        At the first quantile that is not the same number.
    """
    computed: dict[tuple[str, str], AdaptiveState] = {}
    cache = PriceCache(settings.data_dir / "prices")
    registry = Registry(settings.models_url)
    versions = {symbol: _pointer(registry, symbol) for symbol in symbols}
    for version in sorted(set(versions.values())):
        bundle = registry.load(version)
        info = bundle.manifest.info
        series = [_known(cache, symbol) for symbol in info.symbols]
        begun = {p.symbol: load_state(bundle.files[LIVE_FILE], p.symbol) for p in series}
        start = max(state.session for state in begun.values())
        newest = max(int((p.sessions > start).sum()) for p in series)
        forecasts = load_predictor(info.forecaster, bundle.files).predict_along(series, newest)
        members = [PanelMember(p, f) for p, f in zip(series, forecasts, strict=True)]
        for day, states in follow(members, start + 1, begun):
            for symbol, state in states.items():
                computed[symbol, str(day)] = state
        for symbol in (s for s in symbols if versions[s] == version):
            for forecast_id in served[symbol]:
                forecast, _ = database.forecasts.get(forecast_id)
                _compare(forecast, computed[symbol, str(forecast.origin)])
    return computed


def _compare(forecast: DatedForecast, state: AdaptiveState) -> None:
    expected = state.forecast(SCORED_PROBABILITIES).quantiles.tolist()
    for step, quantiles in zip(forecast.steps, expected, strict=True):
        if list(step.quantiles) != quantiles:
            raise ReplayDiffers(
                f"{forecast.symbol}, origin {forecast.origin}, step {step.step}: served "
                f"{step.quantiles[20]:.17g}, the evaluation computes {quantiles[20]:.17g}"
            )


def _pointer(registry: Registry, symbol: str) -> str:
    pointer = registry.pointer(symbol)
    assert pointer is not None
    return pointer.version


def _known(cache: PriceCache, symbol: str) -> Prices:
    prices = cache.get(symbol)
    assert prices is not None
    return prices


def report(
    settings: Settings,
    symbols: Sequence[str],
    database: Database,
    served: dict[str, list[str]],
    computed: dict[tuple[str, str], AdaptiveState],
) -> None:
    """Print the ledger's record as a table and write it as pictures."""
    cache = PriceCache(settings.data_dir / "prices")
    print(f"{'symbol':<8}{'step':>5}{'scored':>8}{'rel. MAE (95 %)':>26}{'cover 80':>10}{'95':>8}")
    for symbol in symbols:
        performance = summarise(database.forecasts.scored(symbol, "replay"))
        for found in performance.steps:
            if found.step in (1, 5, 10):
                mae = found.relative_mae
                shown = f"{mae.value:.4f}" if mae.value is not None else "-"
                if mae.lower is not None and mae.upper is not None:
                    shown += f" ({mae.lower:.3f} to {mae.upper:.3f})"
                held = {c.level: c.observed.value or 0.0 for c in found.coverage}
                print(
                    f"{symbol:<8}{found.step:>5}{found.n:>8}{shown:>26}"
                    f"{held[0.8]:>10.3f}{held[0.95]:>8.3f}"
                )
        draw_performance(settings, symbol, database, "replay")
        forecast, _ = database.forecasts.get(served[symbol][len(served[symbol]) // 2])
        state = computed[symbol, str(forecast.origin)]
        lower, upper = (state.last_close * np.exp(end) for end in state.path_band(PATH_LEVEL))
        figure = forecast_plot(
            _known(cache, symbol), forecast, performance, (lower.tolist(), upper.tolist())
        )
        path = settings.results_dir / folder_name(symbol) / "forecast-replay.png"
        write_atomically(path, to_png(figure))
        print(f"wrote {path} and {path.with_name('performance-replay.png')}")
