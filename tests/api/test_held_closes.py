"""From a fault to its end over HTTP: held back, stated, accepted or corrected, and gone on from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.main import create_app
from closecast.core.calendars import sessions_between
from closecast.jobs.worker import run_job
from closecast.pipeline import TrainRequest, run_training
from closecast.settings import Settings
from tests.support.local_client import LocalClient

SESSIONS = sessions_between("XNYS", date(2016, 1, 4), date(2022, 12, 30))
TRAINED, FAULT = np.searchsorted(SESSIONS, np.array(["2022-12-15", "2022-12-22"], "M8[D]"))
CLOSES = np.round(
    80 * np.exp(np.random.default_rng(14).normal(0, 0.015, len(SESSIONS)).cumsum()), 2
)


class Vendor:
    """A file of closes that changes from day to day, and a service that forecasts from it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._file = folder / "closes.csv"
        self.settings = settings.model_copy(
            update={"source": f"file:{self._file}", "forecast_wait_s": 0.0}
        )
        self.now = datetime(2022, 12, 15, 23, tzinfo=UTC)

    def publish(self, closes: np.ndarray, day: str) -> None:
        """Write the closes up to a day, which has just ended."""
        self.now = datetime.fromisoformat(f"{day}T23:00").replace(tzinfo=UTC)
        stop = np.searchsorted(SESSIONS, np.datetime64(day), side="right")
        rows = zip(SESSIONS[:stop].tolist(), closes[:stop].tolist(), strict=True)
        self._file.write_text("Date,Close\n" + "".join(f"{d},{c:.6g}\n" for d, c in rows))

    def __enter__(self) -> Vendor:
        self.publish(CLOSES, "2022-12-15")
        request = {"symbols": ["MSFT"], "source": self.settings.source, "forecaster": "ewma"}
        run_training(self.settings, TrainRequest.model_validate(request))
        self.app = create_app(self.settings, clock=lambda: self.now)
        self.http = LocalClient(self.app, raise_server_exceptions=False)
        self.http.__enter__()
        self.parts = self.app.state.service
        self.parts.forecasting._refresh._has_worker = True
        self.parts.forecasting._refresh._monotonic = lambda: self.now.timestamp()
        return self

    def __exit__(self, *ended: object) -> None:
        self.http.__exit__(*ended)

    def work(self) -> dict[str, Any]:
        """Run the one job that waits, as the worker does; return its result."""
        job = self.parts.database.jobs.claim("worker")
        assert job is not None
        run_job(self.settings, self.parts.database, job, "worker")
        ended = self.http.get(f"/train/{job.id}").json()
        assert ended["state"] == "succeeded", ended["reason"]
        result: dict[str, Any] = ended["result"]
        return result

    def forecast(self, *, after_update: bool = False) -> Any:
        answer = self.http.get("/forecast/MSFT")
        if after_update:
            self.work()
            answer = self.http.get("/forecast/MSFT")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def accept(self, session: str) -> Any:
        body = {"session": session, "reason": "the filing explains it", "by": "ana"}
        return self.http.post("/prices/MSFT/accept", json=body)


@pytest.fixture
def vendor(settings: Settings, tmp_path: Path) -> Iterator[Vendor]:
    with Vendor(settings, tmp_path) as made:
        yield made


def halved() -> np.ndarray:
    """To half on 22 December, and on from there."""
    closes = CLOSES.copy()
    closes[FAULT:] *= closes[FAULT - 1] / closes[FAULT] / 2
    return closes


def test_a_real_halving_is_held_back_stated_accepted_and_gone_on_from(vendor: Vendor) -> None:
    assert (vendor.forecast()["age"], vendor.forecast()["held"]) == (0, None)
    vendor.publish(halved(), "2022-12-27")
    answer = vendor.forecast(after_update=True)
    assert (answer["origin"], answer["stale"]) == ("2022-12-21", True)
    assert (answer["held"]["since"], answer["held"]["code"]) == ("2022-12-22", "suspected_split")
    assert "POST /prices/MSFT/accept" in answer["held"]["ends"]
    assert answer["drift_warning"] is True
    assert (answer["drift_findings"][0]["code"], answer["drift_findings"][0]["level"]) == (
        *("split", "fault"),
    )
    assert answer["last_update"]["reason"] == answer["held"]["reason"]
    assert vendor.http.get("/prices/MSFT").json()["acceptable"] == ["2022-12-22"]

    assert vendor.accept("2022-12-22").status_code == 202
    assert vendor.forecast()["held"] is not None  # until the update has run
    assert vendor.work()["absorbed"] == 3
    answer = vendor.forecast()
    assert (answer["origin"], answer["age"], answer["held"]) == ("2022-12-27", 0, None)
    assert answer["last_close"] == pytest.approx(halved()[FAULT + 2], rel=1e-5)
    assert {finding["level"] for finding in answer["drift_findings"]} <= {"regime"}
    assert vendor.accept("2022-12-22").status_code == 200
    assert vendor.http.get("/prices/MSFT").json()["acceptable"] == []


