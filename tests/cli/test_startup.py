"""Starting to serve: refused in one line where nothing can come of it, else a first model."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from closecast.cli import startup as starting
from closecast.cli.main import main
from closecast.cli.startup import FirstTraining, check_start
from closecast.core.symbols import panel_name
from closecast.database import Database
from closecast.errors import ClosecastError, NoModel, TrainingUnavailable
from closecast.pipeline import TrainRequest
from closecast.settings import Settings, as_environment
from tests.conftest import settings_in


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    made = Database(settings.ledger_url)
    yield made
    made.close()


def environment_of(settings: Settings) -> dict[str, str]:
    return as_environment(settings)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"default_symbol": "no symbol!"}, "no symbol!"),
        ({"source": "abacus"}, "abacus"),
        ({"ledger_url": "nonsense"}, "CLOSECAST_LEDGER_URL"),
        ({"models_url": "nonsense://x"}, "CLOSECAST_MODELS_URL"),
        ({"models_url": "{folder}/a-file"}, "a-file"),
        ({"data_dir": "{folder}/a-file/data"}, "a-file"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_cannot_work_is_refused_with_its_name(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    (tmp_path / "a-file").write_text("no folder")
    changed = {name: value.format(folder=tmp_path) for name, value in changes.items()}
    with pytest.raises(ClosecastError, match=said) as caught:
        check_start(settings_in(tmp_path, **changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_that_cannot_work_ends_with_one_line(tmp_path: Path, workers: str) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    port = str(free_port())
    environment = environment_of(settings_in(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "closecast.cli", "serve", "--port", port, "--workers", workers],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("closecast: cannot read ")
    assert done.stdout == ""


_FAILS_IN_ITS_PROCESSES = """
import os, sys
from closecast.cli import serve
from closecast.cli.main import main

refuse = serve.check_start

def check_start(settings, **how):
    refuse(settings, **how)
    os.environ["CLOSECAST_DATA_DIR"] = "/dev/null/data"  # what the processes read

serve.check_start = check_start
main(sys.argv[1:])
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_start_that_fails_in_the_processes_is_no_success(
    settings: Settings, workers: str
) -> None:
    port = str(free_port())
    arguments = ["serve", "--port", port, "--workers", workers]
    done = subprocess.run(
        [sys.executable, "-c", _FAILS_IN_ITS_PROCESSES, *arguments],
        env={**os.environ, **environment_of(settings)},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode not in (0, -9), done.stderr[-2000:]


def test_without_a_model_a_service_starts_where_one_can_come_to_be(settings: Settings) -> None:
    check_start(settings)


def test_without_a_model_the_serving_image_does_not_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "can_train", lambda: False)
    with pytest.raises(NoModel, match=r"cannot train one.*--target train"):
        check_start(settings)


