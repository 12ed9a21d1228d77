"""``/prices``: closes that were collected, held back and accepted, as a caller sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest

from api.main import create_app
from closecast.core.records import HeldCloses, Kind
from closecast.errors import PriceProblem, StorageFailed
from closecast.infra.api_keys import KeyStore
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache
from tests.api.test_security import bearer
from tests.support.local_client import LocalClient

NOON = datetime(2022, 12, 30, 12, tzinfo=UTC)
HALVED = HeldCloses(
    since=date(2022, 12, 29),
    code="suspected_split",
    reason="2022-12-29: a move like an unadjusted 2:1 split",
    ends="A corrected close ends it, or POST /prices/MSFT/accept.",
    noticed_at=NOON,
)
BODY = {"session": "2022-12-29", "reason": "a real halving"}


class Service:
    """The API over trained models, with a halved close of MSFT that is held back."""

    def __init__(self, settings: Settings, kind: Kind = "live") -> None:
        cache = PriceCache(settings.data_dir / "prices")
        prices = cache.get("MSFT")
        assert prices is not None
        self.before = float(prices.closes[-1])
        cache.put(
            replace(
                prices,
                sessions=np.append(prices.sessions, np.datetime64("2022-12-29")),
                closes=np.append(prices.closes, self.before / 2),
                notes=(PriceProblem("remarkable_move", "-50%", "2022-12-29", self.before / 2),),
            )
        )
        self.app = create_app(settings, clock=lambda: NOON, kind=kind)
        self.http = LocalClient(self.app, raise_server_exceptions=False)

    def __enter__(self) -> Service:
        self.http.__enter__()
        self.database = self.app.state.service.database
        self.database.close_decisions.hold("MSFT", HALVED)
        return self

    def __exit__(self, *ended: object) -> None:
        self.http.__exit__(*ended)

    def accept(self, body: object, status: int, symbol: str = "MSFT", **more: Any) -> Any:
        answer = self.http.post(f"/prices/{symbol}/accept", json=body, **more)
        assert answer.status_code == status, answer.text
        if status == 202:
            assert answer.headers["location"] == answer.json()["job"]["url"]
        return answer.json()

    def prices(self, symbol: str = "MSFT", status: int = 200) -> Any:
        answer = self.http.get(f"/prices/{symbol}?limit=3")
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def service(published: Settings) -> Iterator[Service]:
    with Service(published) as made:
        yield made


def test_an_accepted_close_is_answered_with_the_job_that_absorbs_it(service: Service) -> None:
    answer = service.accept(BODY, 202)
    assert answer["symbol"] == "MSFT"
    assert answer["accepted"] == {
        **BODY,
        "by": "api:127.0.0.1",
        "at": "2022-12-30T12:00:00Z",
    }
    assert answer["held"]["code"] == "suspected_split"
    assert (answer["job"]["task"], answer["job"]["state"]) == ("update", "queued")
    assert service.http.get(answer["job"]["url"]).json()["id"] == answer["job"]["id"]


def test_the_same_again_answers_the_same_and_after_the_update_no_job(service: Service) -> None:
    first = service.accept({**BODY, "by": "ana"}, 202, "msft")
    assert service.accept({**BODY, "reason": "changed my mind"}, 202) == first
    service.database.close_decisions.hold("MSFT", None)
    later = service.accept(BODY, 200)
    assert (later["accepted"], later["held"], later["job"]) == (first["accepted"], None, None)


def test_the_key_of_the_caller_stays_in_the_decision(published: Settings) -> None:
    token = KeyStore(published.keys_path).create("ops", "admin")
    with Service(published) as service:
        answer = service.accept({**BODY, "by": "ana"}, 202, headers=bearer(token))
    assert answer["accepted"]["by"] == "ana (key ops)"


@pytest.mark.parametrize(
    ("symbol", "body", "status", "code"),
    [
        ("MSFT", {**BODY, "session": "2022-12-28"}, 409, "nothing_to_accept"),
        ("MSFT", {**BODY, "session": "2022-12-30"}, 409, "nothing_to_accept"),  # of today
        ("MSFT", {**BODY, "session": "2999-01-04"}, 409, "nothing_to_accept"),
        ("MSFT", {**BODY, "session": "0001-01-01"}, 409, "nothing_to_accept"),
        ("AAPL", BODY, 409, "nothing_to_accept"),
        ("ORCL", BODY, 404, "unknown_symbol"),
        ("..%5Cx", BODY, 422, "invalid_symbol"),
        ("MSFT", {**BODY, "session": 20221229}, 422, "invalid_request"),
        ("MSFT", {**BODY, "session": "29.12.2022"}, 422, "invalid_request"),
        ("MSFT", {**BODY, "session": "2022-12-29T00:00:00"}, 422, "invalid_request"),
        ("MSFT", {**BODY, "session": "2022-02-30"}, 422, "invalid_request"),
        ("MSFT", {**BODY, "session": None}, 422, "invalid_request"),
        ("MSFT", {"session": "2022-12-29"}, 422, "invalid_request"),
        ("MSFT", {**BODY, "reason": ""}, 422, "invalid_request"),
        ("MSFT", {**BODY, "reason": " \u3000 "}, 422, "invalid_request"),
        ("MSFT", {**BODY, "reason": "x" * 501}, 422, "invalid_request"),
        ("MSFT", {**BODY, "reason": "line\nend"}, 422, "invalid_request"),
        ("MSFT", {**BODY, "reason": "nul\u0000"}, 422, "invalid_request"),
        ("MSFT", {**BODY, "by": "\u202eana"}, 422, "invalid_request"),
        ("MSFT", {**BODY, "by": ""}, 422, "invalid_request"),
        ("MSFT", {**BODY, "force": True}, 422, "invalid_request"),
        ("MSFT", [BODY], 422, "invalid_request"),
    ],
)
def test_anything_else_is_a_problem_and_stores_nothing(
    service: Service, symbol: str, body: object, status: int, code: str
) -> None:
    problem = service.accept(body, status, symbol)
    assert problem["code"] == code
    if code == "nothing_to_accept":
        assert problem["sessions"] == (["2022-12-29"] if symbol == "MSFT" else [])
    assert service.database.close_decisions.all_accepted() == []
    assert service.database.jobs.newest() == []


def test_a_replay_stores_the_decision_and_collects_nothing(published: Settings) -> None:
    with Service(published, "replay") as service:
        assert service.accept(BODY, 200)["job"] is None
        assert service.database.jobs.newest() == []
        assert len(service.prices()["accepted"]) == 1


def test_prices_list_what_is_held_back_what_can_be_accepted_and_what_was(service: Service) -> None:
    answer = service.prices()
    assert (answer["symbol"], answer["source"], answer["basis"]) == ("MSFT", "sample", "adjusted")
    assert (answer["last_session"], answer["learned_until"]) == ("2022-12-29", "2022-12-28")
    assert answer["held"]["since"] == "2022-12-29"
    assert answer["acceptable"] == ["2022-12-29"]
    assert answer["accepted"] == []
    assert [row["session"] for row in answer["newest"]] == [
        *("2022-12-29", "2022-12-28", "2022-12-27"),
    ]
    newest, before, _ = answer["newest"]
    assert newest == {
        "session": "2022-12-29",
        "close": service.before / 2,
        "change": -0.5,
        "held": True,
        "accepted": False,
    }
    assert (before["close"], before["held"]) == (service.before, False)
    service.accept(BODY, 202)
    after = service.prices()
    assert (after["acceptable"], after["newest"][0]["accepted"]) == ([], True)
    assert [one["reason"] for one in after["accepted"]] == ["a real halving"]


def test_prices_of_a_symbol_without_held_closes(service: Service) -> None:
    answer = service.prices("aapl")
    assert (answer["held"], answer["acceptable"], answer["accepted"]) == (None, [], [])


def test_prices_of_an_unknown_symbol_are_a_404(service: Service) -> None:
    assert service.prices("ORCL", 404)["code"] == "unknown_symbol"


def test_prices_of_a_model_whose_closes_were_never_collected_are_a_503(
    published: Settings,
) -> None:
    PriceCache(published.data_dir / "prices").path("AAPL").unlink()
    with Service(published) as service:
        assert service.prices("AAPL", 503)["code"] == "not_collected"


def test_a_symbol_without_a_model_shows_the_closes_that_it_is_suspected_for(
    service: Service,
) -> None:
    models = service.app.state.service.models
    cache = models.closes.cache
    cache.put(replace(cache.get("MSFT"), symbol="IBM"))
    answer = service.prices("IBM")
    assert (answer["learned_until"], answer["acceptable"]) == (None, ["2022-12-29"])


# -- at a glance --------------------------------------------------------------------------------


def test_health_and_summary_name_the_symbols_with_held_closes(service: Service) -> None:
    health = service.http.get("/health").json()
    assert (health["status"], list(health["held"])) == ("ok", ["MSFT"])
    assert health["held"]["MSFT"]["since"] == "2022-12-29"
    symbols = {one["symbol"]: one["held"] for one in service.http.get("/").json()["symbols"]}
    assert symbols == {"MSFT": health["held"]["MSFT"], "AAPL": None}
    page = service.http.get("/", headers={"accept": "text/html"}).text
    assert f"closes since 2022-12-29 are held back: {HALVED.reason}" in page


def test_the_drift_of_a_symbol_says_that_its_closes_are_held_back(service: Service) -> None:
    assert service.http.get("/drift/MSFT").json()["held"]["since"] == "2022-12-29"
    assert service.http.get("/drift/AAPL").json()["held"] is None


def test_a_reason_is_escaped_on_the_page(service: Service) -> None:
    service.database.close_decisions.hold("MSFT", replace(HALVED, reason="<script>"))
    assert "<script" not in service.http.get("/", headers={"accept": "text/html"}).text


def test_without_a_ledger_health_and_summary_still_answer(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise StorageFailed("the disk is away")

    monkeypatch.setattr(service.database.close_decisions, "all_held", fail)
    health = service.http.get("/health").json()
    assert (health["ledger"], health["held"]) == ("the disk is away", {})
    assert service.http.get("/").status_code == 200


def test_a_gauge_counts_the_symbols_with_held_closes(service: Service) -> None:
    lines = service.http.get("/metrics").text.splitlines()
    assert 'closecast_closes_held{symbol="MSFT"} 1.0' in lines
    assert 'closecast_closes_held{symbol="AAPL"} 0.0' in lines
    service.database.close_decisions.hold("MSFT", None)
    lines = service.http.get("/metrics").text.splitlines()
    assert 'closecast_closes_held{symbol="MSFT"} 0.0' in lines
