"""What the steps refuse to do to each other, and to the truth."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pytest

from closecast.calibration import AdaptiveState, SplitConformal, load_state
from closecast.core.forecast import PROBABILITIES
from closecast.core.prices import Prices
from closecast.core.records import SCORED_PROBABILITIES, DatedForecast, DatedStep
from closecast.database import Database, DriftDay
from closecast.drift import ARL0, Monitor
from closecast.errors import (
    DamagedBundle,
    InvalidHyperparameters,
    JobConflict,
    MissingStep,
    UnknownSymbol,
)
from closecast.forecasters import load_predictor, make_parameters
from closecast.pipeline import (
    TrainRequest,
    collect,
    collect_many,
    evaluate_candidate,
    preprocess,
    run_training,
    train_candidate,
    update,
)
from closecast.pipeline.close_gate import usable_closes
from closecast.pipeline.recalibrate import absorb
from closecast.pipeline.verification.verify import verify
from closecast.pipeline.workspace import Workspace
from closecast.registry.documents import INTERVALS_FILE, LIVE_FILE, Bundle, of_symbol
from closecast.registry.registry import Registry
from closecast.serving.bundle import LoadedBundle
from closecast.serving.loading import load_snapshot
from closecast.settings import Settings, as_environment
from closecast.sources.price_cache import PriceCache
from closecast.sources.sample import SampleSource
from tests.conftest import settings_in
from tests.support.synthetic_prices import garch

TINY = {"num_layers": 1, "hidden_size": 4, "num_epochs": 1, "batch_size": 512}


def test_a_candidate_is_judged_on_the_split_it_was_trained_on_or_not_at_all(
    settings: Settings,
) -> None:
    collect(settings, "KO", "sample", date(2012, 1, 3))
    wide = make_parameters("ewma", {"train_size": 0.7})
    preprocess(settings, ["KO"], wide)
    train_candidate(settings, ["KO"], "ewma", wide)
    preprocess(settings, ["KO"], make_parameters("ewma", {"train_size": 0.4}))
    with pytest.raises(MissingStep, match="trained on the data as prepared now"):
        evaluate_candidate(settings, ["KO"])


def test_the_share_of_training_rows_is_that_of_the_split(settings: Settings) -> None:
    collect(settings, "KO", "sample", date(2012, 1, 3))
    preprocess(settings, ["KO"], make_parameters("ewma", {"train_size": 0.7}))
    with pytest.raises(MissingStep, match=r"train_size=0\.5"):
        train_candidate(settings, ["KO"], "ewma", make_parameters("ewma", {"train_size": 0.5}))


def test_fine_tuning_is_not_judged_on_rows_that_the_parent_learned_from(
    published: Settings,
) -> None:
    request = TrainRequest(
        symbols=("MSFT",),
        source="sample",
        forecaster="lstm",
        start=date(2016, 1, 4),
        end=date(2020, 1, 2),
        hyperparameters=TINY,
        fine_tune=True,
    )
    with pytest.raises(InvalidHyperparameters, match="has learned from closes up to"):
        run_training(published, request)


def test_fine_tuning_on_as_much_data_names_its_parent(published: Settings) -> None:
    parent = Registry(published.models_url).pointer("MSFT")
    assert parent is not None
    request = TrainRequest(
        symbols=("MSFT",),
        source="sample",
        forecaster="lstm",
        start=date(2016, 1, 4),
        hyperparameters=TINY,
        fine_tune=True,
    )
    assert run_training(published, request).manifest.info.fine_tuned_from == parent.version


def test_training_on_an_older_span_leaves_the_last_known_closes_alone(
    published: Settings,
) -> None:
    known = Workspace(published, ["AAPL"]).cache.get("AAPL")
    collect(published, "AAPL", "sample", end=date(2015, 1, 2))
    workspace = Workspace(published, ["AAPL"])
    assert workspace.cache.get("AAPL") == known
    assert workspace.prices()[0].span[1] == "2015-01-02"


def test_two_processes_do_not_work_on_one_symbol(settings: Settings) -> None:
    with Workspace(settings, ["KO"]).alone(), pytest.raises(JobConflict, match="another process"):
        run_training(settings, TrainRequest(symbols=("KO",), source="sample", forecaster="ewma"))


def test_progress_can_stop_a_training_before_it_is_published(settings: Settings) -> None:
    class Enough(Exception):
        pass

    def watch(progress: dict) -> None:
        if progress["stage"] == "publish":
            raise Enough

    request = TrainRequest(symbols=("KO",), source="sample", forecaster="ewma")
    with pytest.raises(Enough):
        run_training(settings, request, watch=watch)
    assert list(Registry(settings.models_url).versions()) == []


def test_the_percentage_rises_over_all_stages_and_is_not_full_before_publishing(
    settings: Settings,
) -> None:
    reports: list[dict] = []
    request = TrainRequest(symbols=("KO",), source="sample", forecaster="ewma")
    run_training(settings, request, watch=lambda report: reports.append(dict(report)))
    percents = [report["percent"] for report in reports]
    assert percents == sorted(percents)
    assert list(dict.fromkeys(report["stage"] for report in reports)) == [
        "collect", "preprocess", "train", "evaluate", "publish",
    ]  # fmt: skip
    evaluation = [r["percent"] for r in reports if r["stage"] == "evaluate"]
    assert len(set(evaluation)) > 20, "the longest stage moves, too"
    assert percents[-1] < 100, "publishing is still to be done"


# -- several symbols, made closes ---------------------------------------------------------------

SYMBOLS = ("AAA", "BBB", "CCC")
SIZES = {"seq_length": 20, "horizon": 3}
SMALL = {**SIZES, "members": 1, "hidden_size": 4, "num_epochs": 1}
TRAINED, KNOWN = 480, 495
"""Closes that are trained on, and that there are in all."""


def made(symbol: str) -> Prices:
    """On real sessions; every symbol has a law of its own."""
    days = SampleSource().read("MSFT", None, None).dates[-KNOWN:]
    closes = garch(KNOWN, SYMBOLS.index(symbol), symbol=symbol).closes
    return Prices(symbol, days, closes, "made")


def write(folder: Path, symbol: str, closes: int, factor: float = 1.0) -> None:
    """What the source knows now."""
    prices = made(symbol).rows(0, closes)
    rows = zip(prices.sessions, factor * prices.closes, strict=True)
    text = "Date,Close\n" + "".join(f"{day},{float(close)!r}\n" for day, close in rows)
    (folder / f"{symbol}.csv").write_text(text)


def pool_in(folder: Path) -> Settings:
    return settings_in(folder, source=f"file:{folder}/{{symbol}}.csv")


@pytest.fixture(scope="session")
def _pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ``mlp`` for three symbols, and CSV files that the source reads."""
    folder = tmp_path_factory.mktemp("pool")
    for symbol in SYMBOLS:
        write(folder, symbol, TRAINED)
    settings = pool_in(folder)
    request = TrainRequest(
        symbols=SYMBOLS, source=settings.source, forecaster="mlp", hyperparameters=SMALL
    )
    published = run_training(settings, request)
    registry = Registry(settings.models_url)
    for symbol in set(SYMBOLS) - set(published.promoted):  # so small, it may be worse than naive
        registry.promote(symbol, published.manifest.version, "for tests of what comes after")
    return folder


