"""Closes that are held back: a dated forecast states since when, why, and the end of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from closecast.core.records import HeldCloses
from closecast.database import Job
from closecast.errors import DataFault
from tests.support.dated_forecasts import World, answered, ask, at

HALVED = HeldCloses(
    since=date(2022, 12, 23),
    code="suspected_split",
    reason="2022-12-23: a move like an unadjusted 2:1 split",
    ends="A corrected close, or POST /prices/MSFT/accept if it is right.",
    noticed_at=at("2022-12-23T22:00"),
)


@pytest.fixture
def halved(world: World) -> World:
    """A week after the fault: the calibration has absorbed the close before it."""
    world.now = at("2022-12-29T23:00")
    world.database.close_decisions.hold("MSFT", HALVED)
    return world


def test_an_answer_states_the_fault_for_which_closes_are_held_back(halved: World) -> None:
    answer = ask(halved)
    assert answer.held == HALVED
    assert answer.stale
    found = halved.forecasting().today("MSFT")
    assert not isinstance(found, Job)
    assert found[0].held == HALVED


def test_held_closes_are_a_fault_among_the_findings(halved: World) -> None:
    answer = ask(halved)
    assert answer.drift_warning
    assert answer.verdict is not None
    assert answer.verdict.level == "fault"
    [finding] = answer.drift_findings
    assert (finding.code, finding.level) == ("split", "fault")
    assert answer.drift_details == [finding.sentence]
    assert "since 2022-12-23 are held back" in finding.sentence


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("frozen_feed", "frozen_feed"),
        ("unit_error", "unit_error"),
        ("rewritten_history", "closes_held"),
    ],
)
def test_a_fault_that_windows_do_not_have_is_named_closes_held(
    halved: World, code: str, expected: str
) -> None:
    halved.database.close_decisions.hold("MSFT", replace(HALVED, code=code))
    assert [finding.code for finding in ask(halved).drift_findings] == [expected]


def test_without_held_closes_nothing_is_stated(world: World) -> None:
    world.database.close_decisions.hold("AAPL", HALVED)
    answer = ask(world)
    assert (answer.held, answer.verdict, answer.drift_warning) == (None, None, False)


def test_once_they_are_released_nothing_is_stated(halved: World) -> None:
    halved.database.close_decisions.hold("MSFT", None)
    answer = ask(halved)
    assert (answer.held, answer.drift_warning) == (None, False)


def test_where_faults_are_refused_held_closes_are_and_the_end_is_named(halved: World) -> None:
    with pytest.raises(DataFault, match=r"\(split\).*POST /prices/MSFT/accept") as refused:
        halved.forecasting(drift_on_fault="refuse").answer("MSFT")
    assert [finding.code for finding in refused.value.findings] == ["split"]
    assert halved.database.forecasts.newest("MSFT") == []
    halved.database.close_decisions.hold("MSFT", None)
    assert answered(halved.forecasting(drift_on_fault="refuse").answer("MSFT")).held is None
