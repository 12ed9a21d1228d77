"""Where the gate is asked: what serves is compared with, and pointers move once."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closecast.core.prices import Prices
from closecast.errors import PointerMoved, UnverifiedBundle
from closecast.forecasters import BASELINES, FORECASTERS
from closecast.pipeline import TrainRequest, run_training
from closecast.pipeline import evaluate as evaluating
from closecast.pipeline import promotion as judging
from closecast.pipeline.evaluate import PublishedBundle
from closecast.registry.documents import Pointer
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources.sample import SampleSource
from closecast.validation.gate import Decision
from tests.conftest import settings_in
from tests.support.synthetic_prices import garch, momentum

SIZES = {"seq_length": 20, "horizon": 3}
TINY = {**SIZES, "members": 1, "hidden_size": 4, "num_epochs": 1}
CLOSES = 900


def write(folder: Path, symbol: str, prices: Prices) -> None:
    """On real sessions, where the source of these tests reads."""
    days = SampleSource().read("MSFT", None, None).dates[-len(prices) :]
    rows = zip(days, prices.closes, strict=True)
    text = "Date,Close\n" + "".join(f"{day},{float(close)!r}\n" for day, close in rows)
    (folder / f"{symbol}.csv").write_text(text)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Closes of two symbols, and the ``ewma`` that serves both: trained once, only read."""
    folder = tmp_path_factory.mktemp("first")
    for seed, symbol in enumerate(("AAA", "BBB")):
        write(folder, symbol, garch(CLOSES, seed))
    settings = settings_in(folder, source=f"file:{folder}/{{symbol}}.csv")
    train(settings)
    return settings


@pytest.fixture
def place(first: Settings, tmp_path: Path) -> Settings:
    """Closes of two symbols, no model."""
    return settings_in(tmp_path, source=first.source)


@pytest.fixture
def served(first: Settings, place: Settings) -> Settings:
    """Closes of two symbols, and an ``ewma`` that serves both."""
    shutil.copytree(first.models_url, place.models_url)
    shutil.copytree(first.data_dir, place.data_dir)
    return place


def train(
    settings: Settings, forecaster: str = "ewma", *symbols: str, **more: Any
) -> PublishedBundle:
    request = TrainRequest(
        symbols=symbols or ("AAA", "BBB"),
        source=settings.source,
        forecaster=forecaster,
        hyperparameters={**(TINY if forecaster == "mlp" else SIZES), **more},
    )
    return run_training(settings, request)


def pointer(settings: Settings, symbol: str = "AAA") -> Pointer:
    found = Registry(settings.models_url).pointer(symbol)
    assert found is not None
    return found


def forced(monkeypatch: pytest.MonkeyPatch, outcome: str = "promoted") -> list[Any]:
    """A gate of one mind; answers what it was asked."""
    asked: list[Any] = []

    def decide(losses: Mapping[str, Any], candidate: str, *rest: Any) -> dict[str, Decision]:
        asked.append((sorted(losses), candidate, rest[0]))
        decision = Decision(outcome, f"test says {outcome}", outcome == "promoted")  # type: ignore[arg-type]
        return dict.fromkeys(losses, decision)

    monkeypatch.setattr(judging, "decide", decide)
    return asked


# -- what is compared ---------------------------------------------------------------------------


def test_an_empty_registry_gets_ewma_first_and_then_the_candidate_is_judged(
    place: Settings,
) -> None:
    published = train(place, "mlp")
    registry = Registry(place.models_url)
    [second, first] = [m.info.forecaster for m in registry.versions("AAA")]
    assert (first, second) == ("ewma", "mlp")
    assert pointer(place).history[0].reason.startswith("the first model of the symbol")
    decision = published.decisions["AAA"]
    assert {c.against for c in decision.comparisons} == {"naive", "current"}
    assert decision.outcome in {"rejected", "not_enough_evidence", "promoted"}
    assert (pointer(place).version == published.manifest.version) == decision.becomes_current
    assert published.manifest.info.gate["AAA"]["outcome"] == decision.outcome
    assert published.manifest.info.gate["AAA"]["reason"] == decision.reason


