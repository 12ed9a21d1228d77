"""Secrets that a service starts with, or is sent, are in nothing that it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from closecast.infra.api_keys import KeyStore
from closecast.settings import Settings, as_environment
from tests.support.service_process import ServiceProcess

LEDGER, MODELS, MLFLOW, AWS, SESSION = (f"s3cr3t-{name}-9Xq" for name in "lmfas")
ENVIRONMENT = {
    "CLOSECAST_LEDGER_URL": f"postgresql://ann:{LEDGER}@127.0.0.1:9/ledger",
    "CLOSECAST_MLFLOW_TRACKING_URI": f"http://ann:{MLFLOW}@127.0.0.1:9",
    "AWS_SECRET_ACCESS_KEY": AWS,
    "AWS_SESSION_TOKEN": SESSION,
    "CLOSECAST_LOG_LEVEL": "DEBUG",
}
SECRETS = (LEDGER, MODELS, MLFLOW, AWS, SESSION)


def told(text: str, *more: str) -> list[str]:
    return [secret for secret in (*SECRETS, *more) if secret in text]


def test_a_service_tells_none_of_its_secrets_nor_those_of_its_callers(
    published: Settings, tmp_path: Path
) -> None:
    admin = KeyStore(published.keys_path).create("ops", "admin")
    wrong = "closecast_" + "Zz09-_" * 7
    service = ServiceProcess(published, tmp_path / "service.log", **ENVIRONMENT)
    answers = []
    try:
        for token in (admin, wrong):
            for headers in ({"authorization": f"Bearer {token}"}, {"x-api-key": token}):
                paths = ("/", "/health", "/model", "/train", f"/config?api_key={token}")
                answers += [service.http.get(path, headers=headers) for path in paths]
                answers.append(service.http.post("/train", json={}, headers=headers))
                answers.append(service.http.post("/predict", content="{", headers=headers))
        service.terminate()
    finally:
        service.stop()
    said = "".join(f"{answer.headers} {answer.text}" for answer in answers)
    assert {401, 503} <= {answer.status_code for answer in answers}, "the ledger does not answer"
    log = (tmp_path / "service.log").read_text()
    assert log.count("\n") > 20
    assert "the ledger postgresql" in said
    assert told(said, admin, wrong) == []
    assert told(log, admin, wrong) == []


WORKER, TRAIN = ("worker", "--once"), ("train", "--if-missing", "--symbol", "KO")


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        (WORKER, "LEDGER_URL", f"postgresql+nothing://ann:{LEDGER}@db/ledger"),
        (WORKER, "LEDGER_URL", f"postgresql://ann:{LEDGER}@db:port/ledger"),
        (WORKER, "LEDGER_URL", f"postgresql://ann:{LEDGER}@127.0.0.1:9/ledger"),
        (WORKER, "LEDGER_URL", f"not a url, yet with password={LEDGER}"),
        (TRAIN, "MODELS_URL", f"nothing://ann:{MODELS}@host/models"),
        (TRAIN, "MODELS_URL", f"ftp://ann:{MODELS}@127.0.0.1:9/models"),
        (TRAIN, "TRUSTED_PROXIES", f"http://ann:{MODELS}@proxy"),
    ],
)
def test_an_error_of_the_command_tells_none(
    settings: Settings, tmp_path: Path, command: tuple[str, ...], name: str, value: str
) -> None:
    chosen = as_environment(settings)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "closecast.cli", *command],
        env={**os.environ, **chosen, "AWS_SECRET_ACCESS_KEY": AWS, f"CLOSECAST_{name}": value},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert done.stderr
    assert told(done.stdout + done.stderr) == []
