"""Power: shares of faults found in clean windows at 1 % false alarms, and their causes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from benchmarks.drift.crossfit import sample_fit
from benchmarks.drift.power import (
    ALONE,
    KEPT,
    LEAST_NAMED,
    MEASURED_WITH,
    TARGETS,
    Power,
    Target,
    power,
    spoilable,
)
from closecast.drift.statistics import STATISTICS

by_name = pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.fault}, {t.known}")


@pytest.fixture(scope="module")
def found() -> Mapping[tuple[str, str], Power]:
    """Of more than 800 windows per fault, by symbols and years that calibration did not see."""
    fit = sample_fit()
    cases = spoilable(fit.some_windows(), every=4)
    return power(fit, cases, [(target.fault, target.known) for target in TARGETS])


def test_there_are_enough_windows(found: Mapping[tuple[str, str], Power]) -> None:
    assert min(row.windows for row in found.values()) >= 800


@by_name
def test_a_fault_is_seen(found: Mapping[tuple[str, str], Power], target: Target) -> None:
    """In the share of windows that is the target; seeds are fixed, no tolerance for chance.

    A statistic added later may cost the others of its channel a tenth of their power, no more.
    """
    assert found[target.fault, target.known].caught(target.fault) >= target.least_kept


def test_targets_hold_in_full_for_the_statistics_they_were_measured_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wild = Target("volatility x3", ALONE, 0.4)
    split = Target("split 2:1", ALONE, 0.99)
    added = [key for key in STATISTICS if key not in MEASURED_WITH]
    for key in added:
        monkeypatch.delitem(STATISTICS, key)
    assert (wild.least_kept, split.least_kept) == (0.4, 0.99)
    monkeypatch.setitem(STATISTICS, "newer", STATISTICS["trend_week"])
    assert (wild.least_kept, split.least_kept) == (KEPT * 0.4, 0.99)


@by_name
def test_its_cause_is_named(found: Mapping[tuple[str, str], Power], target: Target) -> None:
    assert found[target.fault, target.known].named >= LEAST_NAMED
