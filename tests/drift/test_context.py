"""Verdicts with context beside the window: the symbol's own closes, others', dates, volume."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from closecast.core.arrays import FloatArray
from closecast.core.calendars import session_table
from closecast.core.prices import Prices
from closecast.core.verdict import Finding, Verdict
from closecast.drift import Baseline, Context, DriftDetector, OtherSymbols
from closecast.sources.sample import SampleSource

SAMPLE = SampleSource()
MSFT, AAPL, JNJ = (SAMPLE.fetch(symbol) for symbol in ("MSFT", "AAPL", "JNJ"))
NYSE = session_table("XNYS", date(2004, 1, 2), date(2026, 12, 31))
ROW = 3000  # the window's first row, a quiet time
NO_REPEATS = 2800  # of a window whose closes all differ from the one before


@lru_cache(maxsize=1)
def detector() -> DriftDetector:
    return DriftDetector(Baseline.fit(MSFT.between(None, "2016-06-30"), 60))


def window(prices: Prices = MSFT, first: int = ROW) -> FloatArray:
    return prices.closes[first : first + 60].copy()


def days(first: int = ROW) -> Any:
    return MSFT.sessions[first : first + 60].copy()


def check(closes: FloatArray, **known: Any) -> Verdict:
    return detector().check(closes, Context(**known))


def only(verdict: Verdict) -> Finding:
    assert [f.code for f in verdict.findings][1:] == []
    return verdict.findings[0]


# -- the symbol's own closes --------------------------------------------------------------------


def test_a_known_window_is_named_with_its_dates() -> None:
    verdict = check(window(), known=MSFT)
    assert verdict.level == "ok"
    place = verdict.provenance
    assert place is not None
    assert (place.match, place.symbol, place.factor) == ("exact", "MSFT", 1.0)
    assert (place.first_session, place.last_session) == (str(days()[0]), str(days()[-1]))


def test_the_whole_window_in_cents() -> None:
    finding = only(check(100 * window(), known=MSFT))
    assert (finding.code, finding.level, finding.facts["factor"]) == ("unit_error", "fault", "100")
    unnamed = only(check(100 * window(), known=MSFT, symbol_named=False))
    assert (unnamed.code, unnamed.level) == ("unit_error", "regime")
    # Adjusted levels are rewritten after dividends, but never to exactly a hundred times.
    exact = only(check(100 * window(), known=MSFT, level_known=False))
    assert (exact.code, exact.level) == ("unit_error", "fault")
    unsure = only(check(95 * window(), known=MSFT, level_known=False))
    assert (unsure.code, unsure.level) == ("unit_error", "regime")


@pytest.mark.parametrize("factor", [0.97, 1.02, 0.5, 7.0])
def test_another_price_basis_is_no_fault(factor: float) -> None:
    """Splits and dividends since: the returns are the symbol's own."""
    verdict = check(factor * window(), known=MSFT)
    assert verdict.level == "ok"
    assert verdict.provenance is not None
    assert verdict.provenance.factor == pytest.approx(factor)


def test_newest_first_is_a_fault() -> None:
    verdict = check(window()[::-1], known=MSFT)
    assert verdict.level == "fault"
    assert verdict.findings[0].code == "reversed_order"
    assert verdict.provenance is not None
    assert verdict.provenance.match == "reversed"


@pytest.mark.parametrize(("late", "stale"), [(0, False), (2, False), (3, True), (250, True)])
@pytest.mark.parametrize("calendar", [None, NYSE])
def test_a_window_older_than_its_date_is_stale(late: int, stale: bool, calendar: Any) -> None:
    claimed = MSFT.sessions[ROW + 59 + late]
    verdict = check(window(), known=MSFT, as_of=claimed, calendar=calendar)
    if not stale:
        assert verdict.level == "ok"
        return
    finding = only(verdict)
    assert (finding.code, finding.level) == ("stale_window", "fault")
    assert finding.facts["sessions"] == late
    assert str(claimed) in finding.sentence
    assert str(days()[-1]) in finding.sentence


def test_without_a_date_nothing_is_stale() -> None:
    assert check(window(), known=MSFT).level == "ok"


def test_a_memory_that_ends_years_ago_does_not_make_every_window_a_level_gap() -> None:
    """The sample ends in 2022; a caller who posts today's closes of 2026 is not wrong."""
    old = MSFT.rows(0, ROW)
    for years, move in ((4, 0.6), (4, -0.5), (8, 1.2)):
        later = MSFT.sessions[ROW - 1] + np.timedelta64(365 * years)
        closes = MSFT.closes[ROW - 1] * np.exp(move) * window() / window()[0]
        verdict = check(closes, known=old, as_of=later)
        assert "fault" not in {f.level for f in verdict.findings}
        assert "level_gap" not in {f.code for f in verdict.findings}
        assert verdict.provenance is not None
        assert verdict.provenance.match == "newer"


