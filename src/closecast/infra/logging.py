"""Structured logging: one JSON object per line on standard error."""

from __future__ import annotations

import json
import logging
import math
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson

from closecast.infra.redaction import redacted

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered: every line that is logged meanwhile carries it."""

_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "color_message",
}
_PLAIN = (str, int, bool, type(None))


class JsonFormatter(logging.Formatter):
    """A record as a line of JSON without secrets; what was passed as ``extra`` becomes members."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if (request_id := REQUEST_ID.get()) is not None:
            line["request_id"] = request_id
        plain = True
        for name, value in vars(record).items():
            if name not in _RECORD_FIELDS:
                line.setdefault(name, value)  # an extra "level" does not change the line's own
                plain = plain and _is_plain(value)
        try:
            # orjson takes a quarter of the time, and would write NaN as null.
            return redacted(orjson.dumps(line).decode() if plain else _json(line))
        except Exception:  # one member that is no JSON must not cost the line
            return redacted(_json({name: _writable(value) for name, value in line.items()}))


def _is_plain(value: object) -> bool:
    kind = type(value)
    return kind in _PLAIN or (kind is float and math.isfinite(value))  # type: ignore[arg-type]


def _json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False, allow_nan=False)


def _writable(value: object) -> object:
    try:
        _json(value)
    except Exception:  # NaN, a key that is no text, a circle, a failing __str__
        return repr(value)
    return value


def set_up_logging(level: str = "INFO") -> None:
    """Send every logger of this process through :class:`JsonFormatter`.

    Uvicorn's own loggers are routed the same way, so one stream holds one format.
    """
    # No line tells of threads, processes and places in the code: what nobody reads need not be
    # found out each time.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # documented; only the name looks private
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # The application logs each request itself, with its id; uvicorn's line would repeat it.
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
