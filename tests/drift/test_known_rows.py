"""Windows compared with known closes row by row: what differs is named with its date and ratio."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.arrays import FloatArray
from closecast.core.calendars import session_table
from closecast.core.prices import Prices
from closecast.core.verdict import Finding, Verdict
from closecast.drift import Baseline, Context, DriftDetector, OtherSymbols, in_language
from closecast.sources.sample import SampleSource
from tests.support.synthetic_prices import patiently

pytestmark = pytest.mark.usefixtures("either_way")

SAMPLE = SampleSource()
KNOWN = {symbol: SAMPLE.fetch(symbol) for symbol in SAMPLE.symbols()}
NYSE = session_table("XNYS", date(2004, 1, 2), date(2026, 12, 31))
MSFT = KNOWN["MSFT"]
FIRST = 3000
LENGTH = 60


@lru_cache(maxsize=1)
def detector() -> DriftDetector:
    return DriftDetector(Baseline.fit(MSFT.between(None, "2016-06-30"), LENGTH))


def window(prices: Prices = MSFT, first: int = FIRST, n: int = LENGTH) -> FloatArray:
    return prices.closes[first : first + n].copy()


def check(closes: FloatArray, known: Prices = MSFT, dated: int | None = None) -> Verdict:
    """Judge a window of a named symbol; ``dated``: the first row of the dates sent with it."""
    context = Context(known=known)
    if dated is not None:
        days = known.sessions[dated : dated + len(closes)]
        context = Context(known=known, sessions=days, calendar=NYSE)
    return detector().check(closes, context)


def facts(verdict: Verdict) -> list[Finding]:
    return [finding for finding in verdict.findings if finding.p_value is None]


def match(verdict: Verdict) -> str:
    assert verdict.provenance is not None
    return verdict.provenance.match


def significant(closes: FloatArray, digits: int) -> FloatArray:
    return np.array([float(f"{close:.{digits}g}") for close in closes])


ROUNDED: dict[str, Callable[[FloatArray], FloatArray]] = {
    "as they are": lambda closes: closes,
    "cents": lambda closes: np.round(closes, 2),
    "four decimals": lambda closes: np.round(closes, 4),
    "six digits": lambda closes: significant(closes, 6),
    "five digits": lambda closes: significant(closes, 5),
    "in 32 bits": lambda closes: closes.astype(np.float32).astype(np.float64),
    "another currency, in cents": lambda closes: np.round(5.37 * closes, 2),
    "another currency": lambda closes: 0.1931 * closes,
}

# -- clean windows --------------------------------------------------------------------------------


@patiently
@given(
    st.sampled_from(sorted(KNOWN)),
    st.integers(0, 4529 - 250),
    st.integers(20, 250),
    st.sampled_from(sorted(ROUNDED)),
    st.booleans(),
)
def test_a_clean_window_is_exact_however_it_was_rounded(
    symbol: str, first: int, n: int, rounded: str, dated: bool
) -> None:
    known = KNOWN[symbol]
    verdict = check(ROUNDED[rounded](window(known, first, n)), known, first if dated else None)
    assert facts(verdict) == []
    # Cents of a price of a few dollars hide the moves: then nothing is known without dates.
    assert match(verdict) == "exact" or (not dated and match(verdict) == "undated")
    if match(verdict) == "exact":
        assert verdict.provenance is not None
        assert verdict.provenance.rows_that_differ == 0
        assert verdict.provenance.first_session == str(known.sessions[first])


@pytest.mark.parametrize("rounded", ROUNDED)
def test_all_symbols_are_exact(rounded: str) -> None:
    for symbol, known in KNOWN.items():
        for first in range(60, 4400, 1085):
            verdict = check(ROUNDED[rounded](window(known, first)), known, first)
            assert (match(verdict), facts(verdict)) == ("exact", []), (symbol, first)


def test_dividends_of_another_vendor_are_written_down_and_no_finding() -> None:
    closes = window()
    closes[:20] *= 0.984
    closes[20:40] *= 0.992
    verdict = check(closes, dated=FIRST)
    assert facts(verdict) == []
    place = verdict.provenance
    assert place is not None
    assert (place.match, place.factor, place.rows_that_differ) == ("differs", 1.0, 40)
    assert place.first_difference == str(MSFT.sessions[FIRST])
    assert place.difference == pytest.approx(0.984)


def test_a_corrected_close_is_written_down_and_no_finding() -> None:
    """The newest known close may still be preliminary."""
    closes = window(first=len(MSFT) - LENGTH)
    closes[-1] *= 1.004
    verdict = check(closes, dated=len(MSFT) - LENGTH)
    assert (match(verdict), facts(verdict)) == ("differs", [])
    assert verdict.provenance is not None
    assert verdict.provenance.rows_that_differ == 1
    assert verdict.provenance.first_difference == MSFT.span[1]


# -- rows that differ -----------------------------------------------------------------------------


def tail(closes: FloatArray, row: int, ratio: float) -> FloatArray:
    return np.where(np.arange(len(closes)) < row, closes, ratio * closes)


@patiently
@given(
    st.sampled_from(sorted(KNOWN)),
    st.integers(200, 4400),
    st.integers(2, LENGTH - 3),
    st.sampled_from([0.82, 1 / 1.1, 1.03, 0.97, 1.05, 1.08, 0.92, 1.25, 0.5, 100.0, 0.01]),
    st.sampled_from(["as they are", "six digits"]),
    st.booleans(),
)
def test_a_step_is_named_with_its_date_and_ratio(
    symbol: str, first: int, row: int, ratio: float, rounded: str, dated: bool
) -> None:
    known = KNOWN[symbol]
    closes = ROUNDED[rounded](tail(window(known, first), row, ratio))
    verdict = check(closes, known, first if dated else None)
    finding = facts(verdict)[0]
    expected = {0.82: "level_gap", 1 / 1.1: "split", 1.25: "split", 0.5: "split"}
    code = "unit_error" if ratio in (100.0, 0.01) else expected.get(ratio, "level_gap")
    assert (finding.code, finding.level, finding.row) == (code, "fault", row)
    assert finding.facts["date"] == str(known.sessions[first + row])
    assert finding.facts["ratio"] == pytest.approx(ratio, rel=2e-3)
    assert str(known.sessions[first + row]) in finding.sentence
    assert match(verdict) == "differs"


@patiently
@given(
    st.sampled_from(sorted(KNOWN)),
    st.integers(200, 4400),
    st.integers(0, LENGTH - 1),
    st.floats(0.06, 0.1),
    st.booleans(),
    st.sampled_from(["as they are", "cents"]),
)
def test_one_wrong_close_is_a_spike(
    symbol: str, first: int, row: int, size: float, up: bool, rounded: str
) -> None:
    known, closes = KNOWN[symbol], window(KNOWN[symbol], first)
    closes[row] *= 1 + size if up else 1 - size
    verdict = check(ROUNDED[rounded](closes), known, first)
    finding = facts(verdict)[0]
    assert (finding.code, finding.level, finding.row) == ("spike", "fault", row)
    assert verdict.provenance is not None
    assert verdict.provenance.rows_that_differ == 1
    assert verdict.provenance.first_difference == str(known.sessions[first + row])
    assert verdict.provenance.difference == pytest.approx(1 + size if up else 1 - size, rel=0.01)


@pytest.mark.parametrize("dated", [None, FIRST])
@pytest.mark.parametrize("row", [5, 20, 40, 50, 55])
def test_a_week_sent_twice_is_found_although_its_dates_run_on(row: int, dated: int | None) -> None:
    closes = np.insert(window(n=55), row, window()[row - 5 : row])
    verdict = check(closes, dated=dated)
    finding = facts(verdict)[0]
    assert (finding.code, finding.level, finding.row) == ("filled_days", "fault", row)
    assert finding.facts["rows"] == 5
    assert match(verdict) == "gapped"


@pytest.mark.parametrize("dated", [None, FIRST])
@pytest.mark.parametrize("count", [5, 10, 20])
@pytest.mark.parametrize("scattered", [False, True])
def test_rows_on_a_line_are_filled(count: int, scattered: bool, dated: int | None) -> None:
    rng = np.random.default_rng(count)
    for _ in range(10):
        closes, first = window(), int(rng.integers(1, LENGTH - count - 1))
        rows = np.arange(first, first + count)
        if scattered:
            rows = np.sort(rng.choice(np.arange(1, LENGTH - 1), count, replace=False))
        kept = np.setdiff1d(np.arange(LENGTH), rows)
        closes[rows] = np.interp(rows, kept, closes[kept])
        finding = facts(check(closes, dated=dated))[0]
        assert (finding.code, finding.level) == ("filled_days", "fault")


def test_repeated_closes_are_filled_or_frozen() -> None:
    for count, code in ((3, "filled_days"), (8, "frozen_feed")):
        closes = window()
        closes[30 : 30 + count] = closes[29]
        assert facts(check(closes))[0].code == code


def test_swapped_neighbours_and_shuffled_closes_are_out_of_order() -> None:
    for row in range(0, LENGTH - 1, 6):
        closes = window()
        closes[[row, row + 1]] = closes[[row + 1, row]]
        assert closes[row] != closes[row + 1]
        finding = facts(check(closes))[0]
        assert (finding.code, finding.level, finding.row) == ("reversed_order", "fault", row)
    shuffled = np.random.default_rng(0).permutation(window())
    assert facts(check(shuffled, dated=FIRST))[0].code == "reversed_order"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize(("ratio", "code"), [(1.05, "level_gap"), (100.0, "unit_error")])
def test_two_price_bases_mixed_at_random(share: float, ratio: float, code: str) -> None:
    rng = np.random.default_rng(7)
    for first in range(300, 4300, 400):
        mixed = np.where(rng.random(LENGTH) < share, ratio, 1.0) * window(first=first)
        verdict = check(mixed, dated=first)
        assert (facts(verdict)[0].code, match(verdict)) == (code, "differs")
        assert "wrong_symbol" not in {finding.code for finding in verdict.findings}


@pytest.mark.parametrize("factor", [100.0, 0.01, 1000.0])
def test_a_whole_window_in_another_unit(factor: float) -> None:
    for level_known in (True, False):
        context = Context(known=MSFT, level_known=level_known)
        finding = facts(detector().check(factor * window(), context))[0]
        assert (finding.code, finding.level) == ("unit_error", "fault")


def test_a_part_of_another_symbol_is_named() -> None:
    for row in (20, 35):
        closes, other = window(), window(KNOWN["JNJ"])
        closes[row:] = other[row:] * closes[row - 1] / other[row - 1]
        finding = facts(check(closes))[0]
        assert (finding.code, finding.level, finding.row) == ("wrong_symbol", "fault", row)


def test_a_wrong_close_of_another_exchange_is_found() -> None:
    """Their closes differ by a little on each day: a wrong one by far more."""
    noise = np.exp(0.001 * np.random.default_rng(1).standard_normal(LENGTH))
    closes = noise * window()
    assert (match(check(closes, dated=FIRST)), facts(check(closes, dated=FIRST))) == ("unknown", [])
    closes[30] *= 1.08
    finding = facts(check(closes, dated=FIRST))[0]
    assert (finding.code, finding.row) == ("spike", 30)


# -- missing sessions -----------------------------------------------------------------------------


def without(row: int, missing: int) -> FloatArray:
    return np.delete(window(n=LENGTH + missing), np.arange(row, row + missing))


def test_missing_sessions_are_named_where_the_dates_run_on() -> None:
    for missing in (1, 2, 5):
        finding = facts(check(without(30, missing), dated=FIRST))[0]
        assert (finding.code, finding.level) == ("missing_days", "fault")
        assert finding.facts["missing"] == missing


def test_one_missing_session_is_no_finding() -> None:
    assert facts(check(without(30, 1))) == []
    days = np.delete(MSFT.sessions[FIRST : FIRST + LENGTH + 1], 30)
    context = Context(known=MSFT, sessions=days, calendar=NYSE)
    verdict = detector().check(without(30, 1), context)
    assert (match(verdict), facts(verdict)) == ("gapped", [])
    assert facts(check(without(30, 5)))[0].code == "missing_days"


def test_a_halt_is_no_missing_session() -> None:
    """Neither the window nor the known closes have the sessions."""
    rows = np.delete(np.arange(4000), np.arange(3030, 3036))
    halted = Prices("MSFT", MSFT.sessions[rows], MSFT.closes[rows], "made", "adjusted")
    assert facts(check(window(halted), halted, FIRST)) == []


COIN = Prices(
    "BTC-USDT",
    np.datetime64("2019-01-01") + np.arange(900),
    np.round(9000 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.03, 900))), 2),
    "made",
)


@pytest.mark.parametrize("collected", [True, False])
def test_a_coin_without_its_week_ends_is_found(collected: bool) -> None:
    """By its dates, whatever closes are known, and without dates where they are."""
    rows = np.flatnonzero(np.is_busday(COIN.sessions))[100 : 100 + LENGTH]
    known, table = (COIN if collected else None), session_table("24/7")
    sent = [Context(known=known, sessions=COIN.sessions[rows], calendar=table)]
    sent += [Context(known=known)] if collected else []
    for context in sent:
        found = facts(detector().check(COIN.closes[rows], context))
        assert [(finding.code, finding.level) for finding in found] == [("missing_days", "fault")]
        assert 20 <= int(found[0].facts["missing"]) <= 24
    every_day = Context(known=known, sessions=COIN.sessions[200:260], calendar=table)
    assert facts(detector().check(COIN.closes[200:260], every_day)) == []


def test_weekly_bars_are_missing_days() -> None:
    days = MSFT.sessions[2000:2300:5]
    context = Context(known=MSFT, sessions=days, calendar=NYSE)
    verdict = detector().check(MSFT.closes[2000:2300:5], context)
    assert "missing_days" in {f.code for f in verdict.findings if f.level == "fault"}


# -- windows without a symbol ---------------------------------------------------------------------


def test_a_window_without_a_symbol_is_judged_as_the_symbol_that_it_is_of() -> None:
    """Its volatility and its sessions are those of its own symbol, not of the default's."""
    others = OtherSymbols([*KNOWN.values(), COIN])
    sent: list[tuple[Prices, int]] = [(KNOWN[symbol], 2500) for symbol in ("AMD", "KO", "GE")]
    for prices, first in [*sent, (COIN, 300)]:
        days = prices.sessions[first : first + LENGTH]
        for about in ({}, {"sessions": days, "calendar": NYSE}):
            context = Context(known=MSFT, others=others, symbol_named=False, **about)
            verdict = detector().check(window(prices, first), context)
            assert (verdict.level, verdict.warning) == ("ok", False)
            place = verdict.provenance
            assert place is not None
            assert (place.match, place.symbol) == ("other_symbol", prices.symbol)
            assert (place.first_session, place.last_session) == (str(days[0]), str(days[-1]))


