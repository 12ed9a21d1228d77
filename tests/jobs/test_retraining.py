"""When a training starts by itself, and what it repeats: never too soon, never on a data fault."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices
from closecast.core.records import DriftDay
from closecast.core.verdict import Finding, Verdict
from closecast.database import CalibrationChange, Database, Job, JobState
from closecast.drift import Baseline, DriftDetector
from closecast.drift.monitor import BETS
from closecast.jobs.retraining import (
    Group,
    groups,
    is_due,
    last_training_start,
    make_recipe,
    regime_changed,
    regime_signal,
    regime_verdicts,
)
from closecast.pipeline import TrainRequest
from closecast.pipeline.close_gate import usable_closes
from closecast.registry.documents import (
    BASELINE_FILE,
    Bundle,
    BundleInfo,
    DataSpan,
    Manifest,
    dump_by_symbol,
)
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources import source_again
from closecast.sources.price_cache import PriceCache
from tests.conftest import settings_in
from tests.support.synthetic_prices import as_prices, from_returns, patiently

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
SATURDAY = datetime(2026, 1, 3, 22, tzinfo=UTC)
WEEKLY = "0 22 * * 6"

# -- by schedule --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "last", "now", "interval", "due"),
    [
        (WEEKLY, SATURDAY - DAY, SATURDAY - SECOND, HOUR, False),
        (WEEKLY, SATURDAY - DAY, SATURDAY, HOUR, True),
        (WEEKLY, SATURDAY - DAY, SATURDAY, 2 * DAY, False),
        (WEEKLY, SATURDAY - DAY, SATURDAY + DAY, 2 * DAY, True),  # it waits, it is not forgotten
        (WEEKLY, SATURDAY, SATURDAY + 7 * DAY - SECOND, HOUR, False),
        (WEEKLY, SATURDAY, SATURDAY + 7 * DAY, 7 * DAY, True),
        (WEEKLY, SATURDAY, SATURDAY + 22 * DAY, HOUR, True),  # the machine slept for three weeks
        (WEEKLY, SATURDAY + 22 * DAY, SATURDAY + 22 * DAY + HOUR, HOUR, False),
        ("* * * * *", SATURDAY, SATURDAY + HOUR, HOUR, True),
        ("* * * * *", SATURDAY, SATURDAY + HOUR - SECOND, HOUR, False),
        ("0 0 29 2 *", SATURDAY, SATURDAY + 365 * DAY, HOUR, False),  # the next one is in 2028
        (WEEKLY, SATURDAY, SATURDAY - DAY, HOUR, False),  # a clock that was set back
    ],
)
def test_the_schedule_asks_for_a_training(
    expression: str, last: datetime, now: datetime, interval: timedelta, due: bool
) -> None:
    assert is_due(expression, last, now, interval) is due


def test_the_schedule_is_in_utc_whatever_zone_a_time_is_in() -> None:
    tokyo = datetime.fromisoformat("2026-01-04T06:59:59+09:00")  # one second before
    assert is_due(WEEKLY, tokyo, tokyo + SECOND, timedelta())
    assert not is_due(WEEKLY, tokyo + SECOND, tokyo + DAY, timedelta())


expressions = st.sampled_from([WEEKLY, "* * * * *", "*/5 9-17 * * 1-5", "0 0 1 * *", "15 3 L * *"])
moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))
spans = st.timedeltas(timedelta(), 40 * DAY)


@patiently
@given(expressions, moments, spans, spans)
def test_never_before_the_minimum_interval(
    expression: str, last: datetime, passed: timedelta, interval: timedelta
) -> None:
    if is_due(expression, last, last + passed, interval):
        assert passed >= interval


@patiently
@given(moments, spans)
def test_every_week_in_which_the_schedule_did_not_fire_passes_without_a_training(
    last: datetime, passed: timedelta
) -> None:
    days = (last + k * DAY for k in range(passed.days + 2))
    evenings = (day.replace(hour=22, minute=0, second=0, microsecond=0) for day in days)
    fired = any(e.weekday() == 5 and last < e <= last + passed for e in evenings)
    assert is_due(WEEKLY, last, last + passed, timedelta()) is fired


@patiently
@given(expressions, moments, spans, spans, spans)
def test_what_is_due_stays_due(
    expression: str, last: datetime, passed: timedelta, more: timedelta, interval: timedelta
) -> None:
    if is_due(expression, last, last + passed, interval):
        assert is_due(expression, last, last + passed + more, interval)


# -- the last training --------------------------------------------------------------------------


def info_of(*symbols: str, **changes: Any) -> BundleInfo:
    spans = tuple(
        DataSpan(
            symbol=symbol,
            source="sample",
            basis="adjusted",
            first_session="2016-01-04",
            last_session="2025-12-31",
            closes=2500,
            content_hash="0" * 64,
            valid_start="2022-01-03",
            test_start="2024-01-02",
        )
        for symbol in symbols
    )
    values: dict[str, Any] = {
        "forecaster": "mlp",
        "symbols": symbols,
        "seq_length": 60,
        "horizon": 10,
        "data": spans,
        "hyperparameters": {"seq_length": 60, "horizon": 10, "seed": 7},
        "leak_check": {"passed": True},
    }
    return BundleInfo(**{**values, **changes})


def group_of(*symbols: str, made: datetime = SATURDAY) -> Group:
    manifest = Manifest(
        version="20260103T220000Z-00000000", created_at=made, info=info_of(*symbols), sha256={}
    )
    return Group(manifest, symbols)


def job(symbols: Sequence[str], created: datetime, ended: datetime | None, state: JobState) -> Job:
    return Job(
        id="0" * 32,
        task="train",
        symbol="panel",
        arguments={"symbols": list(symbols)},
        state=state,
        progress={},
        result=None,
        reason=None,
        owner=None,
        cancel_requested=False,
        created_at=created,
        started_at=None,
        heartbeat_at=None,
        finished_at=ended,
    )


def done(*symbols: str, days: int, state: JobState = "succeeded") -> Job:
    """A training so many days after the bundle was made; it took two hours."""
    begun = SATURDAY + days * DAY
    return job(symbols, begun, begun + 2 * HOUR, state)


@pytest.mark.parametrize(
    ("trainings", "last"),
    [
        ([], SATURDAY),
        ([done("KO", days=5)], SATURDAY),
        ([done("AAPL", "MSFT", days=5)], SATURDAY + 5 * DAY),
        ([done("MSFT", days=5), done("AAPL", "KO", days=6)], SATURDAY + 6 * DAY),
        ([done("MSFT", days=5, state="failed")], SATURDAY + 5 * DAY),
        ([done("MSFT", days=5, state="cancelled")], SATURDAY + 5 * DAY),
        ([done("MSFT", days=-5)], SATURDAY),  # the bundle was trained by hand after that
        ([job(["MSFT"], SATURDAY - HOUR, SATURDAY + HOUR, "succeeded")], SATURDAY - HOUR),
        ([job(["MSFT"], SATURDAY - DAY, None, "running")], None),
        ([job(["MSFT"], SATURDAY, None, "queued"), done("AAPL", days=5)], None),
        ([job(["KO"], SATURDAY, None, "queued")], SATURDAY),
        ([job([], SATURDAY + DAY, SATURDAY + DAY, "failed")], SATURDAY),
    ],
)
def test_the_last_training_is_the_newest_of_any_of_the_symbols(
    trainings: list[Job], last: datetime | None
) -> None:
    assert last_training_start(group_of("AAPL", "MSFT"), trainings) == last


def test_a_job_without_symbols_is_nobodys_training() -> None:
    nameless = Job(**{**_values(done("MSFT", days=5)), "arguments": {}})
    assert last_training_start(group_of("MSFT"), [nameless]) == SATURDAY


def _values(one: Job) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Job.__slots__}


# -- what is trained again ----------------------------------------------------------------------


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return Registry(settings.models_url)


def published(registry: Registry, *symbols: str, **changes: Any) -> Manifest:
    return registry.publish(info_of(*symbols, **changes), {})


def current(registry: Registry, *symbols: str, **changes: Any) -> Manifest:
    """A bundle that is current for all its symbols."""
    manifest = published(registry, *symbols, **changes)
    for symbol in symbols:
        registry.promote(symbol, manifest.version, "for a test")
    return manifest


def symbols_of(registry: Registry) -> dict[str, tuple[str, ...]]:
    return {group.manifest.version: group.symbols for group in groups(registry)}


def test_symbols_of_one_current_bundle_are_one_group(registry: Registry) -> None:
    pool = current(registry, "AAPL", "KO", "MSFT")
    alone = current(registry, "KO")
    assert symbols_of(registry) == {pool.version: ("AAPL", "MSFT"), alone.version: ("KO",)}


def test_without_a_model_there_is_nothing_to_train_again(registry: Registry) -> None:
    assert groups(registry) == []


def test_a_damaged_pointer_or_manifest_keeps_no_other_from_being_trained(
    registry: Registry, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    whole = current(registry, "AAPL")
    current(registry, "KO")
    damaged = current(registry, "MSFT")
    folder = Path(settings.models_url)
    (folder / "current" / "KO.json").write_text("{}")
    (folder / "bundles" / damaged.version / "manifest.json").write_text("{}")
    assert symbols_of(registry) == {whole.version: ("AAPL",)}
    assert [record.getMessage() for record in caplog.records] == [
        "no pointer to follow",
        "no model to repeat",
    ]


def test_the_model_is_repeated_as_it_was_made(registry: Registry, settings: Settings) -> None:
    current(registry, "AAPL", "MSFT", forecaster="lstm", hyperparameters={"seed": 3})
    [group] = groups(registry)
    arguments = make_recipe(registry, group, settings).arguments("schedule")
    assert json.loads(json.dumps(arguments)) == arguments
    assert TrainRequest.model_validate(arguments) == TrainRequest.model_validate(
        {
            "symbols": ["AAPL", "MSFT"],
            "source": "sample",
            "start": "2016-01-04",
            "forecaster": "lstm",
            "hyperparameters": {"seed": 3},
            "trigger": "schedule",
        }
    )


def test_a_training_is_a_request_unless_something_else_is_said() -> None:
    assert TrainRequest(symbols=("KO",), source="sample").trigger == "request"


def test_a_symbol_that_was_left_out_is_asked_for_again_unless_it_has_a_model(
    registry: Registry, settings: Settings
) -> None:
    current(registry, "KO")
    left_out = {"KO": "2020-01-02: frozen", "VALE3.SA": "no prices"}
    pool = current(registry, "AAPL", "MSFT", left_out=left_out)
    [group] = [g for g in groups(registry) if g.manifest == pool]
    assert make_recipe(registry, group, settings).symbols == ("AAPL", "MSFT", "VALE3.SA")


BASELINE: Mapping[str, Any] = {"forecaster": "ewma", "hyperparameters": {"seq_length": 60}}


def repeated(registry: Registry, settings: Settings, *symbols: str) -> tuple[str, dict[str, Any]]:
    [group] = [g for g in groups(registry) if g.symbols == symbols]
    recipe = make_recipe(registry, group, settings)
    return recipe.forecaster, recipe.hyperparameters


def test_where_a_baseline_stands_in_the_newest_network_after_it_is_tried_again(
    registry: Registry, settings: Settings
) -> None:
    current(registry, "AAPL", "MSFT", **BASELINE)
    published(registry, "AAPL", "MSFT", hyperparameters={"seed": 1})
    published(registry, "AAPL", "MSFT", hyperparameters={"seed": 2})
    published(registry, "AAPL", forecaster="lstm")  # for fewer of the symbols
    published(registry, "KO", forecaster="lstm")
    published(registry, "AAPL", "MSFT", **{**BASELINE, "forecaster": "naive"})
    assert repeated(registry, settings, "AAPL", "MSFT") == ("mlp", {"seed": 2})


def test_a_baseline_that_replaced_a_network_is_repeated_itself(
    registry: Registry, settings: Settings
) -> None:
    published(registry, "MSFT")
    current(registry, "MSFT", **BASELINE)
    published(registry, "KO")
    expected = (BASELINE["forecaster"], BASELINE["hyperparameters"])
    assert repeated(registry, settings, "MSFT") == expected


@pytest.mark.parametrize(
    ("recorded", "configured", "asked"),
    [
        ("sample", "sample", "sample"),
        ("sample", "yahoo", "sample"),
        ("yahoo", "yahoo:raw", "yahoo:raw"),
        ("yahoo", "sample", "yahoo"),
        ("file", "file:https://user:secret@host/{symbol}.csv", "file"),
    ],
)
def test_closes_come_from_where_they_came_from(
    recorded: str, configured: str, asked: str, tmp_path: Path
) -> None:
    assert source_again(recorded, settings_in(tmp_path, source=configured)) == asked


# -- by regime ----------------------------------------------------------------------------------

OK = Verdict()
ODD = Verdict((Finding("volatility_high", "regime", "volatility ratio", 3.0, 1.5, "Wild."),))
WRONG = Verdict((Finding("frozen_feed", "fault", "longest run", 9.0, 4.0, "Frozen?"),))
SHORT = Verdict(sufficient=False)


@pytest.mark.parametrize(
    ("then", "now", "changed"),
    [
        ([OK], [ODD], True),
        ([OK], [OK], False),
        ([ODD], [ODD], False),
        ([ODD], [OK], False),
        ([OK, OK], [ODD, OK], True),
        ([OK, OK, OK], [ODD, OK, OK], False),
        ([ODD, OK], [ODD, ODD], False),
        ([ODD, OK, OK], [ODD, ODD, ODD], True),
        ([OK], [WRONG], False),
        ([OK, OK, OK], [WRONG, WRONG, ODD], True),  # of those that have a vote, all
        ([WRONG, OK], [ODD, ODD], True),
        ([WRONG, ODD], [ODD, ODD], False),
        ([OK], [SHORT], False),
        ([], [], False),
    ],
)
def test_the_regime_has_changed_when_half_of_the_windows_say_so_and_fewer_did(
    then: list[Verdict], now: list[Verdict], changed: bool
) -> None:
    assert regime_changed(then, now) is changed


verdicts = st.lists(st.sampled_from([OK, ODD, WRONG, SHORT]), max_size=8)


@patiently
@given(verdicts, verdicts, st.lists(st.sampled_from([WRONG, SHORT]), max_size=8))
def test_faults_change_no_signal(
    then: list[Verdict], now: list[Verdict], silent: list[Verdict]
) -> None:
    assert regime_changed(then + silent, now + silent) == regime_changed(then, now)


LENGTH, KNOWN, NEW = 20, 600, 30
SYMBOLS = ("AAA", "BBB", "CCC")


def walk(symbol: str, wilder: float = 1.0) -> FloatArray:
    """Closes; of those after the model's data the volatility is another one."""
    rng = np.random.default_rng(SYMBOLS.index(symbol))
    returns = rng.normal(0, 0.015, KNOWN + NEW - 1)
    returns[KNOWN - 1 :] *= wilder
    return from_returns(returns).closes.copy()


