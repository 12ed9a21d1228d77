"""A siege, a short one: nothing that attackers do harms the callers beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving.load import ROOT
from closecast.settings import Settings, as_environment
from tests.system.siege.attackers import faults
from tests.system.siege.besieged import Round, besiege
from tests.system.siege.checked_load import Answers

_SECONDS = 25.0  # longer than a head may take
_IDLE = 300
_MEMORY = 1.25
"""Memory after over before: in so short a siege what is filled once weighs more than in a long."""

ROUND = Round(1, 10, Answers([1.0, 2.0]), Answers([1.0, 2.0]), (100.0, 105.0), {})
"""A siege without a violation."""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_checked_load_is_answered_while_the_service_is_attacked(
    published: Settings, tmp_path: Path, workers: int
) -> None:
    found = besiege(
        as_environment(published) | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        tmp_path,
        workers=workers,
        seconds=_SECONDS,
        idle=_IDLE,
        seed=1,
    )
    assert found.violations(_MEMORY) == [], found.text()
    assert len(found.attacked.latencies_ms) > 50
    assert {"upgrade", "endless_header", "slow_head", "odd_encoding"} <= found.ends.keys()


def test_what_must_not_be_is_a_violation() -> None:
    assert ROUND.violations() == []
    lost = Answers([1.0])
    lost.failures["status 503"] += 1
    for bad in (
        Round(1, 10, lost, ROUND.calm, ROUND.memory_mb, {}),
        Round(1, 10, ROUND.calm, lost, ROUND.memory_mb, {}),
        Round(1, 10, ROUND.attacked, ROUND.calm, (100.0, 111.0), {}),
        Round(1, 10, ROUND.attacked, ROUND.calm, ROUND.memory_mb, {"upgrade": {"422": 3}}),
    ):
        assert len(bad.violations()) == 1


@pytest.mark.parametrize(
    ("attack", "end"),
    [("endless_header", "kept open"), ("slow_head", "kept open"), ("odd_encoding", "500")],
)
def test_an_end_that_a_server_must_not_give_is_a_fault(attack: str, end: str) -> None:
    assert faults({attack: {end: 2}}) == [f"{attack}: {end}, 2 times"]
    assert faults({attack: {"closed": 2, "503": 1}}) == []
