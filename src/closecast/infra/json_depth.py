"""Nesting depth of JSON texts, measured before they are parsed."""

from __future__ import annotations

import numpy as np

_QUOTE, _OPENING = ord('"'), ord("[")
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_BUT_BRACKETS_AND_QUOTES = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_FEW = 1_024  # marks that are looked through sooner without arrays
_STEPS = np.zeros(256, np.int8)
_STEPS[_OPENING], _STEPS[ord("]")] = 1, -1


def nests_deeper(text: bytes, limit: int) -> bool:
    """True if brackets outside of strings nest deeper than ``limit``.

    A text with no more brackets than ``limit`` needs no search; see :class:`NestingScanner`.

    >>> nests_deeper(b'{"a": [1, "[[["]}', 2), nests_deeper(b"[[[]]]", 2), nests_deeper(b"[[[", 2)
    (False, True, True)
    """
    return NestingScanner(limit).feed(text)


class NestingScanner:
    """Nesting depth of a text that arrives in pieces; the cuts make no difference.

    Every step is a pass of C code over the piece: 64 kB of anything take less than a
    millisecond. For a text that is no JSON, the only promise is that a parser goes no deeper.

    Parameters
    ----------
    limit : int
        Deepest that is not too deep.

    Examples
    --------
    >>> nesting = NestingScanner(2)
    >>> [nesting.feed(piece) for piece in (b'[{"[[', b'[": 1}, [', b"[")]
    [False, False, True]
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._depth = 0
        self._opened = 0
        self._in_string = False
        self._backslash = b""  # the last byte of the piece before, if it escapes the next one
        self._wide = False

    def feed(self, piece: bytes) -> bool:
        """Add the next piece; true if the text nests too deep, after which none may follow."""
        # JSON is UTF-8 and then holds no NUL. A parser that takes UTF-16, too, finds the ends of
        # strings elsewhere: there no bracket is sure to close another.
        self._wide = self._wide or b"\0" in piece
        left = self._marks(piece)
        self._opened += left.count(b"[")
        if self._wide and self._opened > self._limit:
            return True
        if not left or (len(left) <= _FEW and not self._in_string and self._all_closed(left)):
            return False
        marks = np.frombuffer(left, np.uint8)
        # Sums of bytes wrap around, and stay odd or even.
        quotes = np.cumsum(marks == _QUOTE, dtype=np.uint8)
        quotes += self._in_string
        in_string = quotes & 1
        self._in_string = bool(in_string[-1])
        steps = _STEPS[marks]
        steps[in_string.view(bool)] = 0
        depths = np.cumsum(steps, dtype=np.int32)
        depths += self._depth
        # What closes nothing does not count: the depth never falls below none.
        depths -= np.minimum(np.minimum.accumulate(depths), 0)
        self._depth = int(depths[-1])
        return int(depths.max()) > self._limit

    def _all_closed(self, marks: bytes) -> bool:
        """True if all marks are pairs within the limit: the depth after is that before."""
        for _ in range(self._limit - self._depth):
            fewer = marks.replace(b"[]", b"")
            if len(fewer) == len(marks):
                break
            marks = fewer
        return not marks

    def _marks(self, piece: bytes) -> bytes:
        """Brackets, all of them square, and quotes that begin or end a string."""
        piece = self._backslash + piece
        self._backslash = b""
        if b"\\" in piece:
            if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
                piece, self._backslash = piece[:-1], b"\\"
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        # Two quotes side by side end what they begin, be they one string or the border of two.
        return piece.translate(_TO_SQUARE, _BUT_BRACKETS_AND_QUOTES).replace(b'""', b"")