def test_where_faults_are_refused_an_accepted_halving_is_not(
    settings: Settings, tmp_path: Path
) -> None:
    refusing = settings.model_copy(update={"drift_on_fault": "refuse"})
    with Vendor(refusing, tmp_path) as vendor:
        vendor.publish(halved(), "2022-12-27")
        assert vendor.http.get("/forecast/MSFT").status_code == 200  # it is not collected yet
        vendor.work()
        refused = vendor.http.get("/forecast/MSFT")
        assert (refused.status_code, refused.json()["code"]) == (409, "data_fault")
        assert "POST /prices/MSFT/accept" in refused.json()["detail"]
        vendor.accept("2022-12-22")
        vendor.work()
        assert vendor.forecast()["origin"] == "2022-12-27"


def test_a_decision_without_its_job_is_applied_by_the_next_update(vendor: Vendor) -> None:
    """As after kill -9 between the two."""
    vendor.publish(halved(), "2022-12-27")
    assert vendor.forecast(after_update=True)["held"] is not None
    vendor.parts.database.close_decisions.accept("MSFT", date(2022, 12, 22), "right", "ana")
    vendor.now += timedelta(hours=1)
    answer = vendor.forecast(after_update=True)
    assert (answer["origin"], answer["held"]) == ("2022-12-27", None)


def test_a_corrected_close_ends_it_and_counts_in_the_performance(vendor: Vendor) -> None:
    vendor.forecast()  # is scored by the closes after it
    vendor.publish(halved(), "2022-12-22")
    assert vendor.forecast(after_update=True)["held"]["since"] == "2022-12-22"
    wrong = CLOSES.copy()
    wrong[FAULT - 1] *= 1.03  # no fault that is found, and not right either
    vendor.publish(wrong, "2022-12-23")
    assert vendor.forecast(after_update=True)["held"] is None
    before = vendor.http.get("/performance/MSFT").json()
    vendor.publish(CLOSES, "2022-12-27")
    answer = vendor.forecast(after_update=True)
    assert (answer["origin"], answer["age"], answer["held"]) == ("2022-12-27", 0, None)
    after = vendor.http.get("/performance/MSFT").json()
    assert before["corrected"] < after["corrected"] <= after["overall"]["n"]


def test_a_rewritten_history_is_held_back_and_can_be_accepted_each_time(vendor: Vendor) -> None:
    vendor.publish(CLOSES, "2022-12-16")
    vendor.forecast(after_update=True)
    for seed, day, after in ((1, "2022-12-19", "2022-12-20"), (2, "2022-12-21", "2022-12-22")):
        rng = np.random.default_rng(seed)
        other = np.round(60 * np.exp(rng.normal(0, 0.015, len(SESSIONS)).cumsum()), 2)
        origin = vendor.forecast()["origin"]
        vendor.publish(other, day)
        answer = vendor.forecast(after_update=True)
        assert (answer["origin"], answer["held"]["code"]) == (origin, "rewritten_history")
        [finding, *_] = answer["drift_findings"]
        assert (finding["code"], finding["level"]) == ("closes_held", "fault")
        since = answer["held"]["since"]
        assert vendor.http.get("/prices/MSFT").json()["acceptable"] == [since]
        assert vendor.accept(since).status_code == 202
        vendor.work()
        answer = vendor.forecast()
        assert (answer["origin"], answer["held"]) == (day, None)
        vendor.publish(other, after)
        assert vendor.forecast(after_update=True)["origin"] == after


def test_a_download_that_is_refused_is_a_fault_too_and_no_decision_ends_it(vendor: Vendor) -> None:
    in_cents = CLOSES.copy()
    in_cents[FAULT - 1] *= 100
    vendor.publish(in_cents, "2022-12-21")
    vendor.http.get("/forecast/MSFT")
    job = vendor.parts.database.jobs.claim("worker")
    run_job(vendor.settings, vendor.parts.database, job, "worker")
    answer = vendor.forecast()
    assert (answer["origin"], answer["drift_warning"]) == ("2022-12-15", True)
    assert (answer["held"]["since"], answer["held"]["code"]) == ("2022-12-21", "invalid_prices")
    assert vendor.http.get(f"/train/{job.id}").json()["state"] == "failed"
    noticed_at = answer["held"]["noticed_at"]
    refused = vendor.accept("2022-12-21")
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_accept")
    vendor.publish(CLOSES, "2022-12-22")
    assert noticed_at < vendor.now.isoformat()
    answer = vendor.forecast(after_update=True)
    assert (answer["origin"], answer["held"]) == ("2022-12-22", None)
