"""``closecast show``: the receipt of a bundle, and how much of its scores is the seed's."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closecast.cli.main import main
from closecast.errors import BadSetting
from closecast.forecasters import make_parameters
from closecast.pipeline import run_training
from closecast.pipeline.verification.receipt import (
    as_text,
    receipt,
    spread_as_text,
    spread_over_seeds,
)
from closecast.registry.registry import Registry
from closecast.settings import Settings, as_environment
from tests.support.csv_pool import CLOSES, POOL, TINY_MLP, pool_request, pool_settings, write_pool


@pytest.fixture(scope="module")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    settings = write_pool(folder)
    run_training(settings, pool_request(settings, "mlp"))
    return folder


@pytest.fixture
def pool(_published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shutil.copytree(_published, tmp_path, dirs_exist_ok=True)
    settings = pool_settings(tmp_path)
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return settings


def newest(settings: Settings) -> str:
    manifests = Registry(settings.models_url).versions()
    return max(manifests, key=lambda manifest: manifest.created_at).version


def test_a_receipt_says_from_what_and_how_a_bundle_was_made(pool: Settings) -> None:
    made = receipt(pool, newest(pool))
    info = Registry(pool.models_url).manifest(made.version).info
    assert [span["symbol"] for span in made.data] == list(POOL)
    assert [span["closes"] for span in made.data] == [CLOSES[symbol] for symbol in POOL]
    assert made.data[0]["content_hash"] == info.data[0].content_hash
    assert (made.forecaster, made.seed) == ("mlp", 42)
    assert made.hyperparameters == make_parameters("mlp", TINY_MLP).model_dump()
    assert made.leak_check["passed"] is True
    assert made.gate["AAA"]["outcome"]
    for mode in ("window only", "with history"):
        rows = [info.evaluation[symbol][mode]["crps_ratio"] for symbol in POOL]
        assert made.scores[mode]["crps_ratio"] == {
            "mean": pytest.approx(np.mean(rows)),
            "worst": max(rows),
        }
    assert json.loads(json.dumps(made.to_dict()))["version"] == made.version


def test_its_text_holds_all_of_it_within_100_columns(pool: Settings) -> None:
    made = receipt(pool, newest(pool))
    text = as_text(made)
    *lines, command = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert command.strip() == made.again
    words = " ".join(text.split())
    for part in (
        made.version,
        made.data[1]["content_hash"][:12],
        "members 1",
        f"numpy {np.__version__}",
        "crps_ratio",
        made.gate["BBB"]["reason"],
        "passed at 8 cuts",
    ):
        assert part in words


def test_the_command_in_the_receipt_makes_the_same_model_again(pool: Settings) -> None:
    registry, first = Registry(pool.models_url), newest(pool)
    program, *arguments = shlex.split(receipt(pool, first).again)
    assert program == "closecast"
    main(arguments)
    second = newest(pool)
    assert second != first
    one, other = (registry.manifest(version) for version in (first, second))
    assert {k: v for k, v in one.sha256.items() if k != "evaluation.txt"} == {
        k: v
        for k, v in other.sha256.items()
        if k != "evaluation.txt"  # it says how long it took
    }
    assert other.info.hyperparameters == one.info.hyperparameters


def test_left_out_symbols_are_in_the_command(pool: Settings) -> None:
    registry = Registry(pool.models_url)
    honest = registry.load(newest(pool))
    info = honest.manifest.info.model_copy(update={"left_out": {"CCC": "a part of 3 rows"}})
    made = receipt(pool, registry.publish(info, honest.files).version)
    assert "--symbols AAA,BBB,CCC " in made.again
    assert "left out: a part of 3 rows" in as_text(made)


# -- other seeds --------------------------------------------------------------------------------


def test_other_seeds_give_a_range_around_the_published_score(pool: Settings) -> None:
    version = newest(pool)
    before = sorted(str(p) for p in pool.data_dir.parent.rglob("*"))
    spread = spread_over_seeds(pool, version, 3)
    assert sorted(str(p) for p in pool.data_dir.parent.rglob("*")) == before
    assert spread.seeds == (42, 43, 44)
    published = receipt(pool, version).scores
    summary = spread.to_dict()["summary"]
    for mode, scores in spread.scores.items():
        for key, values in scores.items():
            assert values[0] == pytest.approx(published[mode][key]["mean"], rel=1e-9)
            found = summary[mode][key]
            assert found["smallest"] == min(values) <= found["mean"] <= max(values)
            assert found["largest"] == max(values)
            assert found["standard_deviation"] == pytest.approx(np.std(values, ddof=1))
    assert len(set(spread.scores["window only"]["crps_ratio"])) == 3
    text = spread_as_text(spread)
    assert max(map(len, text.splitlines())) <= 100
    assert f"{summary['with history']['crps_ratio']['mean']:.4f}" in text


@pytest.mark.parametrize("seeds", [-1, 0, 1, 2])
def test_fewer_than_three_seeds_say_nothing(pool: Settings, seeds: int) -> None:
    with pytest.raises(BadSetting, match="3 or more"):
        spread_over_seeds(pool, newest(pool), seeds)


# -- the commands -------------------------------------------------------------------------------


def message_of(*arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, str)
    return ended.value.code


def test_show_prints_the_receipt(pool: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    version = newest(pool)
    main(["show", version])
    assert capsys.readouterr().out.strip() == as_text(receipt(pool, version))


def test_show_prints_json_for_programs(pool: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", newest(pool), "--json", "--seeds", "3"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["forecaster"] == "mlp"
    assert document["spread"]["seeds"] == [42, 43, 44]


def test_show_names_what_it_cannot_do_in_one_line(pool: Settings) -> None:
    assert "3 or more" in message_of("show", newest(pool), "--seeds", "2")
    assert "no bundle" in message_of("show", "20200101T000000Z-00000000")


def test_train_takes_what_the_scripts_take(pool: Settings) -> None:
    main(
        [
            *("train", "--symbols", "AAA", "--forecaster", "ewma", "--end", "2099-01-01"),
            *("--set", "seq_length=15", "--set", "horizon=2"),
        ]
    )
    info = Registry(pool.models_url).manifest(newest(pool)).info
    assert (info.symbols, info.seq_length, info.horizon) == (("AAA",), 15, 2)
    assert info.asked_source == pool.source


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "seq_length"], "NAME=VALUE"),
        (["--set", "layers=2"], "unknown hyper-parameter 'layers'"),
        (["--set", "seq_length=3"], "greater than or equal to 10"),
        (["--preset", "huge"], "unknown preset 'huge'"),
    ],
)
def test_train_refuses_what_the_scripts_refuse(
    pool: Settings, arguments: list[str], message: str
) -> None:
    assert message in message_of("train", "--forecaster", "ewma", *arguments)


def test_train_can_go_on_from_the_current_weights(pool: Settings) -> None:
    version, registry = newest(pool), Registry(pool.models_url)
    for symbol in POOL:
        registry.promote(symbol, version, "to start from", by="tests")
    settings = [part for k, v in TINY_MLP.items() for part in ("--set", f"{k}={v}")]
    main(["train", "--symbols", ",".join(POOL), "--fine-tune", *settings])
    assert registry.manifest(newest(pool)).info.fine_tuned_from == version