@pytest.fixture
def pool(_pool: Path, tmp_path: Path) -> Settings:
    """A copy to update."""
    shutil.copytree(_pool, tmp_path, dirs_exist_ok=True)
    return pool_in(tmp_path)


def ledger_of(settings: Settings) -> Database:
    return Database(settings.ledger_url)


def bundle_of(settings: Settings, symbol: str = "AAA") -> Bundle:
    registry = Registry(settings.models_url)
    pointer = registry.pointer(symbol)
    assert pointer is not None
    return registry.load(pointer.version)


def states_of(settings: Settings, symbols: Sequence[str] = SYMBOLS) -> dict[str, AdaptiveState]:
    """As stored in the ledger."""
    version, database = bundle_of(settings).manifest.version, ledger_of(settings)
    found = {symbol: database.calibrations.newest(version, symbol) for symbol in symbols}
    return {s: AdaptiveState.from_parts(one.parts) for s, one in found.items() if one is not None}


def bytes_of(settings: Settings) -> dict[str, tuple[bytes, ...]]:
    return {symbol: state.to_parts() for symbol, state in states_of(settings).items()}


def days_of(settings: Settings) -> dict[str, list[DriftDay]]:
    """Sessions under watch, but for when they were written down."""
    database, epoch = ledger_of(settings), datetime(1970, 1, 1, tzinfo=UTC)
    return {s: [replace(d, at=epoch) for d in database.drift_days.history(s)] for s in SYMBOLS}