@pytest.mark.parametrize("factor", [3.4, 0.28, 1.24])
@pytest.mark.parametrize("given_as", ["as_of", "sessions"])
def test_a_window_that_does_not_go_on_from_the_last_known_close(
    factor: float, given_as: str
) -> None:
    known = MSFT.rows(0, ROW)
    dated = {"as_of": days()[-1], "calendar": NYSE} if given_as == "as_of" else {"sessions": days()}
    assert check(window(), known=known, **dated).level == "ok"
    finding = only(check(factor * window(), known=known, **dated))
    assert (finding.code, finding.level) == ("wrong_symbol", "fault")
    assert finding.p_value is not None
    unnamed = only(check(factor * window(), known=known, symbol_named=False, **dated))
    assert (unnamed.code, unnamed.level) == ("level_gap", "regime")
    assert check(factor * window(), known=known, level_known=False, **dated).level == "ok"


def test_a_gap_of_a_unit_is_called_that() -> None:
    finding = only(check(100 * window(), known=MSFT.rows(0, ROW), sessions=days()))
    assert (finding.code, finding.level) == ("unit_error", "fault")


def test_a_gap_of_a_split_may_be_one() -> None:
    finding = only(check(0.5 * window(), known=MSFT.rows(0, ROW), sessions=days()))
    assert (finding.code, finding.alternatives) == ("wrong_symbol", ("split",))


def test_an_old_memory_accuses_nobody() -> None:
    for missing, level in ((5, "fault"), (40, "regime")):
        verdict = check(4.1 * window(), known=MSFT.rows(0, ROW - missing), sessions=days())
        assert only(verdict).level == level


def test_the_last_known_close_may_lie_inside_the_window() -> None:
    known = MSFT.rows(0, ROW + 8)
    assert check(window(), known=known, sessions=days()).level == "ok"
    foreign = window(JNJ) * window()[0] / window(JNJ)[0] * 3.4
    assert check(foreign, known=known, sessions=days()).findings[0].code == "wrong_symbol"


def test_volatility_just_before_the_window_sharpens() -> None:
    """Half of the windows at three times the volatility are seen, where alone it is few."""
    alone = known = 0
    for first in range(500, 2600, 50):
        steps = 3 * np.diff(np.log(window(first=first)))
        closes = window(first=first)[0] * np.exp(np.concatenate([[0], np.cumsum(steps)]))
        alone += "volatility_high" in {f.code for f in check(closes).findings}
        verdict = check(closes, known=MSFT.rows(0, first), sessions=days(first))
        known += "volatility_high" in {f.code for f in verdict.findings}
    assert known > 1.5 * alone > 0


# -- others' closes -----------------------------------------------------------------------------


def test_another_symbols_closes_are_named() -> None:
    verdict = check(window(AAPL), known=MSFT, others=OtherSymbols([JNJ, AAPL]))
    finding = verdict.findings[0]
    assert (finding.code, finding.level) == ("wrong_symbol", "fault")
    assert "AAPL" in finding.sentence
    assert verdict.provenance is not None
    assert (verdict.provenance.match, verdict.provenance.symbol) == ("other_symbol", "AAPL")


def test_rescaled_to_the_right_level_it_is_still_another_symbols() -> None:
    closes = window(AAPL) * window()[0] / window(AAPL)[0]
    assert check(closes, known=MSFT, others=OtherSymbols([AAPL])).findings[0].code == "wrong_symbol"
    unlike = check(closes, known=MSFT, sessions=days(), calendar=NYSE).findings[0]
    assert (unlike.code, unlike.level) == ("wrong_symbol", "fault")
    assert unlike.facts["correlation"] < 0.5


def test_another_feed_of_the_same_symbol_is_the_symbol() -> None:
    """Closes of another exchange: not the same numbers, and moves alike."""
    noise = np.exp(0.004 * np.random.default_rng(0).standard_normal(60))
    verdict = check(window() * noise, known=MSFT, sessions=days())
    assert "wrong_symbol" not in {f.code for f in verdict.findings}
    assert verdict.provenance is not None
    assert verdict.provenance.match == "unknown"


def test_nothing_is_asked_of_others_where_the_window_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = OtherSymbols([JNJ, AAPL])
    monkeypatch.delattr(others, "index")
    assert check(window(), known=MSFT, others=others).level == "ok"
    with pytest.raises(AttributeError):
        check(window(AAPL), known=MSFT, others=others)


# -- dates --------------------------------------------------------------------------------------


