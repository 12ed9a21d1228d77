"""The command line: one clear line and an exit code, never a traceback."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from closecast.cli.main import main
from closecast.settings import as_environment
from tests.conftest import settings_in


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in as_environment(settings_in(tmp_path)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def message_of(*arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, str)  # printed to standard error, status 1
    return ended.value.code


def test_a_taken_port_is_said_before_anything_starts(here: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = message_of("serve", "--port", str(port))
    assert f"{port} is taken" in message
    assert "--port" in message


def test_an_impossible_setting_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSECAST_PORT", "99999")
    assert "CLOSECAST_PORT" in message_of("serve")


def test_an_unknown_symbol_lists_what_there_is(here: Path) -> None:
    message = message_of("train", "--symbol", "ACME", "--forecaster", "ewma")
    assert "the sample has no ACME" in message
    assert "MSFT" in message


@pytest.mark.parametrize("command", ["train", "worker"])
def test_where_training_is_not_installed_the_other_image_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "--target train" in message_of(command)


def test_an_unwritable_place_is_said_and_nothing_is_left(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "models").write_text("a file where the folder should be")
    message = message_of("train", "--symbol", "MSFT", "--forecaster", "ewma")
    assert re.search("cannot (read|write)", message)
    assert str(here / "models") in message
    assert (here / "models").read_text() == "a file where the folder should be"


def test_the_command_starts_without_anything_that_only_training_needs() -> None:
    blocked = ["tqdm", "torch", "pandas", "mlflow", "scipy", "sklearn", "joblib", "matplotlib"]
    program = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({blocked}))\n"
        "import closecast.cli.main, api.main\n"
        "closecast.cli.main.main(['serve', '--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_interrupted_first_training_is_taken_up_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["train", "--forecaster", "ewma", "--symbol", "KO"])  # as if killed before the network
    with pytest.MonkeyPatch.context() as patch:
        ran = []
        patch.setattr("closecast.pipeline.run_training", lambda *a, **k: ran.append(a) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main(["train", "--symbol", "KO", "--if-missing"])
    assert ran


def test_results_that_cannot_be_written_promote_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "results").write_text("a file where the folder should be")
    assert "cannot write" in message_of("train", "--forecaster", "ewma", "--symbol", "KO")
    assert not (here / "models" / "current" / "KO.json").exists()


def test_training_prints_the_table_with_naive_beside(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["train", "--forecaster", "ewma", "--symbol", "KO"])
    printed = capsys.readouterr().out
    assert "naive" in printed
    assert "CRPS/naive" in printed
    main(["train", "--forecaster", "ewma", "--symbol", "KO", "--if-missing"])
    assert "has a model already" in capsys.readouterr().out
