"""The service that is fuzzed: what it is started with, and what is watched besides its answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil
from fastapi import FastAPI

from api.main import create_app
from closecast.infra.api_keys import KeyStore
from closecast.infra.logging import JsonFormatter
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources import make_source
from tests.system.fuzz.making import Maker, bodies_of
from tests.system.fuzz.promises import Promises

SYMBOL = "MSFT"
_LENGTH = 60


@dataclass
class Fuzzed:
    """An application over trained models, with or without API keys.

    Attributes
    ----------
    window : list of float
        Closes that a normal request asks about.
    version : str
        The bundle that answers, before anything was sent.
    """

    app: FastAPI
    maker: Maker
    promises: Promises
    window: list[float]
    version: str
    admin: str | None

    @classmethod
    def over(cls, settings: Settings, seed: int, *, keys: bool) -> Fuzzed:
        """Trainings are queued, and nobody runs them: a fast double of the worker."""
        chosen = settings.model_copy(
            update={"rate_limit_train": "", "worker_enabled": False, "body_timeout_s": 1.0}
        )
        store = KeyStore(chosen.keys_path)
        tokens = []
        if keys:
            tokens = [store.create("admin", "admin"), store.create("reader", "read")]
        app = create_app(chosen)
        closes = make_source("sample", chosen).fetch(SYMBOL)
        window = closes.closes[-_LENGTH:].tolist()
        dates = [str(day) for day in closes.sessions[-_LENGTH:]]
        registry = Registry(chosen.models_url)
        pointer = registry.pointer(SYMBOL)
        assert pointer is not None
        versions = [manifest.version for manifest in registry.versions()]
        document = app.openapi()
        known = {
            "symbol": [SYMBOL, "AAPL", "msft"],
            "version": versions,
            "limit": ["1", "50"],
            "horizon": ["1", "10"],
            "levels": ["0.8", "0.5,0.99"],
            "kind": ["live", "replay"],
            "train": ["true", "false"],
            "from": ["2022-01-03T00:00:00Z"],
            "to": ["2032-01-03T00:00:00Z"],
            "before_id": ["5"],
        }
        root = Path(__file__).resolve().parents[3]
        secrets = [*tokens, str(chosen.data_dir), str(root), "site-packages", "Traceback"]
        return cls(
            app=app,
            maker=Maker(seed, document, bodies_of(window, dates, versions[-1]), known, tokens),
            promises=Promises(document, secrets),
            window=window,
            version=pointer.version,
            admin=tokens[0] if tokens else None,
        )

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Of a request that may do everything."""
        key = [(b"x-api-key", self.admin.encode())] if self.admin else []
        return [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json"), *key]


class LogListener(logging.Handler):
    """Formats every line as the service does; notes those that are no JSON, or tell a key."""

    def __init__(self, tokens: Iterable[str]) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self._tokens = [*tokens]
        self.broken: list[str] = []
        self.unexpected: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            json.loads(line)
        except Exception as error:
            self._note(self.broken, f"{type(error).__name__}: {record.msg!r:.200}")
            return
        if "\n" in line or any(token in line for token in self._tokens):
            self._note(self.broken, line[:500])
        if record.exc_info:
            self._note(self.unexpected, line[:4_000])

    @staticmethod
    def _note(lines: list[str], line: str) -> None:
        if len(lines) < 20:
            lines.append(line)


class MemoryWatch:
    """Resident memory of this process, measured every so often."""

    ROOM_BYTES = 96 * 2**20
    """That it may grow by after a tenth of the run; caches fill up to their limits."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.measured: list[int] = []

    def look(self) -> None:
        """Measure once."""
        self.measured.append(self._process.memory_info().rss)

    def grown(self) -> int:
        """Bytes, from the end of the first tenth to the largest after it."""
        begun = self.measured[len(self.measured) // 10 :]
        return max(begun) - begun[0] if begun else 0
