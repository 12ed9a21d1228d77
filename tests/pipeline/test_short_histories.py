"""Histories of a few hundred closes: what they train, what that promises, and what is too short."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from api.main import create_app
from closecast.calibration import LEAST_SCORES
from closecast.cli.train import every_symbol_has_a_model
from closecast.core.dataset import make_examples, split_by_share
from closecast.core.forecast import PROBABILITIES
from closecast.core.prices import Prices
from closecast.core.records import DatedForecast, DatedStep, ScoredStep
from closecast.core.short_history import fit_short_history, least_closes
from closecast.errors import TooFewCloses
from closecast.evaluation import calibrate
from closecast.forecasters import Parameters, make_forecaster
from closecast.metrics.live import summarise
from closecast.metrics.outcomes import score_step
from closecast.pipeline import TrainRequest, run_training
from closecast.pipeline.evaluate import PublishedBundle
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources.sample import SampleSource
from tests.conftest import settings_in
from tests.support.local_client import LocalClient
from tests.support.synthetic_prices import random_walk

LEAST = least_closes(60, 10, LEAST_SCORES)
JNJ = SampleSource().fetch("JNJ")


def train(folder: Path, rows: int, forecaster: str = "mlp") -> tuple[Settings, PublishedBundle]:
    """Train on a file of the newest closes of a real stock, under another name."""
    newest = JNJ.rows(len(JNJ) - rows, None)
    lines = (f"{d},{c:.4f}" for d, c in zip(newest.sessions, newest.closes, strict=True))
    (folder / "own.csv").write_text("Date,Close\n" + "\n".join(lines) + "\n")
    settings = settings_in(folder, default_symbol="ACME")
    request = TrainRequest(
        symbols=("ACME",), source=f"file:{folder / 'own.csv'}", forecaster=forecaster
    )
    return settings, run_training(settings, request)


# -- sizes --------------------------------------------------------------------------------------


def test_every_number_of_closes_from_the_least_on_can_be_split() -> None:
    sizes = []
    for rows in range(LEAST, 800):
        found = fit_short_history(rows, 60, 10, LEAST_SCORES)
        assert found is not None, rows
        Parameters(**asdict(found))  # inside the bounds
        shares = found.train_size, found.seq_length, found.horizon, LEAST_SCORES, found.valid_size
        split = split_by_share(random_walk(rows, 1), *shares)
        scores = len(make_examples(split.valid, found.seq_length, found.horizon))
        assert scores >= LEAST_SCORES
        sizes.append((found.seq_length, found.horizon))
    assert sizes == sorted(sizes)
    assert sizes[-1] == (60, 10)


@pytest.mark.parametrize("rows", [1, 20, LEAST - 1])
def test_fewer_closes_than_the_least_fit_nothing(rows: int) -> None:
    assert fit_short_history(rows, 60, 10, LEAST_SCORES) is None


def test_sizes_that_were_asked_for_are_not_exceeded() -> None:
    for rows in range(LEAST, 500, 7):
        found = fit_short_history(rows, 25, 3, LEAST_SCORES)
        assert found is None or (found.seq_length <= 25 and found.horizon <= 3)


# -- trainings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "sizes"), [(LEAST, (10, 1)), (200, (20, 10)), (500, (60, 10))])
def test_a_short_history_is_trained_and_served(
    tmp_path: Path, rows: int, sizes: tuple[int, int]
) -> None:
    settings, published = train(tmp_path, rows)
    info = published.manifest.info
    assert (info.forecaster, info.seq_length, info.horizon) == ("ewma", *sizes)
    assert published.promoted == ("ACME",)
    assert f"a short history of {rows} closes" in info.training["notes"]["short_history"]
    assert "a short history" in published.table
    assert info.leak_check["passed"]
    assert published.evaluations["ACME"].origins >= 8
    with LocalClient(create_app(settings)) as client:
        answer = client.post("/predict", json={"prices": [100.0, 101.5] * 40, "symbol": "ACME"})
        assert answer.status_code == 200
        assert len(answer.json()["path"]) == sizes[1]
        forecast = client.get("/forecast/ACME").json()
        assert len(forecast["path"]) == sizes[1]
        stored = client.get(f"/forecasts/{forecast['forecast_id']}").json()
        states_99 = "0.995" in stored["path"][0]["quantiles"]
        wide = client.get("/forecast/ACME?levels=0.99")
        assert states_99 == (wide.status_code == 200) == (rows >= 300)
        assert states_99 or "a 99 % interval needs 199" in wide.json()["detail"]
        for path in ("/drift/ACME", "/performance/ACME", "/model?symbol=ACME"):
            assert client.get(path).status_code == 200
    assert every_symbol_has_a_model(settings, ["ACME"], "mlp")  # or each start would train again


def test_too_few_closes_are_refused_with_the_number_needed(tmp_path: Path) -> None:
    with pytest.raises(TooFewCloses, match=f"60 closes are too few .* {LEAST} are needed"):
        train(tmp_path, 60)
    assert Registry(settings_in(tmp_path).models_url).symbols() == []


# -- promises -----------------------------------------------------------------------------------


def coverage(series: list[Prices], step: int) -> tuple[np.ndarray, int]:
    """Share of test closes inside the 80 and 95 % intervals, and the number of closes."""
    hits = []
    for prices in series:
        found = fit_short_history(len(prices), 60, 10, LEAST_SCORES)
        assert found is not None
        shares = found.train_size, found.seq_length, found.horizon, LEAST_SCORES, found.valid_size
        split = split_by_share(prices, *shares)
        parameters = Parameters(seq_length=found.seq_length, horizon=found.horizon)
        fitted = make_forecaster("ewma", parameters).fit([split.train], [split.valid])
        examples = make_examples(split.test, found.seq_length, found.horizon)
        raw = fitted.predict_batch(examples.windows)
        forecast = calibrate(fitted, [split.valid]).apply(raw)
        actual = examples.future_closes[:, step - 1]
        ends = [forecast.interval(level) for level in (0.8, 0.95)]
        hits += [
            [(low[:, step - 1] <= actual) & (actual <= high[:, step - 1]) for low, high in ends]
        ]
    whole = np.concatenate(hits, axis=1)
    return whole.mean(axis=1), whole.shape[1]


@pytest.mark.parametrize("rows", [LEAST, 150, 300])
def test_intervals_of_short_made_series_hold_their_level(rows: int) -> None:
    held, n = coverage([random_walk(rows, seed) for seed in range(150)], 1)
    for share, level in zip(held, (0.8, 0.95), strict=True):
        # Ends come from 40 to 60 errors, so that origins of one series share their luck.
        assert abs(share - level) < 4 * np.sqrt(level * (1 - level) * 8 / n)


@pytest.mark.parametrize("rows", [LEAST, 200])
def test_intervals_of_short_real_series_hold_their_level(rows: int) -> None:
    source = SampleSource()
    whole = [source.fetch(symbol) for symbol in source.symbols()]
    pieces = [p.rows(first, first + rows) for p in whole for first in range(0, 4000, 400)]
    held, _ = coverage(pieces, 1)
    assert held == pytest.approx([0.8, 0.95], abs=0.04)


# -- levels that were not stated ----------------------------------------------------------------


def test_a_forecast_that_states_no_99_percent_is_scored_without_it() -> None:
    quantiles = tuple(0.02 * (p - 0.5) for p in PROBABILITIES)
    day = date(2026, 1, 2)
    step = DatedStep(1, day, 100.0, quantiles)
    forecast = DatedForecast(
        *("live", "ACME", "v1", 90, "ewma", day, 100.0, "unknown", "file"),
        *(datetime.now(UTC), (step,)),
    )
    outcome = score_step(forecast, step, 0.004, datetime.now(UTC))
    assert outcome.hits == (True, True, True, True, None)
    assert outcome.pit == pytest.approx(0.7)
    assert score_step(forecast, step, 1.0, datetime.now(UTC)).pit == pytest.approx(0.9875)
    row = ScoredStep("id", "v1", 90, "ewma", day, day, 1, 100.0, 100.0, outcome)
    overall = summarise([row]).overall
    assert overall is not None
    assert [c.observed.value for c in overall.coverage] == [1.0, 1.0, 1.0, 1.0, None]
