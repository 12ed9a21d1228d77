"""The sentence that explains why the prices of a forecast are the last close."""

from __future__ import annotations

import pytest

from closecast.core.point_forecasts import NAIVE_BY_DESIGN, flat_path_note, is_unearned

SENTENCE = "its point forecast was no better than today's close, so it was set to that"


@pytest.mark.parametrize(
    ("factors", "end"),
    [
        ([0.0] * 10, ": all ten prices are the same"),
        ([0.0] * 30, ": all 30 prices are the same"),
        ([0.0, 0.0], ": both prices are the same"),
        ([0.0], ""),
        ([0.0, 0.3, 0.0], " at 2 of 3 sessions ahead (1, 3)"),
    ],
    ids=["ten", "thirty", "two", "one", "some"],
)
def test_an_unearned_point_forecast_has_one_sentence(factors: list[float], end: str) -> None:
    location = {"factor": factors, "reason": "on 250 days"}
    assert flat_path_note(location) == SENTENCE + end
    assert is_unearned(location) == (not any(factors))


def test_a_point_forecast_that_is_used_needs_none() -> None:
    assert flat_path_note({"factor": [0.5, 1.0], "reason": ""}) is None


def test_a_model_that_forecasts_no_direction_says_so() -> None:
    location = {"factor": [1.0, 1.0, 1.0], "reason": NAIVE_BY_DESIGN}
    assert flat_path_note(location) == (
        "its point forecast is today's close by design: all three prices are the same"
    )
    assert not is_unearned(location)


def test_old_bundles_without_a_location_have_none() -> None:
    assert flat_path_note({}) is None
    assert not is_unearned({})
