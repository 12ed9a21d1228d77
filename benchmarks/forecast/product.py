"""closecast itself in the tables: the forecaster and the live calibration that are served."""

from __future__ import annotations

import numpy as np

from benchmarks.forecast.panel import Bounds, Panel
from closecast.calibration import PanelMember, follow
from closecast.core.dataset import split_at
from closecast.core.forecast import Forecast, stack
from closecast.core.prices import Prices
from closecast.forecasters import Predictor, make_forecaster, make_parameters
from closecast.sources.sample import SampleSource

FIRST_YEAR, LAST_YEAR = 2007, 2022
VALID_SHARE = 0.15
ENDS = np.array([0.05, 0.95])


def series_of(panel: Panel) -> list[Prices]:
    """The panel's closes as the service knows them."""
    source = SampleSource()
    found = []
    for symbol in panel.symbols:
        rows = source.read(symbol, None, None)
        found.append(Prices(symbol, rows.dates, rows.closes, "sample", rows.basis))
    return found


def walk_forward(series: list[Prices]) -> list[Forecast]:
    """What ``mlp`` says one session ahead at each origin, refitted every year on all the past.

    The origins of a year are forecast by a network that was fitted to closes of the years
    before; those before 2007 by the first one, which has learned from them: they only fill the
    calibration's memory.
    """
    parameters = make_parameters("mlp", {"horizon": 1})
    sessions = series[0].sessions
    parts: list[list[Forecast]] = [[] for _ in series]
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        stop = int(np.searchsorted(sessions, np.datetime64(f"{year}-01-01")))
        end = int(np.searchsorted(sessions, np.datetime64(f"{year + 1}-01-01")))
        valid_start = str(sessions[int(stop * (1 - VALID_SHARE))])
        splits = [split_at(p.rows(0, stop + 1), valid_start, str(sessions[stop])) for p in series]
        predictor = make_forecaster("mlp", parameters).fit(
            [split.train for split in splits], [split.valid for split in splits]
        )
        newest = end - stop if year > FIRST_YEAR else end - parameters.seq_length + 1
        _add(parts, predictor, [p.rows(0, end) for p in series], newest)
        print(f"{year}: fitted on {stop} sessions", flush=True)
    return [
        stack([forecast[i] for forecast in part for i in range(len(forecast.location))])
        for part in parts
    ]


def _add(
    parts: list[list[Forecast]], predictor: Predictor, series: list[Prices], newest: int
) -> None:
    for part, forecast in zip(parts, predictor.predict_along(series, newest), strict=True):
        part.append(forecast)


def product_rows(panel: Panel) -> dict[str, Bounds]:
    """90 % bounds of the default forecaster with history, and of ``ewma`` with the same."""
    series = series_of(panel)
    ewma = make_forecaster("ewma", make_parameters("ewma", {"horizon": 1}))
    early = [
        prices.rows(0, int(np.searchsorted(prices.sessions, np.datetime64("2007-01-01"))))
        for prices in series
    ]
    forecasts = {
        "closecast mlp + history": walk_forward(series),
        "closecast ewma + history": ewma.fit(early, early).predict_along(series),
    }
    return {name: _followed(panel, series, found) for name, found in forecasts.items()}


def _followed(panel: Panel, series: list[Prices], forecasts: list[Forecast]) -> Bounds:
    lower, upper = np.full(panel.returns.shape, np.nan), np.full(panel.returns.shape, np.nan)
    members = [PanelMember(prices, f) for prices, f in zip(series, forecasts, strict=True)]
    column = {symbol: s for s, symbol in enumerate(panel.symbols)}
    first = np.datetime64("2006-12-01")
    for day, states in follow(members, series[0].sessions[0]):
        if day < first:
            continue
        row = int(np.searchsorted(panel.sessions, day))
        for symbol, state in states.items():
            low, high = state.forecast(ENDS).quantiles[0]
            lower[row, column[symbol]], upper[row, column[symbol]] = low, high
    return lower, upper


def planted(prices: Prices, share: float) -> dict[str, Prices]:
    """The series with a fault each, after this share of its closes."""
    at = int(share * len(prices))
    frozen, unit, split = (prices.closes.copy() for _ in range(3))
    frozen[at : at + 400] = frozen[at]
    unit[at] *= 100
    split[:at] *= 4
    return {
        name: Prices(prices.symbol, prices.sessions, closes, prices.source, prices.basis)
        for name, closes in (("frozen stretch", frozen), ("x100 row", unit), ("lost split", split))
    }