def test_candidate_what_serves_and_baselines_stand_in_one_table(served: Settings) -> None:
    rows = train(served, "mlp").evaluations["AAA"].rows
    modes = {row.forecaster: 0 for row in rows}
    for row in rows:
        modes[row.forecaster] += 1
    assert modes == {"naive": 1, "mlp": 2, "random_walk_drift": 1, "ewma": 2, "current": 2}


def test_the_same_model_again_is_told_from_nothing(served: Settings) -> None:
    before = pointer(served).version
    again = train(served)
    assert pointer(served).version == before
    for decision in again.decisions.values():
        assert decision.outcome == "not_enough_evidence"
        assert {c.ratio for c in decision.comparisons if c.against == "current"} == {1.0}


@pytest.mark.parametrize(
    ("setting", "value", "taken"),
    [
        ("without_evidence", "promote", True),
        ("without_evidence", "keep", False),
        ("evidence_deadline_days", 0.0, True),
    ],
)
def test_the_settings_are_the_policy(
    served: Settings, setting: str, value: object, taken: bool
) -> None:
    again = train(served.model_copy(update={setting: value}))
    assert (pointer(served).version == again.manifest.version) is taken
    assert again.promoted == (("AAA", "BBB") if taken else ())


def test_a_model_that_has_learned_from_the_rows_is_not_judged_by_them(place: Settings) -> None:
    """Trained on 80 % it knows most of the rows that a candidate of 50 % is judged by."""
    train(place, "ewma", train_size=0.8)
    published = train(place, "random_walk_drift", train_size=0.5)
    decision = published.decisions["AAA"]
    days = {c.against: c.days for c in decision.comparisons}
    assert days["current"] < 100 < 200 < days["naive"]
    assert "current" not in {row.forecaster for row in published.evaluations["AAA"].rows}


def test_windows_and_horizons_may_differ(place: Settings) -> None:
    train(place, "ewma", seq_length=15, horizon=5)
    published = train(place, "mlp")
    assert {c.against for c in published.decisions["AAA"].comparisons} == {"naive", "current"}
    current = published.evaluations["AAA"].row("current", "with history")
    assert len(current.steps) == SIZES["horizon"]


