"""The reference page of messages: every sentence that an error, a refusal or a check may answer."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from generators.tables import table

ROOT = Path(__file__).parents[2]

HEAD = """# Messages

Every sentence that a caller or an operator may be answered, by the code it comes with, as it
stands in the code: `{…}` is filled in. Programs decide by `code`, never by these texts, which may
change in any version. This page is made at each build.

"""

_PLACES = ("api", "src/closecast")
_OTHERS = frozenset({"Refusal", "PriceProblem", "PydanticCustomError", "ArgumentTypeError"})
_VALIDATORS = ("api/schemas/", "src/closecast/settings/", "src/closecast/core/reasons.py")


class Message(NamedTuple):
    """A sentence in the code.

    Attributes
    ----------
    place : str
        Path of the file, relative to the repository.
    code : str
        Stable code of the error, or the name of the check.
    """

    place: str
    code: str
    text: str


def page() -> str:
    """One table, in the order of the codes."""
    rows = sorted({(found.code, found.text, found.place) for found in messages()})
    shown = [(f"`{code}`", text.replace("<", "&lt;"), f"`{place}`") for code, text, place in rows]
    return HEAD + table(("code", "message", "file"), shown)


def messages(root: Path = ROOT) -> Iterator[Message]:
    """Sentences of errors, refusals, price rules and validators."""
    codes = _codes(root)
    for folder in _PLACES:
        for path in sorted((root / folder).rglob("*.py")):
            place = path.relative_to(root).as_posix()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield from _of_call(node, place, codes)


def _codes(root: Path) -> Mapping[str, str]:
    """Code of each class of errors, from the keyword of its definition."""
    found = {}
    for node in ast.walk(ast.parse((root / "src/closecast/errors.py").read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            for keyword in node.keywords:
                if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                    found[node.name] = str(keyword.value.value)
    return found


def _of_call(node: ast.Call, place: str, codes: Mapping[str, str]) -> Iterator[Message]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    is_check = name == "ValueError" and place.startswith(_VALIDATORS)
    if name not in codes and name not in _OTHERS and not is_check:
        return
    texts = [text for part in node.args if (text := _text(part)) is not None]
    sentences = [text for text in texts if " " in text]
    stable = [text for text in texts if text.isidentifier()]
    code = codes.get(name) or (stable[0] if stable else "invalid_request")
    for text in sentences:
        yield Message(place, code, text)


def _text(node: ast.expr) -> str | None:
    """A literal text, with the expressions that are filled in; ``None`` for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"{{{_expression(part)}}}"
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return None if left is None or right is None else left + right
    return None


def _expression(node: ast.expr) -> str:
    value = node.value if isinstance(node, ast.FormattedValue) else node
    return ast.unparse(value).rpartition(".")[2].strip("()'\"") or "…"
