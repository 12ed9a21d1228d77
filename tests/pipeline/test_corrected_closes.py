"""Corrected closes: outcomes, calibration and monitored sessions follow them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from closecast.core.records import Outcome
from closecast.metrics.live import summarise
from closecast.pipeline.update import Learned, learn_from_closes
from tests.pipeline.test_any_order_of_closes import (
    NEW,
    SESSIONS,
    STEPS,
    SYMBOLS,
    TRAINED,
    TRUTH,
    Service,
    bundle,
    prices_of,
)

Change = Callable[[np.ndarray], None]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.close()


def deliver(
    service: Service, known: int, wrong: Change | None = None, lacks: int | None = None
) -> None:
    """Closes up to a row; those of AAA may be wrong, or one of them may be missing."""
    for symbol in SYMBOLS:
        closes = TRUTH[symbol][:known].copy()
        kept = np.arange(known)
        if symbol == "AAA" and wrong is not None:
            wrong(closes)
        if symbol == "AAA" and lacks is not None:
            kept = np.delete(kept, lacks)
        service.cache.put(prices_of(symbol, closes, kept))


def learn(service: Service) -> Learned:
    return learn_from_closes(bundle(), service.database, service.cache, SYMBOLS)


def first_forecast(service: Service) -> tuple[Outcome | None, ...]:
    """Outcomes of the forecast of AAA from the last close of the training."""
    return service.database.forecasts.get(service.ids[0])[1]


def returns(service: Service) -> list[float | None]:
    return [one and round(one.log_return, 12) for one in first_forecast(service)]


def true_returns() -> list[float]:
    closes = TRUTH["AAA"][TRAINED - 1 : TRAINED + STEPS]
    return [round(float(np.log(close / closes[0])), 12) for close in closes[1:]]


def like_at_once(service: Service, known: int, folder: Path) -> None:
    at_once = Service(folder / "twin")
    deliver(at_once, known)
    learn(at_once)
    here, there = service.end(), at_once.end()
    at_once.close()
    for name, expected in there.items():
        assert here[name] == expected, name


def not_restated(row: int) -> Change:
    def wrong(closes: np.ndarray) -> None:
        closes[:row] *= 2

    return wrong


def false_close(row: int, factor: float = 1.04) -> Change:
    def wrong(closes: np.ndarray) -> None:
        if row < len(closes):
            closes[row] *= factor

    return wrong


def test_a_split_that_is_restated_two_days_late_scores_no_false_return(
    service: Service, tmp_path: Path
) -> None:
    """On the day of a 2:1 split the source has not restated the past."""
    first, second, third = true_returns()
    split = TRAINED + 1
    deliver(service, TRAINED + 1, not_restated(split))
    learn(service)
    deliver(service, TRAINED + 2, not_restated(split))
    learned = learn(service)
    assert "2:1 split" in learned.held["AAA"]
    assert set(learned.held) == {"AAA"}
    deliver(service, TRAINED + 3, not_restated(split))
    assert learn(service).counts["AAA"].scored == 0
    assert returns(service) == [first, None, None]
    held = service.database.close_decisions.held("AAA")
    assert held is not None
    assert held.since == SESSIONS[split].item()
    deliver(service, TRAINED + 3)
    learned = learn(service)
    assert (learned.held, learned.calibration.rebuilt) == ({}, SYMBOLS)
    assert service.database.close_decisions.held("AAA") is None
    assert returns(service) == [first, second, third]
    figures = summarise(service.database.forecasts.scored("AAA", "live"))
    assert figures.corrected == 0, "nothing false was ever written down"
    like_at_once(service, TRAINED + 3, tmp_path)


def test_a_false_close_that_nobody_noticed_is_corrected_everywhere(
    service: Service, tmp_path: Path
) -> None:
    deliver(service, TRAINED + 4, false_close(TRAINED + 1))
    learn(service)
    before, revisions = returns(service), service.revisions()
    assert before != true_returns()
    deliver(service, TRAINED + 5)
    learned = learn(service)
    assert learned.calibration.rebuilt == SYMBOLS, "they had learned from the same panel"
    assert learned.counts["AAA"].corrected > 0
    assert learned.counts["BBB"].corrected == 0
    assert returns(service) == true_returns()
    [kept] = service.database.forecasts.replaced_outcomes(service.ids[0])
    assert (kept[0], round(kept[1].log_return, 12)) == (2, before[1])
    figures = summarise(service.database.forecasts.scored("AAA", "live"))
    assert figures.corrected == learned.counts["AAA"].corrected
    assert all(now > then for now, then in zip(service.revisions(), revisions, strict=True))
    like_at_once(service, TRAINED + 5, tmp_path)


def test_a_fault_that_is_seen_days_later_is_taken_out_of_scores_and_calibration(
    service: Service, tmp_path: Path
) -> None:
    """A wrong unit that comes back, after a false decision that it is right."""
    wrong = false_close(TRAINED + 1, 100.0)
    deliver(service, TRAINED + 1)
    learn(service)
    deliver(service, TRAINED + 3, wrong)
    learned = learn(service)
    assert "another unit" in learned.held["AAA"]
    assert returns(service)[1:] == [None, None]
    service.database.close_decisions.accept("AAA", SESSIONS[TRAINED + 1].item(), "?", "me")
    learn(service)
    assert returns(service)[1] == pytest.approx(true_returns()[1] + np.log(100))
    deliver(service, TRAINED + 3)
    learned = learn(service)
    assert returns(service) == true_returns()
    assert learned.counts["AAA"].corrected > 0
    like_at_once(service, TRAINED + 3, tmp_path)


def test_outcomes_of_a_close_with_a_fault_are_opened_again(service: Service) -> None:
    deliver(service, TRAINED + 3, false_close(TRAINED + 1))
    learn(service)
    assert None not in returns(service)
    deliver(service, TRAINED + 3, false_close(TRAINED + 1, 100.0))
    learned = learn(service)
    assert learned.counts["AAA"].reopened > 0
    assert returns(service)[1:] == [None, None]
    state = service.database.calibrations.session_of(bundle().manifest.version, "AAA")
    assert state == SESSIONS[TRAINED].item(), "up to the close before"


def test_a_real_halving_that_is_accepted_scores_and_corrects_nothing(service: Service) -> None:
    halved = not_restated(TRAINED + 1)
    deliver(service, TRAINED + 3, halved)
    learn(service)
    service.database.close_decisions.accept("AAA", SESSIONS[TRAINED + 1].item(), "so", "me")
    learned = learn(service)
    assert learned.held == {}
    expected = true_returns()[1] - np.log(2)
    assert returns(service)[1] == pytest.approx(expected)
    assert summarise(service.database.forecasts.scored("AAA", "live")).corrected == 0


def test_a_dividend_is_no_correction_and_moves_the_last_close(
    service: Service, tmp_path: Path
) -> None:
    def lower(closes: np.ndarray) -> None:
        closes *= 0.5

    deliver(service, TRAINED + 4)
    learn(service)
    before = service.end()
    deliver(service, TRAINED + 4, lower)
    learned = learn(service)
    assert learned.calibration.rebuilt == SYMBOLS
    assert learned.counts["AAA"].any is False
    assert service.end()["outcomes"] == before["outcomes"]
    deliver(service, TRAINED + 4)
    learn(service)
    like_at_once(service, TRAINED + 4, tmp_path)


def test_a_close_that_came_after_it_was_given_up_is_scored(
    service: Service, tmp_path: Path
) -> None:
    deliver(service, TRAINED + 9, lacks=TRAINED + 1)
    learn(service)
    assert returns(service)[1] is None
    assert service.database.forecasts.due("AAA", SESSIONS[TRAINED + 1].item()) == [], "void"
    deliver(service, TRAINED + 9)
    learn(service)
    assert returns(service) == true_returns()
    like_at_once(service, TRAINED + 9, tmp_path)


def test_killed_between_outcomes_and_calibration_the_next_update_ends_alike(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(service, TRAINED + 4, false_close(TRAINED + 1))
    learn(service)
    deliver(service, TRAINED + 5)
    with monkeypatch.context() as broken:
        broken.setattr(sys.modules["closecast.pipeline.update"], "absorb", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            learn(service)
    assert returns(service) == true_returns(), "outcomes are first"
    learn(service)
    like_at_once(service, TRAINED + 5, tmp_path)


def forget_closes(service: Service) -> None:
    """As if a version before closes were remembered had stored the states."""
    with service.database._engine.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM absorbed_closes")


def test_an_older_state_goes_on_as_it_is_and_is_remembered_from_then_on(
    service: Service, tmp_path: Path
) -> None:
    deliver(service, TRAINED + 4, false_close(TRAINED + 1))
    learn(service)
    forget_closes(service)
    deliver(service, TRAINED + 5)
    learned = learn(service)
    assert learned.calibration.rebuilt == ()
    assert learned.counts["AAA"].corrected > 0, "outcomes know their own returns"
    assert returns(service) == true_returns()
    deliver(service, TRAINED + 6, false_close(TRAINED + 4))
    assert learn(service).calibration.rebuilt == SYMBOLS
    deliver(service, TRAINED + 6)
    learn(service)
    like_at_once(service, TRAINED + 6, tmp_path)


def test_a_source_without_the_closes_before_the_training_cannot_rebuild(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    deliver(service, TRAINED + 4, false_close(TRAINED + 2))
    learn(service)
    for symbol in SYMBOLS:
        rows = np.arange(TRAINED - 10, TRAINED + NEW)
        service.cache.put(prices_of(symbol, TRUTH[symbol], rows))
    learned = learn(service)
    assert learned.calibration.rebuilt == ()
    assert "cannot be rebuilt" in caplog.text
    session = service.database.calibrations.session_of(bundle().manifest.version, "AAA")
    assert session == SESSIONS[-1].item()


def test_a_forecast_issued_after_its_close_stays_void_when_closes_are_corrected(
    service: Service,
) -> None:
    made, _ = service.database.forecasts.get(service.ids[0])
    late = replace(made, issued_at=made.issued_at + timedelta(days=3), revision=999)
    name = service.database.forecasts.commit(late)
    deliver(service, TRAINED + 4, false_close(TRAINED + 1))
    learn(service)
    before = service.database.forecasts.get(name)[1]
    deliver(service, TRAINED + 4)
    assert learn(service).counts["AAA"].corrected > 0
    after = service.database.forecasts.get(name)[1]
    assert [one is None for one in before] == [one is None for one in after]
    assert after[0] is None
