"""Logging to standard error: short lines on a terminal, one JSON object per line elsewhere."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import orjson
from pythonjsonlogger.core import RESERVED_ATTRS, BaseJsonFormatter

from closecast.infra.redaction import has_signs, redacted, without_secrets
from closecast.infra.trouble import Trouble

LogFormat = Literal["auto", "json", "text"]

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Identifier of the request that is being answered; every line logged meanwhile carries it."""

_OWN_MEMBERS = {"asctime": "time", "levelname": "level", "name": "logger", "message": "message"}
_RENAMED = {"exc_info": "exception", "stack_info": "stack"}
_NOT_EXTRA = frozenset({*RESERVED_ATTRS, *_OWN_MEMBERS.values(), "color_message"})
_PLAIN = (str, int, bool, type(None))

_SHOWN = 3
_SHOWN_FIRST = ("symbol", "symbols", "version", "outcomes", "task", "reason")
"""Fields that a line on a terminal shows before others."""
_SHOWN_OF_A_MESSAGE: dict[str, tuple[str, ...]] = {
    "request": ("method", "path", "status", "ms"),
    "gate decided": ("version", "outcomes"),
}
_LONGEST_LIST = 5
_ERASE_LINE = "\r\x1b[K"
"""Removes a progress bar, which is drawn anew below the line of the log."""


class JsonFormatter(BaseJsonFormatter):
    """Formats a record as one line of JSON without secrets; ``extra`` fields become members."""

    def __init__(self) -> None:
        super().__init__(list(_OWN_MEMBERS))

    def formatTime(  # noqa: N802
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        # The inherited loop over all attributes takes as long as everything else together, once
        # per request.
        for attribute, member in _OWN_MEMBERS.items():
            log_data[member] = getattr(record, attribute)
        log_data |= {_RENAMED.get(name, name): value for name, value in message_dict.items()}
        if (request_id := REQUEST_ID.get()) is not None:
            log_data["request_id"] = request_id
        extra = {name: value for name, value in vars(record).items() if name not in _NOT_EXTRA}
        log_data |= extra

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        line = self._dumped(log_data)
        # Searching one text is cheaper than each member, and most lines have no sign of a secret.
        return self._dumped(without_secrets(json.loads(line))) if has_signs(line) else line

    def _dumped(self, log_data: dict[str, Any]) -> str:
        try:
            # orjson takes a quarter of the time, and would write NaN as null.
            plain = all(map(_is_plain, log_data.values()))
            return orjson.dumps(log_data).decode() if plain else _json(log_data)
        except Exception:  # one member that is no JSON must not cost the line
            return _json({name: _writable(value) for name, value in log_data.items()})


class TextFormatter(logging.Formatter):
    """Formats a record as a short line: time, level, message and up to three fields.

    Fields are shown as ``name=value``; all of them are only in the JSON format. Tracebacks follow
    on lines of their own.

    Parameters
    ----------
    erases_line : bool
        Remove the text of the terminal's current line first, such as a progress bar.
    """

    def __init__(self, *, erases_line: bool = False) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
        self._start = _ERASE_LINE if erases_line else ""

    def format(self, record: logging.LogRecord) -> str:
        return self._start + redacted(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        fields = _shown_fields(record)
        line = "  ".join([super().formatMessage(record), *([" ".join(fields)] if fields else [])])
        return _printable(line)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(map(_printable, super().formatException(ei).split("\n")))


def _shown_fields(record: logging.LogRecord) -> list[str]:
    """The fields of a record that matter most to a reader, as ``name=value``."""
    hidden = _NOT_EXTRA | {"request_id"}
    extra = {n: v for n, v in vars(record).items() if n not in hidden and v is not None}
    names = _SHOWN_OF_A_MESSAGE.get(record.getMessage())
    if names is None:
        first = [name for name in _SHOWN_FIRST if name in extra]
        names = tuple([*first, *(name for name in extra if name not in first)][:_SHOWN])
    return [f"{name}={_short(extra[name])}" for name in names if name in extra]


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{_short(one)}" for key, one in value.items())
    if isinstance(value, (list, tuple)):
        more = len(value) - _LONGEST_LIST
        shown = ",".join(_short(one) for one in value[:_LONGEST_LIST])
        return shown + (f",and {more} more" if more > 0 else "")
    text = str(_writable(value)) if not isinstance(value, str) else value
    return f'"{text}"' if " " in text else text


def _printable(line: str) -> str:
    """A line whose control characters are escaped, since a request may contain some."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


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


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to standard error, and remembers whether the last line could be written."""

    failure: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        type(self).failure = None
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        # The inherited one prints a traceback to the very stream that cannot be written.
        type(self).failure = repr(sys.exc_info()[1])


def log_trouble() -> Trouble | None:
    """Trouble of the log; ``None`` while its lines can be written."""
    if _Handler.failure is None:
        return None
    return Trouble(
        "log_failing",
        f"the last line of the log could not be written: {_Handler.failure}",
        "Free space where standard error leads to, or start the program that reads it again",
    )


def set_up_logging(level: str = "INFO", log_format: LogFormat = "auto") -> None:
    """Send the records of every logger of this process to standard error in one format.

    Uvicorn's own loggers are routed the same way.

    Parameters
    ----------
    log_format : {"auto", "json", "text"}
        ``auto`` is ``text`` where standard error is a terminal, and ``json`` elsewhere.
    """
    # No line mentions threads, processes and places in the code, so none is looked up.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # documented; only the name looks private
    handler = _Handler(sys.stderr)
    terminal = sys.stderr.isatty()
    if log_format == "text" or (log_format == "auto" and terminal):
        handler.setFormatter(TextFormatter(erases_line=terminal))
    else:
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
