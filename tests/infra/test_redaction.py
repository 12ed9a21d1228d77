"""What is hidden in logs and errors, and what is not."""

from __future__ import annotations

import ast
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.infra import redaction
from closecast.infra.logging import JsonFormatter, TextFormatter
from closecast.infra.redaction import redacted, secrets_in
from tests.support.synthetic_prices import patiently

SECRET = "s3cr3t-V4lue"
TOKEN = "closecast_" + "aB3-_" * 8

SHOWN_WITH_A_SECRET = [
    f"postgresql://ann:{SECRET}@db:5432/ledger",
    f"postgresql+psycopg://ann:{SECRET}@db/ledger?sslmode=require",
    f"cannot reach 'https://ann:{SECRET}@mlflow/': refused",
    f"http://:{SECRET}@host/",
    f"https://{SECRET}@host/models",
    f"redis://ann:with/{SECRET}@x@host",
    f"Authorization: Bearer {SECRET}abcdef",
    f"authorization: bearer {TOKEN}",
    f"X-API-Key: {TOKEN}",
    f"x-api-key={SECRET}",
    f"{{'x-api-key': '{SECRET}'}}",
    json.dumps({"aws_secret_access_key": SECRET}),
    json.dumps({"said": json.dumps({"password": SECRET})}),
    f"AWS_SECRET_ACCESS_KEY={SECRET}",
    f"AWS_SESSION_TOKEN={SECRET} python",
    f"https://bucket/key?X-Amz-Signature={SECRET}&X-Amz-Date=1",
    f"https://bucket/key?X-Amz-Security-Token={SECRET}",
    f"https://host/data.csv?api_key={SECRET}",
    f"/predict?token={SECRET}",
    f"unknown key {TOKEN} in a sentence",
]


@pytest.mark.parametrize("text", SHOWN_WITH_A_SECRET)
def test_a_secret_is_hidden(text: str) -> None:
    hidden = redacted(text)
    assert SECRET not in hidden
    assert TOKEN not in hidden
    assert "***" in hidden
    assert redacted(hidden) == hidden


@pytest.mark.parametrize("text", SHOWN_WITH_A_SECRET)
def test_it_is_hidden_wherever_it_is_in_a_line_of_the_log(text: str) -> None:
    record = logging.makeLogRecord({"msg": text, "detail": {"in": [text]}})
    line = JsonFormatter().format(record)
    assert SECRET not in line
    assert TOKEN not in line
    json.loads(line)
    short = TextFormatter().format(record)
    assert SECRET not in short
    assert TOKEN not in short


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/forecast/MSFT?horizon=5",
        "s3://bucket/models/current/MSFT.json",
        "sqlite:///data/ledger.sqlite",
        "mail ann@example.org, see https://example.org/a",
        "the key ops may read; POST /train needs one with the scope admin",
        "closecast keys create ops",
        "closecast.access",
        "closecast_requests_total and closecast_models_refused",
        "Idempotency-Key monday",
        "20260102T030405Z-0a1b2c3d",
        "no model for MSFT yet: train one with `make serve`",
        "the tokens differ, and the passwords do",
        "send `Authorization: Bearer KEY` or `X-API-Key: KEY`",
        "curl -H 'X-API-Key: KEY' /model",
        "password=PASSWORD",
        json.dumps({"said": json.dumps({"token": "TOKEN"})}),
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "secret",
    ["KEY2", "KEY-1", "KEYring", "key", "secret", "SECRETS", "PASSWORD!", "TOKEN.", "KEY`s3cr3t"],
)
def test_a_secret_that_begins_like_a_placeholder_is_hidden(secret: str) -> None:
    assert redacted(f"X-API-Key: {secret}") == "X-API-Key: ***"
    assert redacted(json.dumps({"token": f"{secret} and more"})) == '{"token": "***"}'


def test_no_sentence_of_ours_loses_a_word() -> None:
    """Examples of doctests show what is hidden; every other text is for people."""
    root = Path(__file__).parents[2]
    for path in (*root.glob("api/**/*.py"), *root.glob("src/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert ">>> " in node.value or redacted(node.value) == node.value, path


def test_around_a_secret_the_text_stays() -> None:
    assert redacted(f"cannot reach postgresql://ann:{SECRET}@db/l (refused), again in 2 s") == (
        "cannot reach postgresql://***@db/l (refused), again in 2 s"
    )


@patiently
@given(st.text(max_size=200))
def test_any_text_comes_back_and_twice_is_once(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    "part", ["a+", "a://", "a://b:", "key", "x:", '"', "-", "bearer ", "token='"]
)
def test_a_text_made_to_be_slow_to_search_comes_back(part: str) -> None:
    """In a process that can be ended: a search does not let go of Python's lock.

    A second is enough. What grows with the square of the length takes minutes.
    """
    program = (
        "import sys; from closecast.infra.redaction import redacted; "
        "redacted('token' + sys.argv[1] * 100_000)"
    )
    subprocess.run([sys.executable, "-c", program, part], check=True, timeout=60)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ('{"password": "correct horse battery"}', '{"password": "***"}'),
        ("password='correct horse' x='a b'", "password='***' x='a b'"),
        ('{"token": "it\'s mine", "a": "b"}', '{"token": "***", "a": "b"}'),
        (
            json.dumps({"said": json.dumps({"password": "correct horse", "a": "b"})}),
            json.dumps({"said": json.dumps({"password": "***", "a": "b"})}),
        ),
    ],
)
def test_inside_quotes_all_words_are_hidden(text: str, hidden: str) -> None:
    assert redacted(text) == hidden
    assert redacted(hidden) == hidden


def test_a_line_of_the_log_stays_json_whatever_is_quoted_in_it() -> None:
    for value in ('a "quoted" word', "back \\ slash", "ends \\", 'two "', "it's"):
        said = json.dumps({"password": value, "next": "one"})
        line = JsonFormatter().format(logging.makeLogRecord({"msg": said, "password": value}))
        assert json.loads(line)["level"]


# -- of the environment -------------------------------------------------------------------------


def test_values_of_variables_that_are_named_like_secrets_are_known() -> None:
    found = secrets_in(
        {
            "AWS_SECRET_ACCESS_KEY": "wJalr/EXAMPLE+key",
            "AWS_SESSION_TOKEN": "session-example",
            "PGPASSWORD": "hunter2hunter2",
            "CLOSECAST_LEDGER_URL": "postgresql://ann:p%40ss%2Fword@db/ledger",
            "PATH": "/usr/local/bin",
            "CLOSECAST_API_KEYS_FILE": "/data/api_keys.json",
            "SOME_TOKEN": "no",
            "PWD": "/srv/closecast",
            "OLDPWD": "/srv/elsewhere",
        }
    )
    assert set(found) == {
        *("wJalr/EXAMPLE+key", "session-example", "hunter2hunter2"),
        *("p%40ss%2Fword", "p@ss/word"),
    }


def test_they_are_hidden_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = 'odd "quoted" value'
    monkeypatch.setattr(
        redaction, "_of_this_process", lambda: secrets_in({"AWS_SECRET_ACCESS_KEY": secret})
    )
    assert redacted(f"signed by {secret}, refused") == "signed by ***, refused"
    assert "quoted" not in redacted(json.dumps({"reason": f"signed by {secret}"}))
