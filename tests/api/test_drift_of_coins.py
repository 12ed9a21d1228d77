"""``GET /drift/{symbol}`` of coins: a rate only where it was measured on coins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.main import create_app
from benchmarks.drift.coin_panel import HELD_OUT, coins
from closecast.pipeline import TrainRequest, run_training
from closecast.pipeline.verification.reproduce import closes_of, remake
from closecast.registry.documents import BASELINE_FILE
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.conftest import settings_in
from tests.support.local_client import LocalClient

COINS = [prices.between("2021-01-01", "2022-06-30") for prices in coins(HELD_OUT[0])[:5]]


def trained(folder: Path, count: int) -> tuple[Settings, str]:
    """Settings of a service with a model of some coins, and its version."""
    for prices in COINS[:count]:
        rows = zip(prices.sessions, prices.closes, strict=True)
        text = "Date,Close\n" + "".join(f"{day},{float(close)!r}\n" for day, close in rows)
        (folder / f"{prices.symbol}.csv").write_text(text)
    settings = settings_in(folder, source=f"file:{folder}/{{symbol}}.csv")
    done = run_training(
        settings,
        TrainRequest(
            symbols=tuple(prices.symbol for prices in COINS[:count]),
            source=settings.source,
            forecaster="ewma",
            hyperparameters={"seq_length": 20, "horizon": 3},
        ),
    )
    return settings, done.manifest.version


def baseline_of(settings: Settings) -> dict[str, Any]:
    with LocalClient(create_app(settings)) as client:
        answer = client.get("/drift/BTC-USDT")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["baseline"]
        return found


def test_a_lone_coin_has_no_rate_and_the_answer_says_why(tmp_path: Path) -> None:
    baseline = baseline_of(trained(tmp_path, 1)[0])
    assert baseline["rates"] is None
    assert baseline["unrated"] == (
        "no rate of false alarms is known for a coin: it takes the closes of 5 symbols of the "
        "kind in one training, and this one had 1"
    )


def test_five_coins_are_rated_by_coins(tmp_path: Path) -> None:
    baseline = baseline_of(trained(tmp_path, 5)[0])
    assert baseline["unrated"] is None
    assert baseline["rates"]["alone"]["fault"]["wanted"] == 0.01
    assert (baseline["reference"]["kind"], baseline["reference"]["symbols"]) == ("coin", 4)


@pytest.mark.parametrize("count", [1, 5])
def test_the_baseline_of_coins_is_made_again_from_the_bundle_s_closes(
    tmp_path: Path, count: int
) -> None:
    settings, version = trained(tmp_path, count)
    bundle = Registry(settings.models_url).load(version)
    again = remake(settings, bundle, closes_of(bundle))
    assert again.prepared.baseline == bundle.files[BASELINE_FILE]