def test_dates_that_go_back_are_reversed_order() -> None:
    for closes in (window(), window()[::-1]):
        verdict = check(closes, sessions=days()[::-1])
        assert verdict.findings[0].code == "reversed_order"
    swapped = days()
    swapped[[10, 11]] = swapped[[11, 10]]
    finding = check(window(), sessions=swapped).findings[0]
    assert (finding.code, finding.row) == ("reversed_order", 11)


def test_a_holiday_that_was_filled_is_seen_by_its_date() -> None:
    friday = int(np.argmax(np.diff(days(NO_REPEATS)).astype(int) == 3))
    saturday = days(NO_REPEATS)[friday] + 1
    closes = np.insert(window(first=NO_REPEATS), friday + 1, window(first=NO_REPEATS)[friday])[1:]
    sessions = np.insert(days(NO_REPEATS), friday + 1, saturday)[1:]
    finding = only(check(closes, sessions=sessions, calendar=NYSE))
    assert (finding.code, finding.level, finding.row) == ("filled_days", "fault", friday)
    assert str(saturday) in finding.sentence
    assert check(closes, sessions=sessions).level == "ok"  # one repeated close may happen


def test_a_date_twice_is_a_filled_day() -> None:
    twice = days()
    twice[30] = twice[29]
    assert [f.code for f in check(window(), sessions=twice).findings] == ["filled_days"]


def test_right_dates_say_nothing() -> None:
    assert check(window(), sessions=days(), calendar=NYSE, known=MSFT).level == "ok"
    coins = session_table("24/7")
    assert check(window(), sessions=np.arange(60) + days()[0], calendar=coins).level == "ok"


# -- volume -------------------------------------------------------------------------------------


def test_days_without_trade_are_filled() -> None:
    closes, volume = window(first=NO_REPEATS), np.full(60, 1e6)
    closes[40] = closes[39]
    volume[40] = 0
    finding = only(check(closes, volume=volume))
    assert (finding.code, finding.level, finding.row) == ("filled_days", "fault", 40)
    assert check(closes, volume=np.full(60, 1e6)).level == "ok"
    assert check(closes, volume=np.zeros(60)).level == "ok"  # a feed without volumes


@pytest.mark.parametrize(
    ("times", "code", "level", "sure"),
    [
        (22.0, "shock", "regime", True),
        (1.3, "split", "fault", True),
        (None, "split", "fault", False),
    ],
)
def test_volume_tells_a_split_from_news(
    times: float | None, code: str, level: str, sure: bool
) -> None:
    closes, volume = window(), np.full(60, 1e6)
    closes[30:] /= 2
    volume[30] *= times or 1
    finding = check(closes, volume=None if times is None else volume).findings[0]
    assert (finding.code, finding.level) == (code, level)
    assert (finding.alternatives == ()) is sure


# -- what a second pair of eyes found -----------------------------------------------------------


def another_feed(closes: FloatArray, seed: int = 0) -> FloatArray:
    """The same closes as another vendor has them: recognised by their moves only."""
    return np.asarray(closes * np.exp(0.003 * np.random.default_rng(seed).standard_normal(60)))


def test_reversed_closes_of_another_feed_are_reversed_and_not_another_symbols() -> None:
    for known in (MSFT, MSFT.rows(0, ROW)):
        found = check(another_feed(window())[::-1], known=known, sessions=days()[::-1])
        assert found.findings[0].code == "reversed_order"
        assert "wrong_symbol" not in {f.code for f in found.findings}


def test_missing_sessions_do_not_shift_the_day_that_is_compared() -> None:
    rows = np.r_[ROW : ROW + 20, ROW + 25 : ROW + 65]
    for seed in range(5):
        verdict = check(
            another_feed(MSFT.closes[rows], seed), known=MSFT, sessions=MSFT.sessions[rows]
        )
        assert "wrong_symbol" not in {f.code for f in verdict.findings}


def test_another_calendar_than_the_default_symbols_is_no_fault() -> None:
    every_day = np.arange(60) + days()[0]
    for named, level in ((True, "fault"), (False, "regime")):
        verdict = check(window(), sessions=every_day, calendar=NYSE, symbol_named=named)
        assert only(verdict).level == level


def test_a_split_after_a_frozen_stretch_is_still_one() -> None:
    closes = np.r_[np.full(30, window()[0]), window()[30:] / 2]
    assert "split" in {f.code for f in check(closes).findings if f.level == "fault"}


def test_a_day_without_volume_makes_no_split_certain() -> None:
    closes, volume = window(), np.full(60, 1e6)
    closes[30:] /= 2
    volume[30] = 0
    assert check(closes, volume=volume).findings[0].alternatives == ("shock",)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9])
def test_a_handful_of_closes_is_insufficient_and_no_crash(n: int) -> None:
    verdict = check(window()[:n], known=MSFT, sessions=days()[:n], volume=np.ones(n))
    assert verdict.level == "insufficient"