def test_a_wrong_row_of_another_symbol_is_found_without_its_name() -> None:
    closes = window(KNOWN["KO"])
    closes[30] *= 1.035
    context = Context(known=MSFT, others=OtherSymbols(KNOWN.values()), symbol_named=False)
    verdict = detector().check(closes, context)
    finding = verdict.findings[0]
    assert (finding.code, finding.row) == ("spike", 30)
    assert verdict.provenance is not None
    assert (verdict.provenance.match, verdict.provenance.rows_that_differ) == ("other_symbol", 1)


# -- sentences ------------------------------------------------------------------------------------


def test_a_step_is_told_in_both_languages() -> None:
    verdict = check(tail(window(), 40, 0.82), dated=FIRST)
    day = str(MSFT.sessions[FIRST + 40])
    assert verdict.findings[0].sentence == (
        f"Your closes leave ours on {day}: × 0.82 in 20 rows: another price basis?"
    )
    assert in_language(verdict, "pt").findings[0].sentence == (
        f"Seus fechamentos deixam os nossos em {day}: × 0.82 em 20 linhas: outra base de preço?"
    )


def test_closes_and_dates_in_another_order_leave_no_session_out() -> None:
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(LENGTH)
        context = Context(
            known=MSFT, sessions=MSFT.sessions[FIRST : FIRST + LENGTH][order], calendar=NYSE
        )
        verdict = detector().check(window()[order], context)
        codes = {finding.code for finding in verdict.findings}
        assert verdict.level == "fault"
        assert "reversed_order" in codes
        assert "missing_days" not in codes