def test_each_symbol_is_compared_with_what_serves_it(
    served: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = pointer(served).version
    own = train(served.model_copy(update={"without_evidence": "promote"}), "ewma", "AAA")
    asked = forced(monkeypatch, "rejected")
    train(served, "random_walk_drift")
    assert {(tuple(symbols), standing.version) for symbols, _, standing in asked} == {
        (("AAA",), own.manifest.version),
        (("BBB",), both),
    }


def test_a_pooled_model_is_compared_as_it_serves_with_all_its_symbols(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(place, "mlp")
    registry = Registry(place.models_url)
    newest = next(registry.versions("AAA"))
    if pointer(place).version != newest.version:
        registry.promote("AAA", newest.version, "for the test", by="test")
    seen = []
    whole = judging.champions_of
    monkeypatch.setattr(
        evaluating, "champions_of", lambda *a: seen.extend(found := whole(*a)) or found
    )
    train(place, "ewma", "AAA")
    [champion] = seen
    assert champion.model is not None
    assert [prices.symbol for prices in champion.model.companions] == ["BBB"]
    last = Registry(place.models_url).manifest(newest.version).info.data[0].last_session
    assert str(champion.model.companions[0].sessions[-1]) == last


# -- pointers -----------------------------------------------------------------------------------


def test_of_two_candidates_that_finish_at_once_the_second_is_judged_anew(
    served: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another machine promotes between the decision and the pointer's move."""
    rival = train(served, "random_walk_drift").manifest.version
    registry = Registry(served.models_url)
    asked = forced(monkeypatch)
    publish = Registry.publish

    def overtaken(self: Registry, *arguments: Any) -> Any:
        registry.promote("AAA", rival, "by another machine", by="another")
        monkeypatch.setattr(Registry, "publish", publish)
        return publish(self, *arguments)

    monkeypatch.setattr(Registry, "publish", overtaken)
    published = train(served)
    assert [(symbols, standing.version == rival) for symbols, _, standing in asked] == [
        (["AAA", "BBB"], False),
        (["AAA"], True),
    ]
    assert set(published.promoted) == {"AAA", "BBB"}
    assert [step.version for step in pointer(served).history][-2:] == [
        rival,
        published.manifest.version,
    ]


def test_the_second_stays_out_if_it_is_not_better_than_the_first(
    served: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = train(served, "random_walk_drift").manifest.version
    registry = Registry(served.models_url)
    publish, decide = Registry.publish, judging.decide
    answers = iter(["promoted"])

    def first_yes(losses: Mapping[str, Any], *rest: Any) -> dict[str, Decision]:
        if next(answers, None):
            return dict.fromkeys(losses, Decision("promoted", "yes", True))
        return decide(losses, *rest)

    def overtaken(self: Registry, *arguments: Any) -> Any:
        for symbol in ("AAA", "BBB"):
            registry.promote(symbol, rival, "by another machine", by="another")
        return publish(self, *arguments)

    monkeypatch.setattr(judging, "decide", first_yes)
    monkeypatch.setattr(Registry, "publish", overtaken)
    published = train(served, "random_walk_drift")  # the same as the rival: it cannot be better
    assert published.promoted == ()
    assert {d.outcome for d in published.decisions.values()} == {"not_enough_evidence"}
    assert pointer(served).version == pointer(served, "BBB").version == rival


def test_a_pointer_to_a_damaged_bundle_is_healed_by_the_next_training(served: Settings) -> None:
    damaged = pointer(served).version
    (Path(served.models_url) / "bundles" / damaged / "live_states.npz").write_bytes(b"")
    published = train(served)
    assert published.promoted == ("AAA", "BBB")
    assert pointer(served).version == published.manifest.version
    assert {d.outcome for d in published.decisions.values()} == {"promoted"}


@pytest.mark.parametrize("forecaster", ["ewma", "mlp"])
def test_a_damaged_pointer_is_healed_by_the_next_training(
    served: Settings, forecaster: str
) -> None:
    (Path(served.models_url) / "current" / "AAA.json").write_text("{")
    train(served, forecaster)
    assert pointer(served).generation > 1
    Registry(served.models_url).load_to_serve(pointer(served).version, "AAA")


def test_what_was_rolled_back_does_not_come_back_under_another_version(
    served: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced(monkeypatch)
    bad = train(served, "random_walk_drift").manifest.version
    registry = Registry(served.models_url)
    assert pointer(served).version == bad
    registry.rollback("AAA", "too narrow", by="ann")
    monkeypatch.undo()
    promoting = served.model_copy(update={"without_evidence": "promote"})
    again = train(promoting, "random_walk_drift")
    decision = again.decisions["AAA"]
    assert decision.outcome == "rejected"
    assert f"rolled back as {bad} by ann" in decision.reason
    assert "too narrow" in decision.reason
    assert "AAA" not in again.promoted
    registry.promote("AAA", again.manifest.version, "I was wrong", by="ann")
    assert pointer(served).version == again.manifest.version


def test_a_bundle_without_a_passed_leak_check_cannot_be_promoted_by_anybody(
    served: Settings,
) -> None:
    bundle = Registry(served.models_url).load(pointer(served).version)
    info = bundle.manifest.info.model_copy(update={"leak_check": {"passed": False}})
    bare = Registry(served.models_url).publish(info, bundle.files)
    for by in ("closecast", "ann"):
        with pytest.raises(UnverifiedBundle):
            Registry(served.models_url).promote("AAA", bare.version, "please", by=by)


def test_a_symbol_whose_pointer_moves_for_ever_is_left_to_the_others(
    served: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced(monkeypatch)

    def moved(self: Registry, symbol: str, *_: Any, **__: Any) -> Any:
        raise PointerMoved(symbol, (1, "a"), (2, "b"))

    monkeypatch.setattr(Registry, "promote", moved)
    published = train(served)
    assert published.promoted == ()


# -- auto ---------------------------------------------------------------------------------------


def test_auto_takes_the_simplest_where_nothing_can_be_told(place: Settings) -> None:
    shutil.rmtree(place.data_dir, ignore_errors=True)
    request = TrainRequest(
        symbols=("AAA",), source=place.source, forecaster="auto", hyperparameters=SIZES
    )
    hurried = place.model_copy(update={"auto_budget_s": 4.0})
    info = run_training(hurried, request).manifest.info
    choice = info.chosen_from
    p_values = choice["confidence_set"]
    tried = [name for name in FORECASTERS if name in p_values]
    assert info.forecaster == next(name for name in tried if p_values[name] > 0.05)
    assert {*p_values, *choice["left_out"]} == {*FORECASTERS}
    assert {*BASELINES} <= {*p_values}


def test_auto_leaves_out_what_does_not_end_in_time(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from closecast.pipeline import model_selection as choosing

    ticks = iter(np.arange(0.0, 1e6, 0.4))
    monkeypatch.setattr(choosing.time, "monotonic", lambda: float(next(ticks)))
    request = TrainRequest(
        symbols=("AAA",), source=place.source, forecaster="auto", hyperparameters=SIZES
    )
    info = run_training(place.model_copy(update={"auto_budget_s": 2.0}), request).manifest.info
    left_out = info.chosen_from["left_out"]
    assert "lstm" in left_out
    assert "no time was left" in left_out["lstm"] or "not trained to its end" in left_out["lstm"]
    assert info.forecaster in BASELINES


def test_what_leans_is_found_by_a_location(tmp_path: Path) -> None:
    """A drift that is really there keeps its location; naive's place is only a default."""
    settings = settings_in(tmp_path, source=f"file:{tmp_path}/{{symbol}}.csv")
    rising = momentum(CLOSES, 3)
    trend = rising.closes * np.exp(0.004 * np.arange(CLOSES))
    write(tmp_path, "UPP", Prices("UPP", rising.sessions, trend, "made"))
    info = train(settings, "random_walk_drift", "UPP").manifest.info
    assert min(info.location["factor"]) > 0
    assert "significantly better than naive's at 3 of 3 steps" in info.location["reason"]


# -- where a decision is to be read -------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # MLflow says what it will, to those who mend it
def test_the_decision_is_in_the_jobs_answer_mlflow_and_the_log(
    served: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow import MlflowClient

    from closecast.database import Database
    from closecast.jobs.tasks import TaskContext
    from closecast.jobs.tasks import train as task

    tracked = served.model_copy(
        update={"mlflow_tracking_uri": f"sqlite:///{tmp_path}/mlruns/mlflow.sqlite"}
    )
    arguments = {
        "symbols": ["AAA", "BBB"],
        "source": served.source,
        "forecaster": "ewma",
        "hyperparameters": SIZES,
    }
    with caplog.at_level("INFO", logger="closecast.pipeline.evaluate"):
        database = Database(tracked.ledger_url)
        answer = task(TaskContext(tracked, database, lambda progress: None), arguments)
        database.close()
    gate = answer["gate"]["AAA"]
    assert gate["outcome"] == "not_enough_evidence"
    assert gate["comparisons"][0]["days"] > 100
    tags = MlflowClient(tracked.mlflow_tracking_uri).get_run(answer["mlflow_run"]).data.tags
    assert tags["gate"] == "not_enough_evidence"
    assert tags["gate_not_enough_evidence"] == "AAA,BBB"
    assert tags["gate_reason"] == gate["reason"]
    [logged] = [vars(r) for r in caplog.records if r.message == "gate decided"]
    assert logged["outcomes"] == {"not_enough_evidence": 2}
    assert logged["decisions"] == [
        {"symbol": symbol, "outcome": "not_enough_evidence", "reason": gate["reason"]}
        for symbol in ("AAA", "BBB")
    ]