def first_states(settings: Settings) -> dict[str, AdaptiveState]:
    files = bundle_of(settings).files
    return {symbol: load_state(files[LIVE_FILE], symbol) for symbol in SYMBOLS}


def twin_of(settings: Settings) -> Settings:
    """A copy, for another history."""
    folder = settings.data_dir.parent
    shutil.copytree(folder, folder / "twin", ignore=shutil.ignore_patterns("twin"))
    return pool_in(folder / "twin")


def extend(settings: Settings, closes: int = KNOWN, symbols: Sequence[str] = SYMBOLS) -> None:
    for symbol in symbols:
        write(settings.data_dir.parent, symbol, closes)


def freeze(folder: Path, symbol: str, rows: slice) -> None:
    """Repeat the first close of some lines of a file."""
    path = folder / f"{symbol}.csv"
    lines = path.read_text().splitlines()
    frozen = lines[rows][0].split(",")[1]
    lines[rows] = [f"{line.split(',')[0]},{frozen}" for line in lines[rows]]
    path.write_text("\n".join(lines))


def test_a_frozen_stretch_leaves_the_closes_before_it_out(
    settings: Settings, tmp_path: Path
) -> None:
    for symbol in SYMBOLS:
        write(tmp_path, symbol, TRAINED)
    freeze(tmp_path, "BBB", slice(100, 130))
    request = TrainRequest(
        symbols=SYMBOLS,
        source=f"file:{tmp_path}/{{symbol}}.csv",
        forecaster="ewma",
        hyperparameters=SIZES,
    )
    published = run_training(settings, request)
    info = published.manifest.info
    assert info.symbols == SYMBOLS
    assert published.promoted == SYMBOLS
    first = str(made("BBB").sessions[129])
    assert [span.first_session for span in info.data if span.symbol == "BBB"] == [first]
    assert info.left_out["BBB"].startswith(f"closes before {first} left out, ")
    assert "sessions in a row hardly move" in info.left_out["BBB"]
    assert f"left out: BBB: closes before {first}" in published.table
    checks = verify(settings, published.manifest.version, seed=1).checks
    assert {check.outcome for check in checks} == {"passed"}


