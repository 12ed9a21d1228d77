"""``/train`` and ``/config``: what is queued, refused, shown, cancelled. Nothing trains here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from closecast.forecasters.lstm.parameters import PRESETS
from closecast.jobs import supervisor
from closecast.settings import Settings
from tests.support.local_client import LocalClient


def test_a_training_is_accepted_with_a_place_to_watch_it(client: TestClient) -> None:
    answer = client.post("/train", json={"hyperparameters": {"num_epochs": 10}})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == job["url"] == f"/train/{job['id']}"
    assert job["state"] == "queued"
    assert job["request"]["hyperparameters"]["num_epochs"] == 10
    assert job["request"]["hyperparameters"]["seq_length"] == 60  # complete, defaults included
    assert job["url"] in job.pop("message")
    assert client.get(job["url"]).json() == job
    assert client.get("/train").json()["jobs"] == [job]


def test_the_body_is_optional(client: TestClient) -> None:
    assert client.post("/train").json()["symbol"] == "MSFT"


def test_the_same_request_twice_is_one_job(client: TestClient) -> None:
    body = {"symbol": "aapl", "hyperparameters": {"num_epochs": 3}}
    first, second = client.post("/train", json=body), client.post("/train", json=body)
    assert second.status_code == 202
    assert second.json()["id"] == first.json()["id"]
    assert second.headers["location"] == first.headers["location"]


def test_twenty_at_once_are_one_job(client: TestClient) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: client.post("/train", json={}), range(20)))
    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["id"] for a in answers}) == 1


def test_another_one_for_the_symbol_is_a_conflict_that_names_the_first(client: TestClient) -> None:
    first = client.post("/train", json={}).json()
    answer = client.post("/train", json={"hyperparameters": {"num_epochs": 3}})
    assert answer.status_code == 409
    assert answer.json()["url"] == answer.headers["location"] == first["url"]


def test_another_symbol_is_no_conflict(client: TestClient) -> None:
    assert client.post("/train", json={}).status_code == 202
    assert client.post("/train", json={"symbol": "AAPL"}).status_code == 202


def test_an_idempotency_key_answers_the_first_job_even_after_its_end(client: TestClient) -> None:
    key = {"idempotency-key": "monday"}
    first = client.post("/train", json={}, headers=key).json()
    client.delete(first["url"])
    assert client.post("/train", json={}, headers=key).json()["id"] == first["id"]
    assert client.post("/train", json={}).json()["id"] != first["id"]
    other = client.post("/train", json={"symbol": "AAPL"}, headers=key)
    assert other.status_code == 409


def test_an_idempotency_key_belongs_to_the_request_not_to_the_configuration(
    client: TestClient,
) -> None:
    key = {"idempotency-key": "tuesday"}
    first = client.post("/train", json={}, headers=key).json()
    client.post("/config", json={"hyperparameters": {"num_epochs": 5}})
    assert client.post("/train", json={}, headers=key).json()["id"] == first["id"]


def test_a_queued_job_is_cancelled_at_once_and_only_once(client: TestClient) -> None:
    job = client.post("/train", json={}).json()
    cancelled = client.delete(job["url"])
    assert cancelled.status_code == 200
    assert cancelled.json()["state"] == "cancelled"
    assert client.delete(job["url"]).status_code == 409


def test_an_unknown_job_is_a_404(client: TestClient) -> None:
    for method in ("GET", "DELETE"):
        answer = client.request(method, "/train/nothing")
        assert answer.status_code == 404
        assert answer.json()["code"] == "unknown_job"


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"epochs": 10}, "/hyperparameters/epochs"),
        ({"num_epochs": 0}, "/hyperparameters/num_epochs"),
        ({"num_epochs": 10.5}, "/hyperparameters/num_epochs"),
        ({"num_epochs": "10"}, "/hyperparameters/num_epochs"),
        ({"learning_rate": True}, "/hyperparameters/learning_rate"),
        ({"dropout": 1}, "/hyperparameters/dropout"),
        ({"loss": "mae"}, "/hyperparameters/loss"),
        ({"seq_length": 5}, "/hyperparameters/seq_length"),
        ({"horizon": 31}, "/hyperparameters/horizon"),
    ],
)
@pytest.mark.parametrize("path", ["/train", "/config"])
def test_a_bad_hyperparameter_is_pointed_at(
    client: TestClient, path: str, values: dict, pointer: str
) -> None:
    answer = client.post(path, json={"hyperparameters": values})
    assert answer.status_code == 422, answer.text
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]
    assert client.get("/train").json()["jobs"] == []
    assert client.get("/config").json()["revision"] == 0


def test_an_unknown_hyperparameter_lists_the_valid_ones(client: TestClient) -> None:
    detail = client.post("/train", json={"hyperparameters": {"epochs": 1}}).json()["detail"]
    assert "num_epochs" in detail


@pytest.mark.parametrize(
    "body",
    [
        {"symbol": "../x"},
        {"symbol": "ACME.XYZ"},
        {"source": "nasdaq"},
        {"source": "file:/etc/passwd"},
        {"preset": "fast"},
        {"forecaster": "prophet"},
        {"start": "2020-01-02", "end": "2019-01-02"},
        {"start": "soon"},
        {"hyperparameters": [1]},
        {"unknown": 1},
    ],
)
def test_what_does_not_fit_is_refused(client: TestClient, body: dict) -> None:
    assert client.post("/train", json=body).status_code == 422


def test_fine_tuning_keeps_the_sizes_of_the_served_model(client: TestClient) -> None:
    client.post("/config", json={"hyperparameters": {"hidden_size": 32}})
    asked = {"fine_tune": True, "hyperparameters": {"learning_rate": 1e-4}}
    used = client.post("/train", json=asked).json()["request"]["hyperparameters"]
    assert (used["hidden_size"], used["learning_rate"]) == (4, 1e-4)


def test_fine_tuning_nothing_is_a_404(client: TestClient) -> None:
    assert client.post("/train", json={"symbol": "KO", "fine_tune": True}).status_code == 404


@pytest.mark.parametrize("name", ["vale3-20-10", "b3-ten-day"])
def test_a_preset_is_the_published_recipe(client: TestClient, name: str) -> None:
    used = client.post("/train", json={"preset": name}).json()["request"]["hyperparameters"]
    assert (used["seq_length"], used["horizon"], used["seed"], used["loss"]) == (
        20,
        10,
        6544,
        "mse",
    )


def test_no_configuration_changes_a_published_recipe(client: TestClient) -> None:
    other = {"forecaster": "lstm", "hyperparameters": {"weight_decay": 0.01, "learning_rate": 0.1}}
    client.post("/config", json=other)
    used = client.post("/train", json={"preset": "cmig4-60-1"}).json()["request"]
    assert used["forecaster"] == "lstm"
    assert used["hyperparameters"] == dict(PRESETS["cmig4-60-1"])


def test_a_configuration_takes_a_preset_and_values_over_it(client: TestClient) -> None:
    asked = {"preset": "itub4-60-1", "hyperparameters": {"num_epochs": 2}}
    answer = client.post("/config", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["forecaster"] == "lstm"
    assert answer.json()["hyperparameters"] == {**PRESETS["itub4-60-1"], "num_epochs": 2}
    assert "itub4-60-1" in answer.json()["presets"]
    assert client.post("/train").json()["request"]["hyperparameters"]["valid_size"] == 0.08


def test_an_unknown_preset_is_answered_with_those_that_exist(client: TestClient) -> None:
    for path in ("/train", "/config"):
        answer = client.post(path, json={"preset": "itub4"})
        assert answer.status_code == 422
        assert "itub4-60-1" in answer.json()["detail"]


def test_the_configured_file_is_named_without_its_address(published: Settings) -> None:
    secret = published.model_copy(update={"source": "file:https://host/p.csv?sig=SECRET"})
    with LocalClient(create_app(secret)) as client:
        queued = client.post("/train", json={})
        refused = client.post("/train", json={"source": "file:/etc/passwd"})
    assert queued.json()["request"]["source"] == "file"
    assert refused.status_code == 422
    assert "SECRET" not in queued.text + refused.text


SEVERAL = ["file:/data/{symbol}.csv", "FILE:s3://b/p", "/srv/closes.csv", "https://h/p", "a.csv"]


@pytest.mark.parametrize("named", SEVERAL)
def test_a_path_is_refused_in_a_sentence_that_names_the_way(
    published: Settings, named: str
) -> None:
    with_file = published.model_copy(update={"source": "file:/srv/own/{symbol}.csv"})
    details = []
    for settings in (with_file, published):
        with LocalClient(create_app(settings)) as client:
            answer = client.post("/train", json={"symbol": "KO", "source": named})
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_name")
        details.append(answer.json()["detail"])
    assert '"source": "file"' in details[0]
    assert "CLOSECAST_SOURCE=file:URL" in details[1]
    for detail in details:
        assert "unknown" not in detail
        assert "cannot name a file" in detail


@pytest.mark.parametrize("named", ["yahoo:split", "sample:x"])
def test_a_variant_that_a_source_lacks_is_named_and_not_the_source(
    client: TestClient, named: str
) -> None:
    detail = client.post("/train", json={"source": named}).json()["detail"]
    name, _, variant = named.partition(":")
    assert detail.startswith(f"the price source '{name}' has no variant '{variant}'; valid: ")


def test_a_source_may_be_written_in_capitals_and_a_misspelt_one_names_the_nearest(
    client: TestClient,
) -> None:
    right = client.post("/train", json={"source": " Sample "})
    wrong = client.post("/train", json={"source": "yaho"})
    assert right.json()["request"]["source"] == "sample"
    assert wrong.json()["detail"].endswith("did you mean 'yahoo'?")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_cannot_retrain(client: TestClient, site: str) -> None:
    answer = client.post("/train", headers={"sec-fetch-site": site})
    assert answer.status_code == 403
    assert answer.json()["code"] == "cross_site_request"
    assert client.post("/train", headers={"sec-fetch-site": "same-origin"}).status_code == 202


def test_without_torch_the_answer_names_the_other_image(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor.importlib.util, "find_spec", lambda name: None)
    answer = client.post("/train", json={})
    assert answer.status_code == 503
    assert answer.json()["code"] == "training_unavailable"
    assert "--target train" in answer.json()["detail"]


# -- configuration ------------------------------------------------------------------------------


def test_configuration_is_used_by_the_next_training(client: TestClient) -> None:
    client.post("/config", json={"hyperparameters": {"hidden_size": 32, "num_epochs": 7}})
    asked = {"hyperparameters": {"num_epochs": 9}}
    used = client.post("/train", json=asked).json()["request"]["hyperparameters"]
    assert (used["hidden_size"], used["num_epochs"]) == (32, 9)


def test_an_unnamed_training_takes_the_configuration_of_the_default_symbol(
    client: TestClient,
) -> None:
    """Also where the default symbol's model is one of a panel, and not its first symbol."""
    client.post("/config", json={"hyperparameters": {"hidden_size": 32}})
    job = client.post("/train", json={"hyperparameters": {"num_epochs": 3}}).json()
    assert job["request"]["hyperparameters"]["hidden_size"] == 32


