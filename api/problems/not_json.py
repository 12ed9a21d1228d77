"""Causes for which a body is no JSON, in place of the place where a parser gave up."""

from __future__ import annotations

import re

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"x\x01": "deflate",
    b"x\x9c": "deflate",
    b"x\xda": "deflate",
}
# The longer ones first: the mark of UTF-32 begins like that of UTF-16.
_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_LOOKED_AT = 65_536  # bytes from the start, in which a habit of writing shows
# To the end where it is not closed: else each of its quotes would be tried as a beginning.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)', re.S)
_SINGLE_QUOTED = re.compile(r"[{\[,:]\s*'")
_BARE_NAME = re.compile(r"[{,]\s*[A-Za-z_]\w*\s*:")
_NO_VALUE = re.compile(r"[\[,:]\s*(-?(?:NaN|nan|Infinity|inf)|None|True|False|undefined)\b")


def why_not_json(body: bytes, parser: str) -> str:
    """Name the cause if it shows, else repeat what the parser found.

    >>> why_not_json("{}".encode("utf-16"), "expected value at line 1 column 1")
    'it is in UTF-16; send it in UTF-8'
    >>> why_not_json(b"[1, NaN]", "expected value at line 1 column 6")
    'NaN is no value in JSON, which knows numbers, true, false and null'
    """
    if not body.strip():
        return "there are only blanks in it"
    for mark, coding in _MARKS:
        if body.startswith(mark):
            return f"it is in {coding}; send it in UTF-8"
    for magic, coding in _COMPRESSED.items():
        if body.startswith(magic):
            if coding in ("gzip", "deflate"):
                return f"it is compressed; say so with the header content-encoding: {coding}"
            return f"it is compressed ({coding}); send it as it is, or with content-encoding: gzip"
    if b"\0" in body[:4]:
        coding = "UTF-32" if body[:4].count(0) == 3 else "UTF-16"
        return f"it looks like {coding}; send it in UTF-8"
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        return (
            f"byte {error.start + 1} (0x{body[error.start]:02X}) is not UTF-8, in which JSON is "
            "sent; a charset in content-type does not change that"
        )
    return _habit(text.strip()[:_LOOKED_AT]) or parser


def _habit(text: str) -> str | None:
    """A habit of a language or a shell that JSON does not share."""
    if text[:1] == "<":
        return "it is HTML or XML"
    if text[:1] == "@":
        return "it begins with @, the sign for a file; curl reads one after --data-binary only"
    if text[:1] == "'":
        return (
            "it begins with a single quote, as the command line of Windows passes it on; put the "
            'body into double quotes there, and \\ before each " inside'
        )
    bare = _STRING.sub('""', text)
    if _SINGLE_QUOTED.search(bare):
        return "names and texts are in single quotes; JSON has them in double quotes"
    if _BARE_NAME.search(bare):
        return (
            "a name has no quotes; JSON has names in double quotes, and the command line of "
            "Windows takes them away unless there is a \\ before each"
        )
    if found := _NO_VALUE.search(bare):
        return f"{found[1]} is no value in JSON, which knows numbers, true, false and null"
    return None
