"""An application on a real socket of 127.0.0.1, in a thread of the test's process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI


@contextmanager
def live_server(app: FastAPI) -> Iterator[str]:
    """The address of ``app`` while it is served on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    protocol = "api.server.waiting:Waiting"  # as `closecast serve` has it
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, ws="none", http=protocol)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