def test_a_former_name_of_a_forecaster_is_understood(published: Settings) -> None:
    """``random_walk_drift`` was called ``drift``; a configuration of then may be stored."""
    app = create_app(published)
    with LocalClient(app) as client:
        app.state.service.database.configurations.store("MSFT", {"forecaster": "drift"}, 0)
        assert client.get("/config?symbol=MSFT").json()["forecaster"] == "random_walk_drift"
        changed = client.post("/config?symbol=KO", json={"forecaster": "drift"})
        assert changed.json()["forecaster"] == "random_walk_drift"
        for body in ({"symbol": "MSFT"}, {"symbol": "JPM", "forecaster": "drift"}):
            job = client.post("/train", json=body)
            assert job.status_code == 202, job.text
            assert job.json()["request"]["forecaster"] == "random_walk_drift"


def test_a_forecaster_that_was_chosen_is_not_left_by_a_slip(client: TestClient) -> None:
    client.post("/config", json={"forecaster": "mlp", "hyperparameters": {}})
    answer = client.post("/config", json={"hyperparameters": {"num_layers": 1}})
    assert answer.status_code == 422
    assert "unknown to mlp" in answer.json()["detail"]


def test_configuration_adds_up_and_null_goes_back_to_the_default(client: TestClient) -> None:
    client.post("/config", json={"hyperparameters": {"hidden_size": 32, "dropout": 0.2}})
    answer = client.post("/config", json={"hyperparameters": {"dropout": None, "num_epochs": 5}})
    assert answer.json()["changed"] == {"hidden_size": 32, "num_epochs": 5}
    assert answer.json()["hyperparameters"]["dropout"] == 0.1
    assert answer.json()["revision"] == 2