def test_where_nothing_can_be_trained_a_first_training_is_refused(
    published: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_start(published)
    with pytest.raises(TrainingUnavailable):
        check_start(published, trains=True)


def test_a_damaged_pointer_is_no_reason_not_to_start(published: Settings) -> None:
    (Path(published.models_url) / "current" / "MSFT.json").write_text("{}")
    check_start(published)


# -- the first training -------------------------------------------------------------------------


class Terminal:
    """What was printed."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, text: str) -> None:
        self.text += f"{text}\n"


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_LOOK_S", 0.02)


def first(settings: Settings, terminal: Terminal) -> FirstTraining:
    return FirstTraining(settings, ("KO", "MSFT"), terminal, lambda: "Serving KO with …")


def test_the_job_is_one_that_the_worker_understands(
    settings: Settings, database: Database, terminal: Terminal
) -> None:
    first(settings, terminal)
    [job] = database.jobs.newest()
    assert (job.task, job.state) == ("train", "queued")
    asked = TrainRequest.model_validate(dict(job.arguments))
    assert (asked.symbols, asked.source, asked.forecaster) == (("KO", "MSFT"), "sample", "mlp")


def test_a_training_that_waits_already_is_not_queued_again(
    settings: Settings, database: Database, terminal: Terminal
) -> None:
    first(settings, terminal)
    first(settings, terminal)
    assert len(database.jobs.newest()) == 1


def test_another_training_of_the_symbols_is_watched_instead(
    settings: Settings, database: Database, terminal: Terminal
) -> None:
    other, _ = database.jobs.submit("train", panel_name(("KO", "MSFT")), {"other": 1})
    made = first(settings, terminal)
    database.jobs.claim("me")
    database.jobs.finish(other.id, "me", "succeeded")
    made.run()
    assert "Serving KO" in terminal.text


def test_the_terminal_shows_the_stages_and_then_what_to_try(
    settings: Settings, database: Database, terminal: Terminal
) -> None:
    made = first(settings, terminal)
    made.start()
    claimed = database.jobs.claim("me")
    assert claimed is not None
    for stage in ("collect", "train"):
        database.jobs.heartbeat(claimed.id, "me", {"stage": stage, "percent": 10.0})
        while f"First training: {stage}, 10 %" not in terminal.text:
            assert made.is_alive()
    database.jobs.finish(claimed.id, "me", "succeeded")
    made.join()
    assert "Serving KO with" in terminal.text
    assert terminal.text.count("train, 10 %") == 1, "a line per stage, not one per look"


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_first_training_that_came_to_nothing_is_told_with_its_reason(
    settings: Settings, database: Database, terminal: Terminal, end: Any
) -> None:
    made = first(settings, terminal)
    claimed = database.jobs.claim("me")
    assert claimed is not None
    database.jobs.finish(claimed.id, "me", end, reason="no_prices: there are none")
    made.run()
    assert f"it has {end}: no_prices: there are none. Mend that" in terminal.text
    assert "Serving" not in terminal.text


def _serve_nothing(_: Settings, listener: socket.socket, __: object) -> None:
    listener.close()


def test_the_command_queues_only_what_is_missing(
    published: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment_of(published).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLOSECAST_PORT", str(free_port()))
    monkeypatch.setattr("closecast.cli.serve.serve_alone", _serve_nothing)
    database = Database(published.ledger_url)
    main(["serve", "--train-if-missing", "--symbols", "MSFT,AAPL"])
    assert database.jobs.newest() == []
    main(["serve", "--symbols", "KO"])
    assert database.jobs.newest() == []
    main(["serve", "--train-if-missing", "--symbols", "KO"])
    [job] = database.jobs.newest()
    assert job.symbol == "KO"
    database.jobs.cancel(job.id)  # or what watches it would go on beside the tests that follow
    for thread in threading.enumerate():
        if isinstance(thread, FirstTraining):
            thread.join()
    database.close()


@pytest.mark.parametrize("damaged", ["MSFT", "AAPL"])
def test_a_damaged_pointer_is_no_reason_to_train_first_and_none_not_to_serve(
    published: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damaged: str,
) -> None:
    (Path(published.models_url) / "current" / f"{damaged}.json").write_text("{}")
    for name, value in environment_of(published).items():
        monkeypatch.setenv(name, value)
    served: list[Any] = []

    def serve(settings: Settings, listener: socket.socket, _: object) -> None:
        served.append(settings)
        listener.close()

    monkeypatch.setenv("CLOSECAST_PORT", str(free_port()))
    monkeypatch.setattr("closecast.cli.serve.serve_alone", serve)
    main(["serve", "--train-if-missing", "--symbols", "MSFT,AAPL"])
    assert served
    said = "The model of MSFT cannot be shown: " if damaged == "MSFT" else "Serving MSFT with "
    assert said in capsys.readouterr().out
    database = Database(published.ledger_url)
    assert database.jobs.newest() == []
    database.close()


@pytest.mark.parametrize("source", ["sample", "yahoo"])
def test_a_process_that_trains_first_loads_nothing_that_only_training_needs(
    settings: Settings, source: str
) -> None:
    program = (
        "import sys, closecast.cli.main, closecast.cli.serve\n"
        "closecast.cli.serve.serve_alone = lambda _, listener, __: listener.close()\n"
        f"closecast.cli.main.main(['serve', '--port', '{free_port()}', '--train-if-missing'])\n"
        "names = {'torch', 'pandas', 'scipy', 'sklearn', 'mlflow', 'yfinance'}\n"
        "sys.exit(', '.join(names & set(sys.modules)) or None)"
    )
    environment = environment_of(settings.model_copy(update={"source": source}))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