def bundle_of_walks() -> Bundle:
    """What a training on the first closes leaves for the drift detector."""
    series = [as_prices(walk(symbol), symbol).rows(0, KNOWN) for symbol in SYMBOLS]
    spans = tuple(
        span.model_copy(update={"last_session": prices.span[1]})
        for span, prices in zip(info_of(*SYMBOLS).data, series, strict=True)
    )
    baselines = {p.symbol: Baseline.fit(p, LENGTH).to_json() for p in series}
    manifest = group_of(*SYMBOLS).manifest.model_copy(
        update={"info": info_of(*SYMBOLS, data=spans, seq_length=LENGTH)}
    )
    return Bundle(manifest, {BASELINE_FILE: dump_by_symbol(baselines)})


@pytest.fixture
def cache(tmp_path: Path) -> PriceCache:
    """All closes: as calm as they were."""
    cache = PriceCache(tmp_path / "prices")
    for symbol in SYMBOLS:
        cache.put(as_prices(walk(symbol), symbol))
    return cache


def make_wild(cache: PriceCache, *symbols: str) -> None:
    for symbol in symbols:
        cache.put(as_prices(walk(symbol, wilder=8.0), symbol))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """Nobody has watched anything yet."""
    return Database(f"sqlite:///{tmp_path}/ledger.sqlite")


