"""Count the files of closecast that one ``POST /predict`` of 60 bare closes runs through.

``python -m benchmarks.serving.files_per_prediction [--most 30]``

A model is trained and published in a temporary folder, and the real application answers in this
process. One request warms it up; during the next, every call of a Python function of ``src`` and
``api`` is recorded, on the event loop and on other threads. Prints the files in the order in
which they are first entered, and how many they are. Exit status 1 if they are more than ``--most``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.serving.load import ROOT
from benchmarks.serving.served_model import asked_windows, trained

MOST = 30


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
        path = frame.f_code.co_filename
        if not self.is_on or event != "call" or not path.startswith(self._own):
            return
        name = str(Path(path).relative_to(ROOT))
        self.files[name] = None
        self.functions.add((name, frame.f_code.co_qualname))
        self.changes += name != self._before
        self._before = name

    def install(self) -> None:
        """See the calls of this thread, and of all that are started from now on."""
        sys.setprofile(self)
        threading.setprofile(self)


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


async def record_prediction(environment: dict[str, str]) -> CallRecorder:
    """Record one prediction of a service with these settings, after another has warmed it up.

    Raises
    ------
    RuntimeError
        If the service does not answer with status 200.
    """
    from api.main import create_app
    from closecast.settings import Settings

    names = {name.removeprefix("CLOSECAST_").lower(): v for name, v in environment.items()}
    own = {name: value for name, value in names.items() if name in Settings.model_fields}
    recorder = CallRecorder()
    recorder.install()
    app = create_app(Settings(**own, worker_enabled=False))  # type: ignore[arg-type]
    warm, recorded = (
        json.dumps({"prices": w}).encode() for w in asked_windows(4)[::2]
    )  # real closes
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(app.router.lifespan_context(app))
        await post(app, dict(state), warm)
        await asyncio.sleep(0.2)  # for the thread that logs predictions
        recorder.is_on = True
        status = await post(app, dict(state), recorded)
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
        served = trained(Path(folder), forecaster="mlp")
        recorder = asyncio.run(record_prediction(dict(served.environment)))
    for number, name in enumerate(recorder.files, 1):
        print(f"{number:3}  {name}")
    count = len(recorder.files)
    print(
        f"{count} files (at most {most}), {len(recorder.functions)} functions, "
        f"{recorder.changes} changes of file"
    )
    return int(count > most)


if __name__ == "__main__":
    sys.exit(main())
