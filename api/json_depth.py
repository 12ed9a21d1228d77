"""How deep a JSON text nests, found before anything parses it."""

from __future__ import annotations

import re

_STRING = re.compile(rb'"[^"]*+"?')
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_BUT_BRACKETS_AND_QUOTES = bytes(byte for byte in _BUT_BRACKETS if byte != ord('"'))


def nests_deeper(text: bytes, limit: int) -> bool:
    """Whether brackets lie more than ``limit`` deep in each other; those in strings do not count.

    No more brackets than ``limit`` cannot: then nothing is searched. Else the innermost pairs
    are taken away until none is left, which costs a pass of C code per level.

    Of a text that is no JSON it is only promised that a parser does not go twice as deep.

    >>> nests_deeper(b'{"a": [1, "[[["]}', 2), nests_deeper(b"[[[]]]", 2), nests_deeper(b"[[[", 2)
    (False, True, True)
    """
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    # JSON is UTF-8 and then holds no NUL. A parser that takes UTF-16, too, finds the ends of
    # strings elsewhere: there, brackets in strings count.
    left = text.translate(_TO_SQUARE, _BUT_BRACKETS) if b"\0" in text else _outside_strings(text)
    for _ in range(limit):
        fewer = left.replace(b"[]", b"")
        if len(fewer) == len(left):
            break
        left = fewer
    return b"[]" in left or left.count(b"[") > limit


def _outside_strings(text: bytes) -> bytes:
    """The brackets that are in no string, all of them square."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    left = text.translate(_TO_SQUARE, _BUT_BRACKETS_AND_QUOTES)
    # Two quotes side by side end what they begin, be they one string or the border of two: millions
    # of strings that hold no bracket go without a search for each.
    return _STRING.sub(b"", left.replace(b'""', b""))