def watched(database: Database, evidence: Mapping[str, float], version: str | None = None) -> None:
    """Sessions under watch, with what they have added up to."""
    version = version or bundle_of_walks().manifest.version
    for symbol, value in evidence.items():
        day = DriftDay(
            version=version,
            symbol=symbol,
            session=date(2024, 1, 2),
            monitor=tuple([value] * BETS),
            evidence=value,
            miss=True,
            pit=None,
            shock=None,
            error=None,
            expected_error=None,
            width=None,
            at=datetime(2024, 1, 3, tzinfo=UTC),
        )
        change = CalibrationChange(
            symbol, None, 1, day.session, (b"state",), since=date.min, drift_days=(day,)
        )
        database.calibrations.store(version, [change])


@pytest.mark.parametrize(
    ("evidence", "changed"),
    [
        ({"AAA": 5000.0, "BBB": 2500.0, "CCC": 1.0}, True),  # two of three, by e-BH
        ({"AAA": 5000.0, "BBB": 900.0, "CCC": 1.0}, False),
        ({"AAA": 1000.0, "BBB": 1000.0, "CCC": 1000.0}, True),
        ({"AAA": 999.0}, False),
        ({"AAA": 1000.0}, True),
    ],
)
def test_evidence_of_half_of_the_symbols_over_time_is_a_signal(
    cache: PriceCache, database: Database, evidence: dict[str, float], changed: bool
) -> None:
    watched(database, evidence)
    assert regime_signal(bundle_of_walks(), SYMBOLS, cache, database) is changed


