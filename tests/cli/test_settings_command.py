"""``closecast settings``, and starts that settings forbid."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from closecast.cli.main import main
from closecast.infra.api_keys import KeyStore
from closecast.settings import Settings


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CLOSECAST_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.environ", {**os.environ})  # which `closecast serve` adds to


def test_every_setting_is_shown_with_value_source_and_meaning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".env").write_text("CLOSECAST_WORKERS=3\nCLOSECAST_PORT=9000\n")
    monkeypatch.setenv("CLOSECAST_PORT", "9100")
    main(["settings"])
    shown = capsys.readouterr().out
    for name, field in Settings.model_fields.items():
        assert f"  CLOSECAST_{name.upper()} = " in shown
        assert str(field.description).split(maxsplit=1)[0] in shown
    assert "CLOSECAST_WORKERS = 3  [.env]" in shown
    assert "CLOSECAST_PORT = 9100  [environment]" in shown
    assert "CLOSECAST_HOST = 127.0.0.1  [default]" in shown


def test_changed_settings_alone_are_shown_and_passwords_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLOSECAST_LEDGER_URL", "postgresql://ann:s3cr3t@db/ledger")
    main(["settings", "--changed"])
    shown = capsys.readouterr().out
    assert "CLOSECAST_LEDGER_URL = postgresql://***@db/ledger  [environment]" in shown
    assert "s3cr3t" not in shown
    assert "CLOSECAST_PORT" not in shown


def test_a_typing_error_is_a_warning_of_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLOSECAST_WORKER", "2")
    main(["settings", "--changed"])
    assert "CLOSECAST_WORKER is no setting; CLOSECAST_WORKERS?" in capsys.readouterr().err


def test_a_key_file_that_is_named_and_missing_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLOSECAST_API_KEYS_FILE", str(tmp_path / "keys.json"))
    with pytest.raises(SystemExit) as ended:
        main(["serve"])
    assert "CLOSECAST_API_KEYS_FILE names" in str(ended.value)
    assert "\n" not in str(ended.value)


def test_a_first_key_makes_the_file_that_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "secrets" / "keys.json"
    monkeypatch.setenv("CLOSECAST_API_KEYS_FILE", str(path))
    main(["keys", "create", "ops", "--scope", "admin"])
    store = KeyStore(path)
    store.load(required=True)
    assert store.are_there


@pytest.mark.parametrize(
    ("host", "keys", "warned"),
    [
        ("0.0.0.0", False, True),
        ("::", False, True),
        ("127.0.0.1", False, False),
        ("0.0.0.0", True, False),
    ],
)
def test_serving_a_network_without_keys_is_one_warning(
    host: str,
    keys: bool,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if keys:
        KeyStore(Settings().keys_path).create("ops", "admin")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setattr("closecast.cli.serve.serve_alone", lambda _, listener, __: listener.close())
    main(["serve", "--host", host, "--port", str(port)])
    assert capsys.readouterr().err.count("no API keys") == warned
