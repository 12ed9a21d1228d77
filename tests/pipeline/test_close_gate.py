"""The gate for closes: what is held back, from when on, and what ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from closecast.core.prices import Basis, Prices
from closecast.core.records import AcceptedClose
from closecast.pipeline.close_gate import KnownCloses, UsableCloses, judge_closes
from closecast.registry.documents import DataSpan
from tests.support.synthetic_prices import as_prices, garch

TRAINED, NEW = 400, 25
TRUE = garch(TRAINED + NEW, seed=5, symbol="ACME")
ABSORBED_AT = datetime(2026, 1, 2, tzinfo=UTC)
NOW = ABSORBED_AT + timedelta(days=3)
SPAN = DataSpan(
    symbol="ACME",
    source="made",
    basis="adjusted",
    first_session=TRUE.span[0],
    last_session=str(TRUE.sessions[TRAINED - 1]),
    closes=TRAINED,
    content_hash="",
    valid_start="",
    test_start="",
)


def day(row: int) -> date:
    found: date = TRUE.sessions[row].item()
    return found


def times(factor: float, rows: slice, prices: Prices = TRUE) -> Prices:
    closes = prices.closes.copy()
    closes[rows] *= factor
    return replace(prices, closes=closes)


def judge(
    prices: Prices,
    known: Prices | None = None,
    accepted: Sequence[date] = (),
    accepted_at: datetime = NOW,
    panel: Sequence[Prices] = (),
) -> UsableCloses:
    decisions = {
        session: AcceptedClose("ACME", session, "it is so", "me", accepted_at)
        for session in accepted
    }
    return judge_closes(prices, SPAN, KnownCloses(known, ABSORBED_AT, 7), decisions, panel, NOW)


def last(usable: UsableCloses) -> date:
    assert usable.prices is not None
    found: date = usable.prices.sessions[-1].item()
    return found


def test_closes_without_a_fault_may_all_be_used() -> None:
    found = judge(TRUE, known=TRUE.rows(0, TRAINED + 3))
    assert (found.prices, found.held, found.settled_since, found.revision) == (TRUE, None, None, 7)


@pytest.mark.parametrize(
    ("faulty", "first", "code"),
    [
        (times(0.5, slice(TRAINED + 4, None)), TRAINED + 4, "suspected_split"),
        (times(3.0, slice(TRAINED + 24, None)), TRAINED + 24, "suspected_split"),
        (times(100.0, slice(TRAINED + 10, TRAINED + 11)), TRAINED + 10, "unit_error"),
        (times(0.01, slice(TRAINED + 6, TRAINED + 9)), TRAINED + 6, "unit_error"),
    ],
    ids=["split", "split of today", "unit of a day, gone again", "unit of three days"],
)
def test_everything_from_a_new_fault_on_is_held_back(faulty: Prices, first: int, code: str) -> None:
    found = judge(faulty, known=TRUE.rows(0, TRAINED + 2))
    assert found.held is not None
    assert (found.held.since, found.held.code, found.held.noticed_at) == (day(first), code, NOW)
    assert str(day(first)) in found.held.reason
    assert f"closecast accept ACME {day(first)}" in found.held.ends
    assert last(found) == day(first - 1)
    assert not found.corrections


def test_a_frozen_feed_is_held_back_from_its_first_session_though_seen_later() -> None:
    closes = TRUE.closes.copy()
    closes[TRAINED + 5 :] = closes[TRAINED + 4]
    frozen = replace(TRUE, closes=closes)
    assert judge(frozen.rows(0, TRAINED + 10)).held is None
    absorbed = frozen.rows(0, TRAINED + 18)
    found = judge(frozen, known=absorbed)
    assert found.held is not None
    assert found.held.code == "frozen_feed"
    assert last(found) == day(TRAINED + 4)
    assert found.settled_since == day(TRAINED + 5), "outcomes by still closes are looked at again"


def test_a_fault_that_a_person_accepted_holds_nothing_back() -> None:
    halved = times(0.5, slice(TRAINED + 4, None))
    assert judge(halved, accepted=[day(TRAINED + 4)]).held is None
    other = judge(halved, accepted=[day(TRAINED + 5)]).held
    assert other is not None


def test_a_second_fault_is_held_back_although_the_first_was_accepted() -> None:
    twice = times(4.0, slice(TRAINED + 15, None), times(0.5, slice(TRAINED + 4, None)))
    held = judge(twice, accepted=[day(TRAINED + 4)]).held
    assert held is not None
    assert held.since == day(TRAINED + 15)


def test_a_fault_that_the_model_was_trained_on_is_not_new() -> None:
    old = times(0.5, slice(200, None))
    assert judge(old, known=old.rows(0, TRAINED)).held is None
    assert judge(old).held is None


def test_a_new_fault_in_old_closes_refuses_the_whole_download() -> None:
    known = TRUE.rows(0, TRAINED + 3)
    found = judge(times(100.0, slice(200, 202)), known=known)
    assert found.held is not None
    assert (found.held.since, found.prices) == (day(200), known)


def test_a_move_that_the_panel_shared_is_news() -> None:
    others = [
        replace(times(0.5, slice(TRAINED + 4, None)), symbol=symbol) for symbol in ("AAA", "BBB")
    ]
    halved = times(0.5, slice(TRAINED + 4, None))
    assert judge(halved, panel=[halved, *others]).held is None
    assert judge(halved, panel=[halved]).held is not None


@pytest.mark.parametrize("basis", ["raw", "unknown"])
def test_closes_of_another_basis_are_refused_and_the_known_ones_stay(basis: Basis) -> None:
    known = TRUE.rows(0, TRAINED + 3)
    other = replace(TRUE, basis=basis)
    found = judge(other, known=known)
    assert found.held is not None
    assert (found.held.code, found.prices) == ("other_basis", known)
    assert judge(other).prices is None, "nothing is known"


def rewritten(seed: int) -> Prices:
    """Another series on the same days."""
    return as_prices(garch(TRAINED + NEW, seed).closes, "ACME")


def test_a_rewritten_history_waits_for_a_person() -> None:
    known = TRUE.rows(0, TRAINED + 3)
    found = judge(rewritten(8), known=known)
    assert found.held is not None
    assert (found.held.code, found.prices) == ("rewritten_history", known)
    assert found.held.since == day(TRAINED + 3), "forecasts start from the close before"
    assert judge(rewritten(8), known=known, accepted=[found.held.since]).held is None
    before = ABSORBED_AT - timedelta(days=1)
    again = judge(rewritten(9), known=known, accepted=[found.held.since], accepted_at=before)
    assert again.held is not None, "the decision was about another download"


def test_a_dividend_rewrites_no_history() -> None:
    restated = replace(TRUE, closes=np.round(0.97 * TRUE.closes, 2))
    known = replace(TRUE, closes=np.round(TRUE.closes, 2)).rows(0, TRAINED + 3)
    found = judge(restated, known=known)
    assert (found.held, found.settled_since) == (None, None)
    assert found.corrections
    assert found.corrections.rescaled


def test_outcomes_are_looked_at_from_the_first_corrected_session_on() -> None:
    known = times(1.04, slice(TRAINED + 2, TRAINED + 3)).rows(0, TRAINED + 6)
    assert judge(TRUE, known=known).settled_since == day(TRAINED + 2)
    assert judge(TRUE).settled_since == date.min, "the closes before are not known"


WINDOW_OF_MODEL, GAP = 12, 10


def after_a_gap(closes: int, at: int = TRAINED + 2) -> Prices:
    """The series without ten sessions, and some closes after them."""
    kept = np.r_[0:at, at + GAP : at + GAP + closes]
    return replace(TRUE, sessions=TRUE.sessions[kept], closes=TRUE.closes[kept])


def judge_window(prices: Prices, accepted: Sequence[date] = ()) -> UsableCloses:
    decisions = {s: AcceptedClose("ACME", s, "so it is", "me", NOW) for s in accepted}
    known = KnownCloses(TRUE.rows(0, TRAINED), ABSORBED_AT, 7)
    return judge_closes(prices, SPAN, known, decisions, (), NOW, WINDOW_OF_MODEL)


@pytest.mark.parametrize("closes", [1, WINDOW_OF_MODEL - 1])
def test_closes_after_a_long_gap_wait_for_a_window(closes: int) -> None:
    found = judge_window(after_a_gap(closes))
    assert found.held is not None
    assert (found.held.since, found.held.code) == (day(TRAINED + 2 + GAP), "long_gap")
    assert f"no close in the {GAP} sessions of XNYS after {day(TRAINED + 1)}" in found.held.reason
    assert f"12 closes after the gap end it ({closes} so far)" in found.held.ends
    assert last(found) == day(TRAINED + 1)


def test_a_window_after_a_long_gap_ends_the_wait() -> None:
    found = judge_window(after_a_gap(WINDOW_OF_MODEL))
    assert found.held is None
    assert last(found) == day(TRAINED + 2 + GAP + WINDOW_OF_MODEL - 1)
    assert found.after_gaps == (day(TRAINED + 2 + GAP),)


def test_a_person_may_accept_that_windows_span_a_gap() -> None:
    found = judge_window(after_a_gap(3), accepted=[day(TRAINED + 2 + GAP)])
    assert (found.held, found.after_gaps) == (None, ())


def test_a_gap_in_what_the_model_was_trained_on_is_none_of_the_gate() -> None:
    found = judge_window(after_a_gap(20, at=100 + TRAINED - 400))
    assert found.after_gaps == ()


def test_a_download_shorter_than_a_window_waits_for_the_closes_before() -> None:
    short = TRUE.rows(TRAINED + 5, TRAINED + 5 + WINDOW_OF_MODEL - 1)
    found = judge_window(short)
    assert found.held is not None
    assert (found.held.since, found.held.code) == (day(TRAINED + 5), "too_few_closes")
    assert found.held.reason == "the source gave only 11 closes, and a window has 12"
    assert last(found) == day(TRAINED - 1)