def test_evidence_against_another_model_or_symbol_is_none(
    cache: PriceCache, database: Database
) -> None:
    watched(database, {"AAA": 1e6, "BBB": 1e6, "CCC": 1e6}, version="another")
    assert not regime_signal(bundle_of_walks(), SYMBOLS, cache, database)
    watched(database, {"AAA": 1e6})
    assert not regime_signal(bundle_of_walks(), ("BBB", "CCC"), cache, database)


def verdicts_of(
    cache: PriceCache, database: Database, symbols: Sequence[str] = SYMBOLS
) -> tuple[list[Verdict], list[Verdict]]:
    bundle = bundle_of_walks()
    return regime_verdicts(bundle, symbols, usable_closes(bundle, database, cache))


def test_a_market_that_goes_on_as_it_was_is_no_signal(
    cache: PriceCache, database: Database
) -> None:
    assert not regime_signal(bundle_of_walks(), SYMBOLS, cache, database)
    then, now = verdicts_of(cache, database)
    assert (len(then), len(now)) == (3, 3)


def test_a_market_many_times_as_wild_is_a_signal(cache: PriceCache, database: Database) -> None:
    make_wild(cache, "AAA")
    assert not regime_signal(bundle_of_walks(), SYMBOLS, cache, database)
    make_wild(cache, "BBB")
    assert regime_signal(bundle_of_walks(), SYMBOLS, cache, database)


