"""Logs: one JSON object per line, or short lines on a terminal."""

from __future__ import annotations

import io
import json
import logging
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.infra.logging import REQUEST_ID, JsonFormatter, TextFormatter, set_up_logging
from closecast.infra.redaction import redacted
from tests.support.synthetic_prices import patiently

UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access")
OWN = {"time", "level", "logger", "message"}


def record(message: str, *args: object, exc_info: Any = None, **extra: object) -> logging.LogRecord:
    logger = logging.getLogger("closecast.made")
    return logger.makeRecord(
        logger.name, logging.WARNING, __file__, 1, message, args, exc_info, extra=extra
    )


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def line(*args: Any, **extra: Any) -> dict[str, Any]:
    """What a reader of the log gets from a record."""
    written = JsonFormatter().format(record(*args, **extra))
    assert "\n" not in written
    parsed = json.loads(written, parse_constant=refuse)
    assert isinstance(parsed, dict)
    return parsed


# -- a line -------------------------------------------------------------------------------------


def test_a_line_says_when_how_grave_where_and_what() -> None:
    made = record("model %s: %.2f", "v1", 0.126)
    made.created = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC).timestamp()
    assert json.loads(JsonFormatter().format(made)) == {
        "time": "2026-01-02T03:04:05.678+00:00",
        "level": "WARNING",
        "logger": "closecast.made",
        "message": "model v1: 0.13",
    }


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
texts = st.text().filter(lambda text: redacted(f'"{text}": 1') == f'"{text}": 1')
json_values = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@patiently
@given(message=texts, value=json_values)
def test_any_message_and_any_json_extra_come_back_from_one_line(message: str, value: Any) -> None:
    got = line("%s", message, detail=value)
    assert got["message"] == message
    assert got["detail"] == value
    assert got.keys() == OWN | {"detail"}


@pytest.mark.parametrize("name", ["PWD", "token", "db_password", "api-key"])
@given(value=json_values)
def test_a_member_named_like_a_secret_is_hidden_and_the_line_stays_json(
    name: str, value: Any
) -> None:
    got = line("settings", detail={name: value, "beside": [3, {name: value}]})
    assert got["detail"] == {name: "***", "beside": [3, {name: "***"}]}
    assert line("settings", **{name: value})[name] == "***"


@given(text=st.text())
def test_a_line_with_a_secret_in_its_message_stays_json(text: str) -> None:
    for sign in ('"token": ', "password=", '{"secret": [', "\\"):
        line("%s", f"{text}{sign}{text}", detail={text: f"{sign}{text}"})


def test_text_stays_readable() -> None:
    assert "não é pregão" in JsonFormatter().format(record("não é pregão"))


def test_an_exception_is_a_member_with_its_traceback() -> None:
    try:
        raise ValueError("não\nserve")
    except ValueError:
        got = line("failed", exc_info=sys.exc_info())
    assert got["exception"].startswith("Traceback (most recent call last):")
    assert got["exception"].endswith("ValueError: não\nserve")


def test_without_an_exception_there_is_no_such_member() -> None:
    assert line("fine").keys() == OWN


def test_uvicorns_coloured_copy_of_the_message_is_left_out() -> None:
    assert line("started", color_message="\x1b[1mstarted").keys() == OWN


@pytest.mark.parametrize("name", ["time", "level", "logger"])
def test_an_extra_does_not_replace_what_a_line_says_itself(name: str) -> None:
    got = line("drift", **{name: "fault"})
    assert got.keys() == OWN
    assert got[name] != "fault"


# -- extras that are no JSON --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Path("/models"), "/models"),
        (date(2026, 1, 2), "2026-01-02"),
        (ValueError("because"), "because"),
        ((1, 2), [1, 2]),
        ({"a": Path("b")}, {"a": "b"}),
        ({1: "a"}, {"1": "a"}),
    ],
    ids=repr,
)
def test_what_is_no_json_is_written_as_text(value: object, written: object) -> None:
    assert line("m", detail=value)["detail"] == written


class _Shy:
    def __str__(self) -> str:
        raise RuntimeError("no text for you")

    def __repr__(self) -> str:
        return "Shy()"


_CIRCLE: list[object] = []
_CIRCLE.append(_CIRCLE)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), "nan"),
        (-float("inf"), "-inf"),
        ([1.0, float("nan")], "[1.0, nan]"),
        ({("MSFT", 1): 2}, "{('MSFT', 1): 2}"),
        (_CIRCLE, "[[...]]"),
        (_Shy(), "Shy()"),
    ],
    ids=repr,
)
def test_one_extra_that_cannot_be_written_costs_neither_the_line_nor_the_others(
    value: object, written: str
) -> None:
    got = line("m", detail=value, other=[1, 2])
    assert (got["detail"], got["other"], got["message"]) == (written, [1, 2], "m")