def test_a_frozen_stretch_leaves_one_of_three_out_with_a_message(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for symbol in SYMBOLS:
        write(tmp_path, symbol, TRAINED)
    freeze(tmp_path, "BBB", slice(TRAINED - 60, TRAINED - 30))
    request = TrainRequest(
        symbols=SYMBOLS,
        source=f"file:{tmp_path}/{{symbol}}.csv",
        forecaster="ewma",
        hyperparameters=SIZES,
    )
    published = run_training(settings, request)
    assert set(published.left_out) == {"BBB"}
    assert "sessions in a row hardly move" in published.left_out["BBB"]
    assert "left out: BBB: " in published.table
    assert published.manifest.info.left_out == published.left_out
    assert published.manifest.info.symbols == ("AAA", "CCC")
    assert published.promoted == ("AAA", "CCC")
    assert any(getattr(r, "symbol", None) == "BBB" for r in caplog.records)
    registry = Registry(settings.models_url)
    assert registry.symbols() == ["AAA", "CCC"]
    for symbol in ("AAA", "CCC"):
        snapshot = load_snapshot(symbol, 1, LoadedBundle(bundle_of(settings, symbol)))
        assert len(snapshot.predict(made(symbol).closes[-20:].tolist()).rows) == 3


def test_alone_a_faulty_symbol_is_trained_with_a_warning(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "AAA", TRAINED)
    lines = (tmp_path / "AAA.csv").read_text().splitlines()
    lines[200:230] = [f"{line.split(',')[0]},50.0" for line in lines[200:230]]
    (tmp_path / "AAA.csv").write_text("\n".join(lines))
    collect(settings, "AAA", f"file:{tmp_path}/AAA.csv")
    prepared = preprocess(settings, ["AAA"], make_parameters("ewma", SIZES))
    assert prepared.symbols == ("AAA",)
    assert "suspicious closes" in caplog.text


def test_a_symbol_that_cannot_be_collected_is_left_out(settings: Settings, tmp_path: Path) -> None:
    write(tmp_path, "AAA", TRAINED)
    request = TrainRequest(
        symbols=("AAA", "BBB"),
        source=f"file:{tmp_path}/{{symbol}}.csv",
        forecaster="ewma",
        hyperparameters=SIZES,
    )
    published = run_training(settings, request)
    assert published.promoted == ("AAA",)
    assert set(published.left_out) == {"BBB"}
    assert set(published.manifest.info.left_out) == {"BBB"}


def test_a_pool_is_published_whole(pool: Settings) -> None:
    info = bundle_of(pool).manifest.info
    assert info.symbols == SYMBOLS
    assert {*info.evaluation} == {*info.gate} == {*SYMBOLS}
    assert {*info.evaluation["AAA"]} == {"window only", "with history"}
    assert info.leak_check["passed"] is True
    for symbol, state in first_states(pool).items():
        assert state.session == made(symbol).sessions[TRAINED - 1]
    versions = [m.info.forecaster for m in Registry(pool.models_url).versions("BBB")]
    assert versions == ["mlp", "ewma"]


# -- updating -----------------------------------------------------------------------------------


def test_new_closes_are_absorbed_day_by_day(pool: Settings) -> None:
    first = first_states(pool)
    extend(pool)
    updated = update(pool, "aaa", ledger_of(pool))
    new = KNOWN - TRAINED
    assert updated.version == bundle_of(pool).manifest.version
    assert updated.collected == SYMBOLS
    assert (updated.absorbed, updated.scored, dict(updated.failed)) == (3 * new, 0, {})
    for symbol, state in states_of(pool).items():
        prices = made(symbol)
        assert state.revision == first[symbol].revision + new
        assert state.session == prices.sessions[-1]
        assert state.last_close == prices.closes[-1]
    again = update(pool, "BBB", ledger_of(pool))
    assert again.absorbed == 0


def test_in_pieces_it_is_the_same_as_at_once(pool: Settings, tmp_path: Path) -> None:
    twin = twin_of(pool)
    extend(pool)
    update(pool, "AAA", ledger_of(pool))
    for closes in (TRAINED + 1, TRAINED + 2, TRAINED + 9, KNOWN):
        extend(twin, closes)
        update(twin, "CCC", ledger_of(twin))
    assert bytes_of(twin) == bytes_of(pool)
    assert days_of(twin) == days_of(pool)


def test_closes_that_come_late_end_as_if_all_had_come_in_time(
    pool: Settings, tmp_path: Path
) -> None:
    twin = twin_of(pool)
    extend(twin, TRAINED + 5)
    update(twin, "AAA", ledger_of(twin))
    extend(pool, TRAINED + 5, ["AAA", "CCC"])
    assert update(pool, "AAA", ledger_of(pool)).absorbed == 10
    before = bytes_of(pool)
    extend(pool, TRAINED + 5, ["BBB"])
    updated = update(pool, "AAA", ledger_of(pool))
    assert (updated.absorbed, updated.rebuilt) == (5, SYMBOLS)
    assert bytes_of(pool) == bytes_of(twin)
    assert days_of(pool) == days_of(twin)
    assert bytes_of(pool)["AAA"] != before["AAA"], "BBB belongs to the panel of these days"


def damage(settings: Settings) -> None:
    """The stored state of BBB is not what was written."""
    with sqlite3.connect(settings.ledger_url.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE calibrations SET state = x'00' WHERE symbol='BBB' AND step=0")
    database.close()


def test_a_damaged_state_is_made_again_and_stops_nobody(pool: Settings) -> None:
    extend(pool, TRAINED + 5)
    update(pool, "AAA", ledger_of(pool))
    whole, days = bytes_of(pool), days_of(pool)
    damage(pool)
    assert update(pool, "AAA", ledger_of(pool)).absorbed == 5
    assert bytes_of(pool) == whole
    assert days_of(pool) == days


def test_a_state_that_is_made_again_is_watched_from_where_it_begins(
    pool: Settings, tmp_path: Path
) -> None:
    twin = twin_of(pool)
    for settings in (pool, twin):
        extend(settings, TRAINED + 5)
        update(settings, "AAA", ledger_of(settings))
    damage(pool)
    for settings in (pool, twin):
        extend(settings, TRAINED + 7)
        update(settings, "AAA", ledger_of(settings))
    assert days_of(pool) == days_of(twin)


def test_a_state_under_another_symbols_name_is_damaged(pool: Settings) -> None:
    extend(pool, TRAINED + 5)
    update(pool, "AAA", ledger_of(pool))
    with sqlite3.connect(pool.ledger_url.removeprefix("sqlite:///")) as database:
        database.execute(
            "UPDATE calibrations SET state = (SELECT state FROM calibrations AS other WHERE "
            "other.symbol='AAA' AND other.step=0), digest = (SELECT digest FROM calibrations AS "
            "other WHERE other.symbol='AAA' AND other.step=0) WHERE symbol='BBB' AND step=0"
        )
    database.close()
    with pytest.raises(DamagedBundle, match="BBB, step 0"):
        ledger_of(pool).calibrations.newest(bundle_of(pool).manifest.version, "BBB")


def test_new_closes_with_a_lost_split_are_kept_from_everybody(pool: Settings) -> None:
    extend(pool, TRAINED)
    prices = made("BBB").rows(0, TRAINED + 5)
    closes = prices.closes.copy()
    closes[TRAINED + 2 :] /= 4
    rows = [f"{d},{c!r}" for d, c in zip(prices.sessions, closes.tolist(), strict=True)]
    extend(pool, TRAINED + 5, ["AAA", "CCC"])
    (pool.data_dir.parent / "BBB.csv").write_text("\n".join(["Date,Close", *rows]))
    updated = update(pool, "AAA", ledger_of(pool))
    assert updated.absorbed == 12, "BBB up to the split"
    assert states_of(pool)["BBB"].session == prices.sessions[TRAINED + 1]
    assert "4:1 split" in updated.failed["BBB"]
    held = ledger_of(pool).close_decisions.held("BBB")
    assert held is not None
    assert held.since == prices.sessions[TRAINED + 2].item()


def test_a_symbol_that_cannot_be_collected_waits_for_the_next_time(pool: Settings) -> None:
    extend(pool, KNOWN)
    lost = pool.data_dir.parent / "BBB.csv"
    content = lost.read_bytes()
    lost.unlink()
    updated = update(pool, "AAA", ledger_of(pool))
    assert updated.collected == ("AAA", "CCC")
    assert set(updated.failed) == {"BBB"}
    assert updated.absorbed == 2 * (KNOWN - TRAINED)
    assert set(update(pool, "BBB", ledger_of(pool)).failed) == {"BBB"}
    lost.write_bytes(content)
    assert update(pool, "AAA", ledger_of(pool)).absorbed == KNOWN - TRAINED


def test_a_symbol_without_a_model_has_nothing_to_update(pool: Settings) -> None:
    with pytest.raises(UnknownSymbol, match="no model for KO: train one first"):
        update(pool, "KO", ledger_of(pool))


def test_updates_of_one_symbol_and_a_training_of_another_do_not_wait(pool: Settings) -> None:
    extend(pool)
    with Workspace(pool, ["BBB"]).alone():
        assert update(pool, "AAA", ledger_of(pool)).absorbed == 3 * (KNOWN - TRAINED)


def absorbed_by(settings: Settings, bundle: Bundle, database: Database) -> int:
    cache = PriceCache(settings.data_dir / "prices")
    return absorb(bundle, database, usable_closes(bundle, database, cache)).absorbed


def test_two_that_absorb_at_once_lose_and_repeat_nothing(pool: Settings, tmp_path: Path) -> None:
    """On two machines with one ledger no lock file helps; the revision does."""
    twin = twin_of(pool)
    for settings in (pool, twin):
        extend(settings)
        collect_many(settings, SYMBOLS)
    absorbed_by(pool, bundle_of(pool), ledger_of(pool))
    bundle, barrier = bundle_of(twin), threading.Barrier(4)

    def together(_: int) -> int:
        database = ledger_of(twin)
        barrier.wait()
        return absorbed_by(twin, bundle, database)

    with ThreadPoolExecutor(4) as threads:
        counts = list(threads.map(together, range(4)))
    assert sum(counts) + absorbed_by(twin, bundle, ledger_of(twin)) == 3 * (KNOWN - TRAINED)
    assert bytes_of(twin) == bytes_of(pool)
    assert days_of(twin) == days_of(pool)


KILLED = """
import os, signal, sys
from closecast.database import Database
from closecast.database import calibrations
from closecast.pipeline import update
from closecast.settings import Settings

where, count, left = sys.argv[1], 0, int(sys.argv[2])

def die_at(owner, name):
    whole = getattr(owner, name)
    def counted(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*arguments, **named)
    setattr(owner, name, counted)

if where == "before":
    die_at(calibrations.Calibrations, "store")
elif where == "closes":  # in the transaction: a state is replaced, its closes are not
    die_at(calibrations, "replace_absorbed_closes")
else:  # later in it: the monitor's days of a symbol are not stored
    die_at(calibrations, "replace_drift_days")
settings = Settings()
update(settings, "AAA", Database(settings.ledger_url))
"""


@pytest.mark.parametrize(
    ("where", "after"),
    [("before", 0), ("closes", 0), ("closes", 2), ("days", 0), ("days", 2)],
)
def test_kill_9_in_the_middle_of_an_update_changes_no_bit(
    pool: Settings, tmp_path: Path, where: str, after: int
) -> None:
    twin = twin_of(pool)
    extend(pool)
    extend(twin)
    update(pool, "AAA", ledger_of(pool))

    environment = as_environment(twin)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, where, str(after)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert states_of(twin) == {}, "all symbols of an exchange, or none"
    assert not any(days_of(twin).values())
    resumed = update(twin, "AAA", ledger_of(twin))
    assert resumed.absorbed == 3 * (KNOWN - TRAINED)
    assert bytes_of(twin) == bytes_of(pool)
    assert days_of(twin) == days_of(pool)
    for symbol in SYMBOLS:
        here, there = (states_of(s)[symbol].forecast(PROBABILITIES) for s in (pool, twin))
        assert here.quantiles.tobytes() == there.quantiles.tobytes()


def test_each_close_is_held_against_what_was_said_of_it(pool: Settings) -> None:
    first, bundle = first_states(pool), bundle_of(pool)
    extend(pool)
    database = ledger_of(pool)
    update(pool, "AAA", database)
    for symbol, days in days_of(pool).items():
        prices, state = made(symbol), first[symbol]
        assert [day.session for day in days] == prices.sessions[TRAINED:].tolist()
        assert {day.version for day in days} == {bundle.manifest.version}
        log_return = float(np.log(prices.closes[TRAINED] / prices.closes[TRAINED - 1]))
        lower, upper = state.forecast(np.array([0.05, 0.95])).quantiles[0]
        assert days[0].miss is not (lower <= log_return <= upper)
        assert days[0].width == pytest.approx(upper - lower)
        assert days[0].error == pytest.approx(log_return - state.location[-1, 0])
        calibration = SplitConformal.from_json(of_symbol(bundle.files, INTERVALS_FILE, symbol))
        predictor = load_predictor("mlp", bundle.files)
        for row, day in enumerate(days, TRAINED):
            assert day.shock is not None
            said = calibration.apply(predictor.predict(prices.closes[row - 20 : row]))
            score = abs(np.log(prices.closes[row] / prices.closes[row - 1])) / said.scale[0]
            scores = np.abs(calibration.scores[0])
            assert day.shock == (1 + (scores >= score).sum()) / (1 + len(scores))
        monitor = Monitor()
        for day in days:
            monitor = monitor.after(day.miss, day.shock)
            assert (day.monitor, day.evidence) == (monitor.values, monitor.evidence)
    assert database.drift_days.evidence(bundle.manifest.version) == {
        symbol: days[-1].evidence for symbol, days in days_of(pool).items()
    }


def test_an_alarm_is_one_line_in_the_log(pool: Settings, caplog: pytest.LogCaptureFixture) -> None:
    extend(pool, TRAINED + 5)
    update(pool, "AAA", ledger_of(pool))
    with sqlite3.connect(pool.ledger_url.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE drift_days SET monitor = '[980, 980, 980, 980]'")
    database.close()
    prices = made("AAA")
    logs = np.log(prices.closes)
    wild = np.cumsum(np.where(np.arange(KNOWN - TRAINED - 5) % 2, -0.12, 0.12))
    logs[TRAINED + 5 :] = logs[TRAINED + 4] + wild
    for known in (TRAINED + 6, TRAINED + 8):  # the alarm goes on in the second update
        rows = zip(prices.sessions[:known], np.exp(logs[:known]).tolist(), strict=True)
        text = "\n".join(["Date,Close", *(f"{day},{close!r}" for day, close in rows)])
        (pool.data_dir.parent / "AAA.csv").write_text(text)
        assert not update(pool, "AAA", ledger_of(pool)).failed
    alarms = [day for day in days_of(pool)["AAA"] if day.evidence >= ARL0]
    assert [day.session for day in alarms] == prices.sessions[TRAINED + 5 : TRAINED + 8].tolist()
    [line] = [r for r in caplog.records if r.message == "drift over time"]
    assert line.levelname == "WARNING"
    said = vars(line)
    assert (said["symbol"], said["version"]) == ("AAA", bundle_of(pool).manifest.version)
    assert (said["session"], said["arl0"]) == (str(alarms[0].session), ARL0)
    assert said["evidence"] == pytest.approx(alarms[0].evidence, abs=0.1)


def test_a_damaged_monitor_begins_anew_and_stops_nobody(
    pool: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    extend(pool, TRAINED + 5)
    update(pool, "AAA", ledger_of(pool))
    with sqlite3.connect(pool.ledger_url.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE drift_days SET monitor = '[1.0, null]' WHERE symbol='BBB'")
    database.close()
    extend(pool, TRAINED + 6)
    assert update(pool, "AAA", ledger_of(pool)).absorbed == 3
    assert [vars(r)["symbol"] for r in caplog.records if r.levelname == "ERROR"] == ["BBB"]
    days = days_of(pool)
    last = days["BBB"][-1]
    assert last.monitor == Monitor().after(last.miss, last.shock).values
    before, last = days["AAA"][-2:]
    assert last.monitor == Monitor(before.monitor).after(last.miss, last.shock).values


def committed(
    settings: Settings,
    database: Database,
    symbol: str,
    state: AdaptiveState,
    issued: datetime | None = None,
) -> str:
    """A dated forecast from a state, as the service commits it on the evening of its origin."""
    cached = PriceCache(settings.data_dir / "prices").get(symbol)
    assert cached is not None
    forecast = state.forecast(SCORED_PROBABILITIES)
    row = int(np.searchsorted(made(symbol).sessions, state.session))
    steps = tuple(
        DatedStep(
            step=h + 1,
            session=made(symbol).sessions[row + h + 1].item(),
            price=float(forecast.price[h]),
            quantiles=tuple(forecast.quantiles[h].tolist()),
        )
        for h in range(forecast.horizon)
    )
    return database.forecasts.commit(
        DatedForecast(
            kind="live",
            symbol=symbol,
            version=bundle_of(settings).manifest.version,
            revision=state.revision,
            forecaster="mlp",
            origin=state.session.item(),
            origin_close=state.last_close,
            basis=cached.basis,
            source="file",
            issued_at=issued or datetime.combine(state.session.item(), time(23), UTC),
            steps=steps,
        )
    )


def test_outcomes_are_written_once_and_drawn(pool: Settings) -> None:
    database, first = ledger_of(pool), first_states(pool)
    identifier = committed(pool, database, "AAA", first["AAA"])
    assert update(pool, "AAA", database).scored == 0  # nothing has come
    extend(pool, TRAINED + 2)
    assert update(pool, "BBB", database).scored == 2  # of AAA: it comes along
    _, outcomes = database.forecasts.get(identifier)
    closes = made("AAA").closes
    for step, outcome in enumerate(outcomes[:2], start=1):
        assert outcome is not None
        expected = np.log(closes[TRAINED - 1 + step] / closes[TRAINED - 1])
        assert outcome.log_return == pytest.approx(expected, rel=1e-9)
        assert outcome.naive_error == outcome.log_return
        assert outcome.actual == pytest.approx(closes[TRAINED - 1 + step])
    assert outcomes[2] is None
    assert (pool.results_dir / "AAA" / "performance-live.png").exists()
    extend(pool)
    assert update(pool, "AAA", database).scored == 1
    assert database.forecasts.get(identifier)[1][:2] == outcomes[:2]
    assert update(pool, "AAA", database).scored == 0


def test_what_is_said_of_a_session_after_its_close_is_never_scored(pool: Settings) -> None:
    database, state = ledger_of(pool), first_states(pool)["AAA"]
    evening_after = datetime.combine(made("AAA").sessions[TRAINED].item(), time(23), UTC)
    identifier = committed(pool, database, "AAA", state, evening_after + timedelta(hours=1))
    extend(pool)
    assert update(pool, "AAA", database).scored == 2
    _, outcomes = database.forecasts.get(identifier)
    assert [outcome is None for outcome in outcomes] == [True, False, False]
    assert database.forecasts.due("AAA", date(2030, 1, 1)) == []


def test_a_restated_history_changes_no_old_score_and_falsifies_no_new_one(pool: Settings) -> None:
    database, first = ledger_of(pool), first_states(pool)
    identifier = committed(pool, database, "AAA", first["AAA"])
    extend(pool, TRAINED + 2)
    update(pool, "AAA", database)
    _, old = database.forecasts.get(identifier)
    for symbol in SYMBOLS:  # a dividend: every close that was is 3 % lower now
        write(pool.data_dir.parent, symbol, KNOWN, factor=0.97)
    assert update(pool, "AAA", database).scored == 1
    _, new = database.forecasts.get(identifier)
    assert new[:2] == old[:2]
    assert new[2] is not None
    closes = made("AAA").closes
    expected = np.log(closes[TRAINED + 2] / closes[TRAINED - 1])
    assert new[2].log_return == pytest.approx(expected, rel=1e-9)
    assert new[2].actual == pytest.approx(closes[TRAINED + 2]), "in the basis of the forecast"


def test_a_restated_history_is_learned_from_as_the_old_one_would_have_been(
    pool: Settings, tmp_path: Path
) -> None:
    twin = twin_of(pool)
    extend(pool)
    for symbol in SYMBOLS:
        write(twin.data_dir.parent, symbol, KNOWN, factor=0.97)
    for settings in (pool, twin):
        update(settings, "AAA", ledger_of(settings))
    for symbol, state in states_of(pool).items():
        other = states_of(twin)[symbol]
        assert other.scores == pytest.approx(state.scores, rel=1e-6, abs=1e-9, nan_ok=True)
        assert other.scale == pytest.approx(state.scale, rel=1e-6)
        assert other.last_close == pytest.approx(0.97 * state.last_close)
    for symbol, days in days_of(pool).items():
        for here, there in zip(days, days_of(twin)[symbol], strict=True):
            assert (there.miss, there.shock) == (here.miss, here.shock)
            assert there.error == pytest.approx(here.error, abs=1e-12)