def test_an_unknown_name_is_refused_even_to_forget_it(client: TestClient) -> None:
    assert client.post("/config", json={"hyperparameters": {"epochs": None}}).status_code == 422


def test_symbols_are_configured_apart(client: TestClient) -> None:
    client.post("/config?symbol=vale3", json={"hyperparameters": {"hidden_size": 32}})
    assert client.get("/config?symbol=VALE3.SA").json()["changed"] == {"hidden_size": 32}
    assert client.get("/config").json()["changed"] == {}


def test_two_changes_at_once_are_both_kept(client: TestClient) -> None:
    changes = [{"hidden_size": 32}, {"dropout": 0.2}, {"num_epochs": 5}, {"num_layers": 1}] * 3
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda c: client.post("/config", json={"hyperparameters": c}), changes)
        )
    assert {a.status_code for a in answers} == {200}
    kept = client.get("/config").json()
    assert kept["changed"] == {"hidden_size": 32, "dropout": 0.2, "num_epochs": 5, "num_layers": 1}
    assert kept["revision"] == 12


def test_the_etag_guards_against_lost_updates(client: TestClient) -> None:
    tag = client.get("/config").headers["etag"]
    change = {"hyperparameters": {"num_epochs": 5}}
    assert client.post("/config", json=change, headers={"if-match": tag}).status_code == 200
    late = client.post("/config", json=change, headers={"if-match": tag})
    assert late.status_code == 412
    assert late.json()["code"] == "precondition_failed"
    assert client.post("/config", json=change, headers={"if-match": "*"}).status_code == 200
    assert client.post("/config", json=change, headers={"if-match": '"x", "2"'}).status_code == 200
    assert client.get("/config").json()["revision"] == 3


def test_configuration_survives_a_restart(published: Settings) -> None:
    with LocalClient(create_app(published)) as first:
        first.post("/config", json={"hyperparameters": {"num_epochs": 5}})
    with LocalClient(create_app(published)) as second:
        assert second.get("/config").json()["changed"] == {"num_epochs": 5}


# -- a broken ledger ----------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["garbage", "folder"])
def test_with_a_broken_ledger_predictions_go_on(published: Settings, damage: str) -> None:
    from tests.api.test_predict import WINDOW

    place = published.data_dir / "ledger.sqlite"
    for file in place.parent.glob("ledger.sqlite*"):
        file.unlink()
    place.mkdir() if damage == "folder" else place.write_bytes(b"not a database" * 1000)
    with LocalClient(create_app(published), raise_server_exceptions=False) as client:
        assert client.post("/predict", json={"prices": WINDOW}).status_code == 200
        answer = client.post("/train", json={})
        assert answer.status_code == 503
        assert answer.json()["code"] == "storage_failed"
        assert int(answer.headers["retry-after"]) > 0
        assert client.get("/health").json()["status"] == "degraded"