# -- short lines --------------------------------------------------------------------------------


def text(*args: Any, **extra: Any) -> str:
    return TextFormatter().format(record(*args, **extra))


def test_a_short_line_holds_time_level_message_and_three_fields() -> None:
    made = record("not promoted", symbol="KO", version="v1", reason="too few days", pid=3)
    made.created = datetime(2026, 1, 2, 3, 4, 5).timestamp()
    assert TextFormatter().format(made) == (
        '03:04:05 WARNING not promoted  symbol=KO version=v1 reason="too few days"'
    )


def test_a_request_is_shown_without_its_identifier() -> None:
    extra = {"request_id": "r1", "method": "GET", "path": "/model", "status": 200, "ms": 1.25}
    assert text("request", **extra).endswith("request  method=GET path=/model status=200 ms=1.25")


def test_long_lists_are_shortened_and_counts_are_shown() -> None:
    line = text("gate decided", decisions=[{}] * 20, outcomes={"promoted": 12, "kept": 8})
    assert line.endswith("gate decided  outcomes=promoted:12,kept:8")
    assert text("m", symbols=list("ABCDEFGH")).endswith("m  symbols=A,B,C,D,E,and 3 more")
    assert text("m", reason=None).endswith("m"), "a field without a value is left out"


def test_control_characters_cannot_forge_lines_or_move_the_cursor() -> None:
    line = text("closes of %s", "KO\n03:04:05 ERROR forged", path="/\x1b[2J\r")
    assert line.isprintable()
    assert "\\x1b[2J\\r" in line


def test_a_traceback_follows_a_short_line() -> None:
    try:
        raise ValueError("not \x1b[2J valid")
    except ValueError:
        first, second, *_, last = text("failed", exc_info=sys.exc_info()).split("\n")
    assert first.endswith("failed")
    assert second.startswith("Traceback (most recent call last):")
    assert last == "ValueError: not \\x1b[2J valid"


def test_a_field_that_cannot_be_written_does_not_cost_a_short_line() -> None:
    assert text("m", detail=_Shy(), other=[float("nan")]).endswith("m  detail=Shy() other=nan")


def test_lines_of_a_request_carry_its_identifier_in_json() -> None:
    token = REQUEST_ID.set("r1")
    try:
        assert line("m")["request_id"] == "r1"
    finally:
        REQUEST_ID.reset(token)


# -- the set-up ---------------------------------------------------------------------------------


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines on standard error; nothing may be on standard output."""
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("DEBUG", ["d", "i", "w", "e"]),
        ("INFO", ["i", "w", "e"]),
        ("WARNING", ["w", "e"]),
        ("ERROR", ["e"]),
    ],
)
def test_lines_from_a_level_on_go_to_standard_error(
    capsys: pytest.CaptureFixture[str], level: str, shown: list[str]
) -> None:
    set_up_logging(level)
    log = logging.getLogger("closecast.made")
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")
    assert [line["message"] for line in written(capsys)] == shown


def test_setting_up_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    set_up_logging()
    logging.getLogger("closecast.made").info("once", extra={"symbol": "MSFT"})
    [got] = written(capsys)
    assert (got["message"], got["symbol"]) == ("once", "MSFT")


def test_uvicorn_writes_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for name in UVICORN:  # as uvicorn leaves them
        logging.getLogger(name).addHandler(logging.StreamHandler(sys.stdout))
        logging.getLogger(name).propagate = False
    set_up_logging()
    for name in UVICORN:
        logging.getLogger(name).warning("from %s", name)
    assert [(got["logger"], got["message"]) for got in written(capsys)] == [
        (name, f"from {name}") for name in UVICORN
    ]


def test_uvicorn_does_not_repeat_each_request(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("DEBUG")
    logging.getLogger("uvicorn.access").info('"GET /health HTTP/1.1" 200')
    assert written(capsys) == []


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("log_format", "terminal", "short"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("json", True, False),
        ("text", False, True),
    ],
)
def test_the_format_follows_the_setting_and_the_terminal(
    monkeypatch: pytest.MonkeyPatch, log_format: Any, terminal: bool, short: bool
) -> None:
    stream = _Screen() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    set_up_logging("INFO", log_format)
    logging.getLogger("closecast.made").info("model loaded", extra={"symbol": "KO"})
    got = stream.getvalue()
    assert ("INFO    model loaded  symbol=KO\n" in got) is short
    assert got.startswith("{") is not short
    # On a terminal a line takes the place of a progress bar, which is drawn anew below it.
    assert got.startswith("\r\x1b[K") is (terminal and short)
