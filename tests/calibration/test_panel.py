"""Several symbols, one calendar: what each learns from the others, and from which of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from closecast.calibration import AdaptiveState, PanelObservation, ScoredClose, follow
from tests.support.calibration_members import HORIZON, LENGTH, broken, history, last, member
from tests.support.synthetic_prices import as_prices, garch

A, B, C = (garch(160, seed, symbol=name) for seed, name in enumerate(("AAA", "BBB", "CCC")))
NAN = float("nan")


def final(*series, start=None, begun=None) -> dict[str, AdaptiveState]:  # type: ignore[no-untyped-def]
    members = [member(prices) for prices in series]
    states: dict[str, AdaptiveState] = {}
    for _, after in follow(members, start or series[0].sessions[0], begun):
        states |= after
    return states


def scored(surprise: float, *misses: float) -> ScoredClose:
    return ScoredClose(surprise, np.zeros(len(misses)), np.array(misses))


def test_a_panel_day_is_the_mean_of_who_knows() -> None:
    day = PanelObservation.of([scored(1.0, 0, 1), scored(2.0, 1, NAN), scored(NAN, NAN, NAN)])
    assert day.surprise == 1.5
    assert day.misses.tolist() == [0.5, 1.0]


def test_a_panel_day_of_nobody_who_knows_is_unknown() -> None:
    day = PanelObservation.of([scored(NAN, NAN, NAN)])
    assert np.isnan([day.surprise, *day.misses]).all()


def test_of_one_symbol_the_panel_is_itself() -> None:
    assert final(A)["AAA"].to_parts() == last(history(A)).to_parts()


def test_others_of_the_exchange_are_learned_from() -> None:
    alone, together = final(A)["AAA"], final(A, B)["AAA"]
    assert not np.array_equal(alone.surprises, together.surprises)
    assert not np.array_equal(alone.tilt, together.tilt)


def test_other_exchanges_are_not() -> None:
    abroad = [replace(B, symbol=symbol) for symbol in ("BBB.SA", "BBB-USD")]
    assert final(A, *abroad)["AAA"].to_parts() == final(A)["AAA"].to_parts()


def test_a_crisis_of_the_others_widens_at_once() -> None:
    """The panel is what answers before one's own misses have come."""
    calm = broken(157, 999, 1.0, seed=1, symbol="CALM")
    wild = [broken(157, 150, 6.0, seed, symbol="ABCDEF"[seed]) for seed in range(2, 6)]
    quiet = [broken(157, 999, 1.0, seed, symbol="ABCDEF"[seed]) for seed in range(2, 6)]
    during, without = (final(calm, *others)["CALM"] for others in (wild, quiet))
    assert during.scale[-1, 0] > 1.2 * without.scale[-1, 0]
    assert during.tilt[0] > without.tilt[0]


def test_one_wrong_close_hardly_moves_the_others() -> None:
    """A split that was not adjusted for, in one of five: no crisis for the other four."""
    calm, *others = (broken(157, 999, 1.0, seed, symbol="ABCDEF"[seed]) for seed in range(1, 6))
    closes = others[0].closes.copy()
    closes[154:] /= 4
    split = as_prices(closes, others[0].symbol)
    with_fault, without = (final(calm, *panel)["B"] for panel in ([split, *others[1:]], others))
    assert with_fault.scale[-1, 0] / without.scale[-1, 0] == pytest.approx(1, abs=0.1)
    assert with_fault.tilt == pytest.approx(without.tilt, abs=0.03)


def test_order_of_symbols_changes_no_score() -> None:
    forward, backward = final(A, B, C), final(C, B, A)
    for symbol, state in forward.items():
        assert state.scores == pytest.approx(backward[symbol].scores, rel=1e-9, nan_ok=True)
        assert state.tilt == pytest.approx(backward[symbol].tilt, rel=1e-9)


def test_a_symbol_that_begins_later_changes_nothing_before() -> None:
    late = as_prices(C.closes[:60], "CCC", first=str(A.sessions[100]))
    members = [member(A), member(late)]
    alone = dict(follow([member(A)], A.sessions[0]))
    begins = late.sessions[LENGTH - 1]
    for day, after in follow(members, A.sessions[0]):
        if day <= begins:
            assert after["AAA"].to_parts() == alone[day]["AAA"].to_parts()
        assert ("CCC" in after) == (day >= begins)


def test_a_day_that_one_symbol_lacks_is_the_others_alone() -> None:
    kept = np.ones(160, dtype=bool)
    kept[[60, 61, 100]] = False
    gaps = replace(B, sessions=B.sessions[kept], closes=B.closes[kept])
    days = dict(follow([member(A), member(gaps)], A.sessions[0]))
    assert set(days[A.sessions[60]]) == {"AAA"}
    assert set(days[A.sessions[62]]) == {"AAA", "BBB"}
    revisions = [after["BBB"].revision for after in days.values() if "BBB" in after]
    assert revisions == list(range(1, len(gaps) - LENGTH + 2))


def test_an_origin_that_the_source_took_back_is_not_scored() -> None:
    """Its close is in no later download: its forecasts are never scored, and nothing breaks."""
    states = dict(history(A))
    kept = np.ones(len(A), dtype=bool)
    kept[99] = False
    restated = replace(A, sessions=A.sessions[kept], closes=A.closes[kept])
    state = final(restated, start=A.sessions[100], begun={"AAA": states[99]})["AAA"]
    assert state.revision == states[99].revision + len(A) - 100
    row = len(state.scores) - 1 - (len(A) - 100)
    assert np.isnan(state.scores[row]).all()
    assert np.isfinite(state.scores[row + 1 : -HORIZON]).all()
    assert np.isfinite(state.forecast(np.array([0.05, 0.95])).quantiles).all()


@pytest.mark.parametrize("factor", [0.97, 100.0])
def test_a_restated_history_changes_no_score(factor: float) -> None:
    states = dict(history(A))
    restated = as_prices(factor * A.closes, "AAA")
    state = final(restated, start=A.sessions[100], begun={"AAA": states[99]})["AAA"]
    expected = states[len(A) - 1]
    assert state.scores == pytest.approx(expected.scores, rel=1e-6, abs=1e-9, nan_ok=True)
    assert state.tilt == pytest.approx(expected.tilt)
    assert state.last_close == pytest.approx(factor * expected.last_close)


@pytest.mark.parametrize("cut", [60, 119])
def test_states_do_not_depend_on_what_came_later(cut: int) -> None:
    day = A.sessions[cut]
    whole = [A, B, C]
    known = [prices.rows(0, cut + 1) for prices in whole]
    until: dict[str, AdaptiveState] = {}
    for today, after in follow([member(p) for p in whole], A.sessions[0]):
        if today <= day:
            until |= after
    now = final(*known)
    assert {s: state.to_parts() for s, state in until.items()} == {
        s: state.to_parts() for s, state in now.items()
    }