def test_only_symbols_of_the_group_have_a_vote(cache: PriceCache, database: Database) -> None:
    make_wild(cache, "AAA")
    assert regime_signal(bundle_of_walks(), ("AAA",), cache, database)
    assert not regime_signal(bundle_of_walks(), ("BBB", "CCC"), cache, database)


def faulty(symbol: str, fault: str) -> Prices:
    """Closes of which something after the model's data is no market."""
    if fault == "frozen feed":
        closes = walk(symbol, wilder=8.0)
        closes[-6:] = closes[-6]
        return as_prices(closes, symbol)
    closes = walk(symbol)
    closes[KNOWN + (20 if fault == "lost split" else 2) :] /= 4
    return as_prices(closes, symbol)


def test_a_lost_split_is_a_fault_to_the_detector() -> None:
    window = faulty("AAA", "lost split").closes[-LENGTH:]
    baseline = Baseline.fit(as_prices(walk("AAA"), "AAA").rows(0, KNOWN), LENGTH)
    assert DriftDetector(baseline).check(window).level == "fault"


@pytest.mark.parametrize("fault", ["lost split", "lost split, before the window", "frozen feed"])
def test_a_symbol_with_a_data_fault_has_no_vote(
    cache: PriceCache, database: Database, fault: str
) -> None:
    for symbol in SYMBOLS:
        cache.put(faulty(symbol, fault))
    assert verdicts_of(cache, database) == ([], [])
    assert not regime_signal(bundle_of_walks(), SYMBOLS, cache, database)
    cache.put(as_prices(walk("BBB"), "BBB"))
    assert not regime_signal(bundle_of_walks(), SYMBOLS, cache, database)
    make_wild(cache, "BBB")
    assert regime_signal(bundle_of_walks(), SYMBOLS, cache, database)


@pytest.mark.parametrize(
    "known",
    [
        as_prices(walk("AAA", wilder=8.0), "AAA", basis="raw"),
        as_prices(walk("AAA", wilder=8.0), "AAA").rows(0, KNOWN),  # nothing new
        as_prices(walk("AAA", wilder=8.0), "AAA").rows(KNOWN - LENGTH + 1, None),
    ],
    ids=["another basis", "nothing new", "the window before is not known"],
)
def test_closes_that_do_not_compare_have_no_vote(
    cache: PriceCache, database: Database, known: Prices
) -> None:
    cache.put(known)
    assert verdicts_of(cache, database, ("AAA",)) == ([], [])


def test_closes_that_are_not_there_have_no_vote(tmp_path: Path, database: Database) -> None:
    assert verdicts_of(PriceCache(tmp_path), database) == ([], [])
