"""Parsing large JSON a little at a time, so that others have their turn meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import ijson  # type: ignore[import-untyped]
import orjson
from fastapi.exceptions import RequestValidationError

try:
    _PARSER = ijson.get_backend("yajl2_c")
except ImportError:  # where its C code was not built: its Python takes seconds
    _PARSER = None

# Bytes. What is smaller is parsed in two milliseconds, by the faster parser.
_LARGE = 262_144
_PIECE = 8_192  # as many empty lists as it can hold take two milliseconds

# More than any batch of windows has, names that are said twice among it. To make more, or to let
# go of them, would hold the event loop; so would telling of each of thousands of unknown members.
_MOST_ITEMS = 4_096
_MOST_MEMBERS = 64
_MOST_CONTAINERS = 5 * 4_096
_FREED_AT_ONCE = 32

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_PLAINLY = {
    "premature EOF": "it ends too early",
    "trailing garbage": "something follows its end",
    "numeric (floating point) overflow": "a number is too large",
}


@asynccontextmanager
async def parsed(body: bytes) -> AsyncIterator[Any]:
    """What a body of JSON says; of a large one only until the end of the context.

    A large one is refused where it is as no batch of windows is: texts or white space of 8 kB,
    more lists and objects, or longer ones, than 4,096 windows need.

    Raises
    ------
    RequestValidationError
        If it is no JSON (``json_invalid``), or large and as no batch is.
    """
    if len(body) <= _LARGE or _PARSER is None:
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise _no_json(error.msg) from error
        yield said
        return
    builder = _Builder(_PARSER)
    try:
        for piece in _pieces(body):
            builder.feed(piece)
            await asyncio.sleep(0)
        yield builder.whole()
    finally:
        await builder.free()


def _pieces(body: bytes) -> Iterator[bytes]:
    """Each ends with a comma: so neither a number nor an escape in a string is cut."""
    first = 0
    while len(body) - first > _PIECE:
        end = body.rfind(b",", first, first + _PIECE) + 1
        if not end:
            yield body[first : first + _PIECE]  # perhaps it is no JSON, and that is told
            raise _endless()
        yield _without_half_characters(body[first:end])
        first = end
    yield _without_half_characters(body[first:])


def _without_half_characters(piece: bytes) -> bytes:
    """The same piece; the parser would put something else in the place of half a surrogate pair."""
    if _SURROGATE.search(piece):
        escapes = piece.replace(b"\\\\", b"--")
        if _SURROGATE.search(_PAIR.sub(b"-", escapes)):
            raise _no_json("half of a surrogate pair")
    return piece


class _Builder:
    """Puts together what the parser finds.

    The library's own way (``ijson.items``) keeps the path to every value as one text: with long
    names inside each other, one piece would take a tenth of a second.
    """

    def __init__(self, parser: Any) -> None:
        self._found: Any = ijson.sendable_list()
        self._parser = parser.basic_parse_coro(self._found, use_float=True)
        self._root: list[Any] = []
        self._inner: Any = self._root
        self._key = ""
        self._around: list[tuple[Any, str]] = []
        self._made: list[Any] = []

    def feed(self, piece: bytes) -> None:
        """Take the next piece.

        Raises
        ------
        RequestValidationError
            As :func:`parsed` does.
        """
        try:
            self._parser.send(piece)
        except (ijson.JSONError, UnicodeDecodeError) as error:
            self._build()
            raise self._wrong(error) from error
        if not self._found:
            # A text began before this piece and ends after it: the parser would begin anew with
            # it at each piece.
            raise _endless(*self._path_to(self._inner))
        self._build()
        for container, _ in [*self._around, (self._inner, "")]:
            if _too_long(container):
                raise self._too_much(container)
        if len(self._made) > _MOST_CONTAINERS:
            raise _refusal("no_batch", "no batch of windows has as many lists and objects")

    def whole(self) -> Any:
        """What was said, if that was all.

        Raises
        ------
        RequestValidationError
            As :func:`parsed` does.
        """
        try:
            self._parser.close()
        except ijson.JSONError as error:
            raise self._wrong(error) from error
        self._build()  # a number ends where the body does
        return self._root[0]

    async def free(self) -> None:
        """Let go of all that was made: of millions of values at once would take long."""
        for n, container in enumerate(self._made):
            container.clear()
            if n % _FREED_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _build(self) -> None:
        inner, key = self._inner, self._key
        add = inner.append if type(inner) is list else None
        for event, value in self._found:
            if event in ("number", "string", "boolean", "null"):
                if add is None:
                    inner[key] = value
                else:
                    add(value)
            elif event == "map_key":
                key = value
            elif event in ("end_array", "end_map"):
                if _too_long(inner):
                    raise self._too_much(inner)
                inner, key = self._around.pop()
                add = inner.append if type(inner) is list else None
            else:
                made: Any = [] if event == "start_array" else {}
                self._made.append(made)
                if add is None:
                    inner[key] = made
                else:
                    add(made)
                self._around.append((inner, key))
                inner, add = made, made.append if event == "start_array" else None
        self._found.clear()
        self._inner, self._key = inner, key

    def _path_to(self, container: Any) -> list[str | int]:
        """Where an open container is."""
        path: list[str | int] = []
        for outer, key in self._around:
            if outer is container:
                break
            if outer is not self._root:
                path.append(len(outer) - 1 if type(outer) is list else key)
        return path

    def _too_much(self, container: Any) -> RequestValidationError:
        most = _MOST_ITEMS if type(container) is list else _MOST_MEMBERS
        message = f"{'List' if type(container) is list else 'Object'} should have at most {most}"
        return _refusal("too_long", f"{message} items", *self._path_to(container))

    def _wrong(self, error: Exception) -> RequestValidationError:
        """What the parser found, without the excerpt of the body that it shows."""
        if isinstance(error, UnicodeDecodeError):
            return _no_json("invalid bytes in UTF-8 string")
        [said] = error.args
        line = (said.decode("ascii", "replace") if isinstance(said, bytes) else said).split("\n")[0]
        if line == "parse error: integer overflow":  # JSON for all that, and no window
            inner = self._inner
            last = len(inner) if type(inner) is list else self._key
            message = "Input should be an integer of at most 64 bits"
            return _refusal("integer_too_large", message, *self._path_to(inner), last)
        reason = line.partition(": ")[2].removesuffix(".")
        return _no_json(_PLAINLY.get(reason, reason))


def _too_long(container: Any) -> bool:
    return len(container) > (_MOST_ITEMS if type(container) is list else _MOST_MEMBERS)


def _endless(*path: str | int) -> RequestValidationError:
    return _refusal("no_batch", f"in windows, something ends every {_PIECE} bytes", *path)


def _no_json(reason: str) -> RequestValidationError:
    item = {"type": "json_invalid", "loc": ("body",), "msg": "JSON", "ctx": {"error": reason}}
    return RequestValidationError([item])


def _refusal(kind: str, message: str, *path: str | int) -> RequestValidationError:
    return RequestValidationError([{"type": kind, "loc": ("body", *path), "msg": message}])
