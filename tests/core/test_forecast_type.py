"""``Forecast``: a distribution per step, for one window or for many."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from closecast.core.forecast import PROBABILITIES, Forecast
from scripts.write_schemas import FOLDER, schema
from tests.support.synthetic_prices import patiently

ADAPTER = TypeAdapter(Forecast)
SPREAD = np.linspace(-2, 2, len(PROBABILITIES))


def one(last_close: float = 100.0, location: tuple[float, ...] = (0.0, 0.01)) -> Forecast:
    """A forecast from one window, ``len(location)`` steps ahead."""
    middle = np.array(location)
    scale = 0.02 * np.sqrt(np.arange(1, len(middle) + 1))
    quantiles = middle[:, None] + scale[:, None] * SPREAD
    return Forecast(np.array(last_close), middle, scale, PROBABILITIES, quantiles)


def batch(*forecasts: Forecast) -> Forecast:
    arrays = [
        np.stack([getattr(f, name) for f in forecasts])
        for name in ("last_close", "location", "scale", "quantiles")
    ]
    return Forecast(*arrays[:3], PROBABILITIES, arrays[3])


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_the_usual_intervals_are_stated_exactly(level: float) -> None:
    lower, upper = one().interval(level)
    column = round((1 - level) / 2 * 40) - 1
    assert lower == pytest.approx(100 * np.exp(one().quantiles[:, column]))
    assert upper == pytest.approx(100 * np.exp(one().quantiles[:, -1 - column]))


@pytest.mark.parametrize("level", [0.81, 0.99, 0.999, 0.0001])
def test_an_interval_that_is_not_stated_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="no quantile at probability"):
        one().interval(level)


def test_the_price_is_the_last_close_grown_by_the_location() -> None:
    assert one(50, (0.0, 0.1)).price == pytest.approx([50, 50 * np.exp(0.1)])


@patiently
@given(
    st.floats(1e-9, 1e12),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5),
)
def test_no_location_however_wild_makes_an_infinite_price(
    last_close: float, location: list[float]
) -> None:
    forecast = one(last_close, tuple(location))
    prices = [forecast.price, *forecast.interval(0.95)]
    assert all(np.isfinite(p).all() and (p > 0).all() for p in prices)


def test_prices_follow_the_currency() -> None:
    dollars, reais = one(100), one(530)
    assert reais.price == pytest.approx(5.3 * dollars.price)
    assert reais.interval(0.8)[0] == pytest.approx(5.3 * dollars.interval(0.8)[0])


def test_a_batch_answers_row_by_row() -> None:
    first, second = one(100), one(200, (0.02, -0.01))
    both = batch(first, second)
    assert both.horizon == 2
    assert both.price.shape == (2, 2)
    for row, alone in enumerate((first, second)):
        assert both[row].price.tolist() == alone.price.tolist()
        assert both[row].interval(0.8)[1].tolist() == alone.interval(0.8)[1].tolist()


def test_a_slice_of_a_batch_is_a_batch() -> None:
    part = batch(one(1), one(2), one(3))[1:]
    assert part.last_close.tolist() == [2, 3]
    assert part.quantiles.shape == (2, 2, len(PROBABILITIES))


@pytest.mark.parametrize("name", ["last_close", "location", "scale", "quantiles"])
def test_arrays_cannot_be_written_to(name: str) -> None:
    forecast = batch(one(), one())
    with pytest.raises(ValueError, match="read-only"):
        getattr(forecast, name)[0] = 1.0


def changed(**changes: object) -> Forecast:
    return Forecast(**{**vars(one()), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantiles": np.zeros((2, 5))}, "quantiles .* do not fit"),
        ({"quantiles": np.zeros((3, 39))}, "quantiles .* do not fit"),
        ({"scale": np.ones(3)}, "different shapes"),
        ({"last_close": np.ones(1)}, "different shapes"),
        ({"location": np.array([np.nan, 0])}, "finite"),
        ({"location": np.array([np.inf, 0])}, "finite"),
        ({"quantiles": np.full((2, 39), np.nan)}, "finite"),
        ({"last_close": np.array(np.nan)}, "finite"),
        ({"scale": np.array([np.inf, 1])}, "finite"),
        ({"scale": np.array([np.nan, 1])}, "finite"),
        ({"scale": np.array([0.0, 1])}, "positive"),
        ({"scale": np.array([-1.0, 1])}, "positive"),
    ],
)
def test_what_is_no_forecast_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        changed(**changes)


@pytest.mark.parametrize("made", [one(), batch(one(), one(7))], ids=["one window", "batch"])
def test_json_round_trip_keeps_every_bit(made: Forecast) -> None:
    again = ADAPTER.validate_json(ADAPTER.dump_json(made))
    for name, value in vars(made).items():
        assert np.array_equal(getattr(again, name), value), name


@pytest.mark.parametrize("made", [one(), batch(one(), one(7))], ids=["one window", "batch"])
def test_json_fits_the_schema(made: Forecast) -> None:
    document = json.loads(ADAPTER.dump_json(made))
    jsonschema.Draft202012Validator(ADAPTER.json_schema(mode="serialization")).validate(document)


@pytest.mark.parametrize(
    "change",
    [{"last_close": "100"}, {"location": 0.0}, {"quantiles": [0.0]}, {"scale": None}],
    ids=str,
)
def test_the_schema_refuses_what_does_not_fit(change: dict[str, object]) -> None:
    document = json.loads(ADAPTER.dump_json(one())) | change
    checker = jsonschema.Draft202012Validator(ADAPTER.json_schema(mode="serialization"))
    assert not checker.is_valid(document)


def test_json_of_an_impossible_forecast_is_refused() -> None:
    document = json.loads(ADAPTER.dump_json(one()))
    document["scale"][0] = -1.0
    with pytest.raises(ValueError, match="positive"):
        ADAPTER.validate_json(json.dumps(document))


def test_the_schema_file_is_up_to_date() -> None:
    stored = (FOLDER / "forecast.schema.json").read_text(encoding="utf-8")
    assert stored == schema("forecast"), "renew it: python -m scripts.write_schemas"
