"""How deep a JSON text nests, found before anything parses it."""

from __future__ import annotations

import re

# Possessive and with an optional end: one pass, also over a text made to be slow to search.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


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
    without_strings = text if b"\0" in text else _STRING.sub(b"", text)
    left = without_strings.translate(_TO_SQUARE, _NO_BRACKETS)
    for _ in range(limit):
        fewer = left.replace(b"[]", b"")
        if len(fewer) == len(left):
            break
        left = fewer
    return b"[]" in left or left.count(b"[") > limit
