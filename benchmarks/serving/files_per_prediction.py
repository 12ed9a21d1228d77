"""Count the files of closecast that one ``POST /predict`` of 60 bare closes runs through.

``python -m benchmarks.serving.files_per_prediction [--most 30]``

A model is trained and published in a temporary folder, and the real application answers in this
process. One request warms it up; during the next, every call of a Python function of ``src`` and
``api`` is recorded, on the event loop and on threads that requests are handed to. Prints how many
files they stand in, and the files in the order in which they are first entered. Exit status 1 if
they are more than ``--most``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any

from api.main import create_app
from benchmarks.serving.load import ROOT
from benchmarks.serving.served_model import asked_windows, trained
from closecast.settings import Settings

MOST = 34
"""30, and four of the front door: route templates, hosts, sites, windows cut to the model."""

_BACKGROUND = ("pointer-follower", "fleet-reporter", "prediction-log", "machine", "supervisor")
"""Names of threads that run beside all requests: their calls belong to no prediction."""


class CallRecorder:
    """Record every function of ours that is called, and the file that it stands in.

    Attributes
    ----------
    files : dict of str to None
        Paths below the repository, in the order in which they were first entered.
    functions : set of (str, str)
        File and qualified name.
    changes : int
        Calls into another file than the call before.
    is_on : bool
        Whether calls are recorded, beyond being seen.
    """

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self.functions: set[tuple[str, str]] = set()
        self.changes = 0
        self._before = ""
        self._own = (f"{ROOT / 'api'}/", f"{ROOT / 'src'}/")
        self.is_on = False

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        if not self.is_on or threading.current_thread().name.startswith(_BACKGROUND):
            return
        path = frame.f_code.co_filename
        if event != "call" or not path.startswith(self._own):
            return
        name = str(Path(path).relative_to(ROOT))
        self.files[name] = None
        self.functions.add((name, frame.f_code.co_qualname))
        self.changes += name != self._before
        self._before = name

    @contextmanager
    def installed(self) -> Iterator[None]:
        """See the calls of this thread, and of threads that are started meanwhile."""
        sys.setprofile(self)
        threading.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]


async def post(app: Any, state: dict[str, Any], body: bytes) -> int:
    """Send one ``POST /predict`` to an ASGI application; return the status."""
    sent: list[dict[str, Any]] = []
    headers = {"host": "127.0.0.1", "content-type": "application/json"}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/predict",
        "raw_path": b"/predict",
        "root_path": "",
        "query_string": b"",
        "headers": [
            *((name.encode(), value.encode()) for name, value in headers.items()),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8_000),
        "state": state,
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return int(sent[0]["status"])


def service_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from the variables that a service would find in its environment."""
    named = {name.removeprefix("CLOSECAST_").lower(): v for name, v in environment.items()}
    own = {name: value for name, value in named.items() if name in Settings.model_fields}
    return Settings(**own, worker_enabled=False)  # type: ignore[arg-type]


async def record_prediction(settings: Settings) -> CallRecorder:
    """Record one prediction of a service with these settings, after another has warmed it up.

    Raises
    ------
    RuntimeError
        If the service does not answer with status 200.
    """
    recorder = CallRecorder()
    app = create_app(settings)
    warm, recorded = (json.dumps({"prices": w}).encode() for w in asked_windows(4)[1::2])
    with recorder.installed():
        async with app.router.lifespan_context(app) as state:
            await post(app, dict(state or {}), warm)
            await asyncio.sleep(0.1)  # for the closes in memory to count as old
            recorder.is_on = True
            status = await post(app, dict(state or {}), recorded)
            recorder.is_on = False
    if status != 200:
        raise RuntimeError(f"the prediction was answered with status {status}")
    return recorder


def main() -> int:
    """Print the files of one prediction; 1 if they are too many."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--most", type=int, default=MOST, help="files that are not too many")
    most = parser.parse_args().most
    with tempfile.TemporaryDirectory() as folder:
        with redirect_stdout(sys.stderr):
            served = trained(Path(folder), forecaster="mlp")
        recorder = asyncio.run(record_prediction(service_settings(served.environment)))
    count = len(recorder.files)
    print(
        f"{count} files (at most {most}), {len(recorder.functions)} functions, "
        f"{recorder.changes} changes of file"
    )
    for number, name in enumerate(recorder.files, 1):
        print(f"{number:3}  {name}")
    return int(count > most)


if __name__ == "__main__":
    sys.exit(main())
