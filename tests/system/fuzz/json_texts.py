"""JSON that is nearly what a route expects: spoiled values, spoiled syntax, spoiled bytes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True)
class Raw:
    """A value by the characters that stand for it, which may be no JSON."""

    text: str


class Twice(dict[str, Any]):
    """An object whose first member is written once more, as ``null``."""


_LONG = "x" * 5_000
NUMBERS: tuple[Any, ...] = (
    *(0, -0.0, 1, -1, 0.5, 59, 60, 61, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**400),
    *(5e-324, 1e-310, 1e-9, 9.99e-10, 1e12, 1.01e12, 1e18, 1e308, -1e308),
    *(Raw("1e309"), Raw("-1e999999"), Raw("1e-999999"), Raw("1" * 5_000), Raw("0." + "3" * 5_000)),
    *map(Raw, ("NaN", "nan", "Infinity", "-Infinity", "inf", "-NaN", "1e", "01", "+1", ".5", "5.")),
    *map(Raw, ("0x10", "1_000", "1,0", "--1", "\uff11\uff12", "1e+", "Decimal(1)", "-")),
)
TEXTS: tuple[Any, ...] = (
    *("", " ", "\0", "MSFT\0", "MSFT\n", " msft ", "VALE3", "BTC-USD", "ACME", "\u212aO", "ﬁ"),
    *(
        "ＭＳＦＴ",
        "mſft",
        "MSFT\u200b",
        "\u202eTFSM",
        "İ",
        "ß" * 20,
        "🂡" * 9,
        "e\u0301" * 30,
        _LONG,
    ),
    *(
        "../../etc/passwd",
        "..",
        "/",
        "%00",
        "%2e%2e%2f",
        "C:\\x",
        "a/b",
        "$(id)",
        "'; DROP TABLE x",
    ),
    *("1e999", "NaN", "true", "null", "5", "1.0", "pt-BR", "file:/etc/passwd", "s3://x/y", "yahoo"),
    *(
        Raw('"\\ud800"'),
        Raw('"\\udfff\\ud800"'),
        Raw('"\\u0000"'),
        Raw('"\\x"'),
        Raw('"\\'),
        Raw('"\n"'),
    ),
    *("0000-00-00", "2022-02-30", "9999-12-31", "0001-01-01", "10000-01-01", "-2022-01-01"),
    *("2022-01-03T00:00:00Z", "2022-1-3", "1641168000", "today", "２０２２-01-03"),
)
OTHERS: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[]], [None], {"": None}, {"a": {"b": [1, {"c": 2}]}}),
    *map(Raw, ("None", "True", "undefined", "", ",", "]", "}", "[1,]", "{,}", "{1:2}", "{'a':1}")),
    *map(
        Raw, ("/*x*/1", "//x\n1", "[" * 40 + "]" * 40, "[" * 5_000, '{"a":' * 300 + "1" + "}" * 300)
    ),
)
NAMES = (
    "",
    "prices",
    "symbol",
    "__class__",
    "__proto__",
    "constructor",
    "\0",
    "a" * 300,
    "~/",
    "ｐｒｉｃｅｓ",
)


def spoiled(random: Random, value: Any) -> bytes:
    """A body made from a valid one: changed in no to a few places, then perhaps as bytes."""
    value = copy.deepcopy(value)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        value = _changed(random, value)
    text = written(value, random.choice((None, None, None, 1)))
    return random.choice(_BYTES)(random, text) if random.random() < 0.3 else _utf8(text)


def written(value: Any, indent: int | None = None) -> str:
    """JSON, but for what is :class:`Raw`, or said :class:`Twice`."""
    end = "\n" if indent else ""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        members = [f"{_string(name)}:{written(part, indent)}" for name, part in value.items()]
        if isinstance(value, Twice) and members:
            members.append(f"{_string(next(iter(value)))}:{written(None)}")
        return "{" + f",{end}".join(members) + "}"
    if isinstance(value, list):
        return "[" + f",{end}".join(written(part, indent) for part in value) + "]"
    return json.dumps(value)


def _string(name: Any) -> str:
    return name.text if isinstance(name, Raw) else json.dumps(str(name))


def _changed(random: Random, value: Any) -> Any:
    places = [*_places(value)]
    if not places or random.random() < 0.05:
        return copy.deepcopy(random.choice((*OTHERS, *TEXTS, *NUMBERS)))
    holder, key = random.choice(places)
    random.choice(_CHANGES)(random, holder, key)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Of a list only some: sixty prices are no more interesting than a symbol."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield value, key
            yield from _places(part)
    elif isinstance(value, list) and value:
        for row in {0, len(value) // 2, len(value) - 1}:
            yield value, row
            yield from _places(value[row])


def _replace(random: Random, holder: Any, key: Any) -> None:
    old = holder[key]
    kinds = {str: TEXTS, int: NUMBERS, float: NUMBERS}
    same = kinds.get(type(old), OTHERS)
    chosen = random.choice(same if random.random() < 0.6 else (*NUMBERS, *TEXTS, *OTHERS))
    holder[key] = copy.deepcopy(chosen)  # it may be changed in its turn


def _remove(random: Random, holder: Any, key: Any) -> None:
    del holder[key]


def _rename(random: Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        name = random.choice(
            (*NAMES, Raw('"\\ud800"'), key.upper() if isinstance(key, str) else "")
        )
        holder[name] = holder.pop(key)


def _wrap(random: Random, holder: Any, key: Any) -> None:
    holder[key] = random.choice(([holder[key]], {"value": holder[key]}, str(holder[key])))


def _repeat(random: Random, holder: Any, key: Any) -> None:
    if isinstance(holder, list):
        holder[:] = holder * random.choice((2, 3, 10))
        del holder[2_000:]
    elif isinstance(holder[key], dict):
        holder[key] = Twice(holder[key])


def _scale(random: Random, holder: Any, key: Any) -> None:
    """Closes that stay valid, and are odd: another unit, frozen, reversed, huge, tiny."""
    for part in (holder, holder[key]):
        if isinstance(part, list) and part and all(type(x) is float for x in part):
            by = random.choice((100, 0.01, 1e9, 1e-9, 1e-12, -1, 0))
            row = random.randrange(len(part))
            part[row:] = [x * by for x in part[row:]]
            if random.random() < 0.3:
                part.reverse()
            return


_CHANGES: tuple[Callable[[Random, Any, Any], None], ...] = (
    *(_replace, _replace, _replace, _remove, _rename, _wrap, _repeat, _scale),
)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _truncated(random: Random, text: str) -> bytes:
    whole = _utf8(text)
    return whole[: random.randrange(len(whole) + 1)]


def _with_inserted(random: Random, text: str) -> bytes:
    whole, at = _utf8(text), random.randrange(len(text) + 1)
    parts = (
        b"\0",
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\\u",
        b'"',
        b"[",
        b"}",
    )
    return whole[:at] + random.choice(parts) + whole[at:]


def _flipped(random: Random, text: str) -> bytes:
    whole = bytearray(_utf8(text))
    for _ in range(random.randint(1, 4)):
        if whole:
            whole[random.randrange(len(whole))] ^= 1 << random.randrange(8)
    return bytes(whole)


def _encoded(random: Random, text: str) -> bytes:
    name = random.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-7"))
    return text.encode(name, "replace")


def _followed(random: Random, text: str) -> bytes:
    return _utf8(text) + random.choice(
        (b" ", b"x", b"{}", b"\0", b"\xef\xbb\xbf", b"\n\n", b" " * 9_999)
    )


def _random_bytes(random: Random, text: str) -> bytes:
    return random.randbytes(random.choice((0, 1, 2, 3, 30, 3_000)))


_BYTES: tuple[Callable[[Random, str], bytes], ...] = (
    *(_truncated, _with_inserted, _flipped, _encoded, _followed, _random_bytes),
)
