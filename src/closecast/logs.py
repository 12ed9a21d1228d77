"""Structured logging: one JSON object per line on standard error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from closecast.redaction import redacted

_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "color_message",
}


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
        for name, value in vars(record).items():
            if name not in _RECORD_FIELDS:
                line.setdefault(name, value)  # an extra "level" does not change the line's own
        try:
            return redacted(_json(line))
        except Exception:  # one member that is no JSON must not cost the line
            return redacted(_json({name: _writable(value) for name, value in line.items()}))


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
