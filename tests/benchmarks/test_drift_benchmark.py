"""The drift benchmark: faults are what they are called, nobody judges by what he saw."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.drift import peer_rows as drift_peers
from benchmarks.drift.cases import (
    FAULTS,
    KNOWN,
    LENGTH,
    STALE_BY,
    Case,
    clean_case,
    every_fault,
    injected,
    sample_series,
)
from benchmarks.drift.crossfit import GROUPS, CrossFit, sample_fit
from benchmarks.drift.data import traded
from benchmarks.drift.peer_rows import SHOWN, Question, peer_shares, peer_table, question_of
from benchmarks.drift.power import TARGETS, Power, confusion_table, power_table, spoilable
from benchmarks.drift.rates import (
    FalseAlarms,
    exact_interval,
    false_alarm_table,
    quarter_interval,
    raw_strangers,
    yearly_table,
)
from benchmarks.peers import (
    drift_alibi,
    drift_evidently,
    drift_frouros,
    drift_nannyml,
    drift_river,
    runner,
)
from closecast.core.calendars import session_table

FIRST = 1500
FALSE = FalseAlarms(
    np.array(["2008-01-02", "2008-04-02", "2009-01-05"], dtype="datetime64[D]"),
    {
        ("alone", rate): np.array([[True, False], [False, False], [False, True]])
        for rate in (0.01, 0.05)
    },
    {("alone", 0.01): Counter({"fault spike": 1})},
)


def clean(symbol: str = "KO") -> Case:
    return clean_case(next(p for p in sample_series() if p.symbol == symbol), FIRST)


def spoiled(name: str) -> Case:
    return injected(name, clean(), sample_series())


def returns(closes: np.ndarray) -> np.ndarray:
    return np.diff(np.log(closes))


# --- cases ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_the_same_every_time_and_changes_something(name: str) -> None:
    case, again = spoiled(name), spoiled(name)
    np.testing.assert_array_equal(case.closes, again.closes)
    np.testing.assert_array_equal(case.sessions, again.sessions)
    assert case.closes.shape == case.sessions.shape == (LENGTH,)
    assert (case.closes > 0).all()
    assert not np.array_equal(case.closes, clean().closes)
    assert case.causes
    np.testing.assert_array_equal(clean().closes, clean().prices.closes[FIRST : FIRST + LENGTH])


def test_faults_differ_between_windows() -> None:
    rows = set()
    for first in range(FIRST, FIRST + 200, 10):
        case = injected("split 2:1", clean_case(clean().prices, first), sample_series())
        rows.add(int(np.abs(returns(case.closes)).argmax()))
    assert len(rows) > 10


@pytest.mark.parametrize(
    ("name", "ratio"), [("split 2:1", 2), ("split 10:1", 10), ("split 1:2", 0.5)]
)
def test_a_split_is_one_move_and_what_follows_it(name: str, ratio: float) -> None:
    factors = clean().closes / spoiled(name).closes
    assert set(factors.round(9)) == {1.0, ratio}
    assert (np.diff(factors) != 0).sum() == 1
    assert factors[0] == 1.0


def test_units() -> None:
    np.testing.assert_allclose(spoiled("x100, whole window").closes, 100 * clean().closes)
    factors = spoiled("x100, last close").closes / clean().closes
    np.testing.assert_allclose(factors, [*[1] * 59, 100])


@pytest.mark.parametrize("days", [5, 10])
def test_a_frozen_feed_stands_still_for_so_many_days(days: int) -> None:
    still = returns(spoiled(f"frozen, {days} still days").closes) == 0
    assert still[-days:].all()
    assert not still[-days - 1]


def test_filled_days_are_no_sessions_and_repeat_the_close_before() -> None:
    case = spoiled("5 days filled")
    calendar = session_table("XNYS").sessions
    rows = np.flatnonzero(~np.isin(case.sessions, calendar))
    assert len(rows) == 5
    np.testing.assert_array_equal(case.closes[rows], case.closes[rows - 1])
    assert (np.diff(case.sessions).astype(int) > 0).all()
    np.testing.assert_array_equal(np.delete(case.closes, rows), clean().closes[5:])


def test_a_date_twice_is_one_row_too_many() -> None:
    case = spoiled("a date twice")
    [row] = np.flatnonzero(np.diff(case.sessions).astype(int) == 0)
    assert case.closes[row] == case.closes[row + 1]
    np.testing.assert_array_equal(np.delete(case.closes, row), clean().closes[1:])


def test_another_symbols_closes_of_the_same_days() -> None:
    names = {
        prices.symbol
        for prices in sample_series()
        if np.array_equal(prices.closes[FIRST : FIRST + LENGTH], spoiled("wrong symbol").closes)
    }
    assert len(names) == 1
    assert "KO" not in names
    rescaled = spoiled("wrong symbol, rescaled")
    other = [
        prices
        for prices in sample_series()
        if np.allclose(returns(prices.closes[FIRST : FIRST + LENGTH]), returns(rescaled.closes))
    ]
    assert len(other) == 1
    first_move = rescaled.closes[0] / rescaled.before.closes[-1]
    assert first_move == pytest.approx(other[0].closes[FIRST] / other[0].closes[FIRST - 1])


@pytest.mark.parametrize("size", [0.2, 0.1])
def test_a_spike_has_a_close_on_either_side(size: float) -> None:
    for first in range(FIRST, FIRST + 300, 5):
        whole = clean_case(clean().prices, first)
        factors = injected(f"spike {size:.0%}".replace("%", " %"), whole, sample_series()).closes
        factors = factors / whole.closes
        [row] = np.flatnonzero(np.abs(factors - 1) > 1e-9)
        assert abs(factors[row] - 1) == pytest.approx(size)
        assert 0 < row < LENGTH - 1


@pytest.mark.parametrize("times", [2, 3])
def test_volatility_is_a_multiple(times: int) -> None:
    case = spoiled(f"volatility x{times}")
    np.testing.assert_allclose(returns(case.closes), times * returns(clean().closes))
    assert case.channel == "regime"
    np.testing.assert_allclose(case.known.closes[-LENGTH:], case.closes)  # the market's truth
    np.testing.assert_array_equal(case.before.closes, clean().before.closes)


def test_the_other_windows() -> None:
    moved = returns(spoiled("-0.5 % a day, 30 days").closes) - returns(clean().closes)
    np.testing.assert_allclose(moved, [*[0.0] * 29, *[-0.005] * 30], atol=1e-12)
    back = spoiled("reversed order")
    np.testing.assert_array_equal(back.closes[::-1], clean().closes)
    np.testing.assert_array_equal(back.sessions[::-1], clean().sessions)
    old = clean().prices.closes[FIRST - STALE_BY : FIRST - STALE_BY + LENGTH]
    np.testing.assert_array_equal(spoiled("stale by 250").closes, old)


def test_what_is_known_ends_where_it_says() -> None:
    case, others = clean(), sample_series()
    assert KNOWN["60 closes alone"](case, others) is None
    before = KNOWN["last close before"](case, others)
    assert before is not None
    assert before.known is not None
    assert before.known.sessions[-1] < case.sessions[0]
    memory = KNOWN["memory"](case, others)
    assert memory is not None
    assert memory.known is not None
    assert memory.known.sessions[-1] == case.sessions[-1] == memory.as_of
    assert memory.others is not None
    assert "KO" not in {prices.symbol for prices in memory.others.series}


# --- nobody judges by what he saw ----------------------------------------------------------


@pytest.mark.parametrize("year", [2005, 2008, 2022])
def test_calibration_saw_neither_the_symbol_nor_the_year(year: int) -> None:
    fit = sample_fit()
    windows = [case for case in fit.windows() if case.year == year and case.symbol == "KO"]
    first, last = windows[0].sessions[0], windows[-1].sessions[-1]
    pool = fit.pool("KO", year)
    assert "KO" not in pool.symbols
    assert len(np.unique(pool.symbols)) == 20 - 20 // GROUPS
    ends = np.searchsorted(fit.sessions, pool.last_sessions)
    begins = fit.sessions[ends - LENGTH + 1]
    assert not ((pool.last_sessions >= first) & (begins <= last)).any()
    train = fit.train("KO", year)
    assert not np.isin(train.sessions, np.concatenate([w.sessions for w in windows])).any()
    detector = fit.detector(windows[0], 0.05)
    assert detector.baseline.symbol == "KO"
    assert detector.baseline.rates["alone"]["fault"].wanted == 0.05
    assert detector.baseline.reference["windows"] == len(pool.symbols)


def test_some_windows_are_two_fifths_of_every_year() -> None:
    fit = sample_fit()
    some, all_of_them = (Counter(c.year for c in w) for w in (fit.some_windows(), fit.windows()))
    assert {year: 5 * n for year, n in some.items()} == {y: 2 * n for y, n in all_of_them.items()}
    assert len({case.symbol for case in fit.some_windows()}) == 20


def test_symbols_on_different_sessions_are_refused() -> None:
    one, other = sample_series()[:2]
    with pytest.raises(ValueError, match="same sessions"):
        CrossFit([one, other.rows(1, None)])


# --- tables --------------------------------------------------------------------------------


def test_exact_intervals_of_known_shares() -> None:
    assert exact_interval(0, 100) == (0.0, pytest.approx(0.0362, abs=1e-4))
    assert exact_interval(5, 100) == (
        pytest.approx(0.0164, abs=1e-4),
        pytest.approx(0.1128, abs=1e-4),
    )
    assert exact_interval(100, 100)[1] == 1.0


def test_quarters_are_drawn_whole() -> None:
    days = np.repeat(np.array(["2008-01-02", "2008-04-02"], dtype="datetime64[D]"), 50)
    lower, upper = quarter_interval(days < np.datetime64("2008-03-01"), days)
    assert (lower, upper) == (0.0, 1.0)


def test_every_rate_is_printed_and_what_is_too_high_is_marked() -> None:
    lines = false_alarm_table("made", FALSE).splitlines()
    assert sum("33.33%" in line and "over 1.5 x" in line for line in lines) == 4
    assert any("fault spike 33.33%" in line for line in lines)
    assert "50.0/50.0 0.0/0.0" in yearly_table(FALSE, ["alone"])
    assert "0.0/0.0 100.0/100.0" in yearly_table(FALSE, ["alone"])


def test_a_missed_target_is_marked() -> None:
    target = TARGETS[0]
    rows = {
        (target.fault, target.known): Power(100, 0.98, 0.0, 1.0, Counter(split=98, nothing=2)),
        ("a date twice", target.known): Power(100, 0.0, 0.0, np.nan, Counter(nothing=100)),
    }
    printed = power_table(rows)
    assert "98.0%" in printed
    assert printed.count("MISSED") == 1
    confusion = confusion_table(rows, target.known)
    assert all(f"{name:<26}" in confusion for name, _ in rows)


def test_there_is_a_target_for_every_fault_that_the_issue_names() -> None:
    assert {target.fault for target in TARGETS} <= set(FAULTS)
    assert {target.known for target in TARGETS} <= set(KNOWN)
    assert len(spoilable(sample_fit().windows(), every=9)) >= 800


def test_raw_windows_without_a_split_and_without_news() -> None:
    largest = [np.abs(returns(case.closes)).max() for case, _ in raw_strangers(news=False)]
    assert max(largest) < 0.5
    assert max(np.abs(returns(case.closes)).max() for case, _ in raw_strangers(news=True)) > 0.7


# --- the raw data --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "day", "move", "volume"),
    [
        ("AAPL", "2000-06-21", -0.45, 1.2),
        ("AAPL", "2005-02-28", -0.50, 0.6),
        ("MSFT", "2003-02-18", -0.48, 0.7),
        ("AAPL", "2000-09-29", -0.52, 24.0),
    ],
)
def test_raw_closes_hold_splits_and_news(symbol: str, day: str, move: float, volume: float) -> None:
    found = traded()[symbol]
    row = int(np.searchsorted(found.raw.sessions, np.datetime64(day)))
    assert str(found.raw.sessions[row]) == day
    assert found.raw.closes[row] / found.raw.closes[row - 1] - 1 == pytest.approx(move, abs=0.006)
    usual = np.median(found.volume[row - 20 : row])
    assert found.volume[row] / usual == pytest.approx(volume, rel=0.1)
    adjusted = found.adjusted.closes[row] / found.adjusted.closes[row - 1] - 1
    assert (adjusted < -0.5) == (day == "2000-09-29")


def test_raw_closes_are_on_the_exchanges_sessions() -> None:
    assert sorted(traded()) == ["AAPL", "GOOG", "IBM", "MSFT"]
    for found in traded().values():
        assert np.isin(found.raw.sessions, session_table("XNYS").sessions).all()
        assert len(found.raw) == len(found.adjusted) == len(found.volume)


# --- peers ---------------------------------------------------------------------------------


def few() -> Question:
    return question_of(sample_fit(), clean=6, spoiled=3)


def test_peers_are_asked_about_the_same_windows() -> None:
    question = few()
    assert question.windows.shape == (6, 1 + len(SHOWN), LENGTH)
    spoiled_rows = np.isfinite(question.windows[:, 1, 0])
    assert spoiled_rows.tolist() == [True, False, True, False, True, False]
    for case, before, windows in zip(
        question.cases, question.before, question.windows, strict=True
    ):
        row = case.first
        np.testing.assert_array_equal(before, case.prices.closes[row - 1001 : row])
        np.testing.assert_array_equal(windows[0], case.closes)


def test_a_peer_that_cannot_be_installed_is_printed_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(command: list[str], log: Path) -> bool:
        log.write_text("Collecting\nERROR: No matching distribution found\n")
        return "pip" not in command

    monkeypatch.setattr(runner, "_run", run)
    shares, missing = peer_shares(few(), tmp_path / ".peers")
    printed = peer_table({}, shares, missing)
    for module in drift_peers.MODULES.values():
        for method in module.METHODS:
            [line] = [line for line in printed.splitlines() if line.startswith(method)]
            assert "could not be installed" in line
            assert "No matching distribution" in line
            assert str(tmp_path) not in line
    assert "scipy ks_2samp" in printed


def made_question() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    closes = 50 * np.exp(0.01 * rng.standard_normal((2, 1061)).cumsum(axis=1))
    windows = np.stack([closes[:, 1001:], 100 * closes[:, 1001:]], axis=1)
    windows[1, 1] = np.nan
    return {"before": closes[:, :1001], "windows": windows}


def assert_answers(found: dict[str, np.ndarray], module) -> None:
    assert set(found) == {f"{m}/{f}" for m in module.METHODS for f in ("closes", "returns")}
    for values in found.values():
        assert np.isnan(values).tolist() == [[False, False], [False, True]]


class OneRow:
    """A test of two samples that alarms where a value of the window was never seen before."""

    def __init__(self, reference: np.ndarray) -> None:
        self.most = reference.max()

    def predict(self, current: np.ndarray):
        return {"data": {"is_drift": int(current.max() > self.most)}}


def test_alibi_compares_each_window_with_its_own_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_alibi, "detectors", lambda reference: 2 * [OneRow(reference)])
    found = drift_alibi.answer(made_question())
    assert_answers(found, drift_alibi)
    assert found["alibi-detect KSDrift/closes"][0, 1] == 1
    assert found["alibi-detect KSDrift/returns"][0].tolist() == [0, 1]  # the move into the window


def test_evidently_is_asked_once_per_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def drifted(reference, current):
        asked.append(list(reference))
        assert {len(values) for values in reference.values()} == {1000}
        assert {len(values) for values in current.values()} == {60}
        return {name: current[name].max() > reference[name].max() for name in reference}

    monkeypatch.setattr(drift_evidently, "drifted", drifted)
    found = drift_evidently.answer(made_question())
    assert [len(columns) for columns in asked] == [4, 2]
    assert_answers(found, drift_evidently)
    assert found["Evidently ValueDrift/returns"][0].tolist() == [0, 1]


def test_nannyml_has_one_chunk_per_window(monkeypatch: pytest.MonkeyPatch) -> None:
    def alerts(reference, current, chunk):
        assert chunk == LENGTH
        columns = {
            (feature, method, "alert"): [
                values[i : i + chunk].max() > reference[feature].max()
                for i in range(0, len(values), chunk)
            ]
            for feature, values in current.items()
            for method in drift_nannyml.NAMES.values()
        }
        return pd.DataFrame(columns)

    monkeypatch.setattr(drift_nannyml, "alerts", alerts)
    found = drift_nannyml.answer(made_question())
    assert_answers(found, drift_nannyml)
    assert found["NannyML KS/returns"][0].tolist() == [0, 1]


class FirstJump:
    """A detector of changes: the first value after at least ten that is 20 % off the last one."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.drift_detected = self.drift = False

    def update(self, value: float) -> None:
        last = self.seen[-1] if self.seen else value
        self.drift_detected = self.drift = abs(value - last) > 0.2 * abs(last) + 1
        self.seen.append(value)

    def reset(self) -> None:
        self.__init__()


def test_a_stream_is_fed_the_reference_and_alarms_count_inside_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drift_river, "detectors", lambda: [FirstJump() for _ in range(3)])
    found = drift_river.answer(made_question())
    assert_answers(found, drift_river)
    assert found["river ADWIN/closes"].tolist()[0] == [0, 1]
    assert drift_frouros.stream(FirstJump, np.full(100, 5.0))(np.full(60, 500.0))
    assert not drift_frouros.stream(FirstJump, np.full(100, 5.0))(np.full(60, 5.0))


def test_a_method_that_takes_no_such_values_stays_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    def judges(reference):
        takers = drift_frouros.METHODS if reference.min() >= 0 else drift_frouros.METHODS[:3]
        return dict.fromkeys(takers, lambda current: bool(current.max() > reference.max()))

    monkeypatch.setattr(drift_frouros, "judges", judges)
    found = drift_frouros.answer(made_question())
    assert np.isnan(found["frouros ADWIN/returns"]).all()
    assert found["frouros ADWIN/closes"][0, 1] == 1


def test_every_fault_can_be_put_into_one_window() -> None:
    assert [case.name for case in every_fault(clean(), sample_series())] == list(FAULTS)
