"""The reference page of the Python API: a directive of mkdocstrings per name."""

from __future__ import annotations

from generators.names import PYTHON_API

HEAD = """# Python API

The names below are enough to fetch closes, train, evaluate, forecast and judge drift in a program
of your own; [From Python](../tutorial/from-python.md) uses them. Arrays are NumPy arrays that
cannot be written to.

"""


def page() -> str:
    """A section per subject, its names in the order of use."""
    parts = [HEAD]
    for subject, names in PYTHON_API.items():
        parts.append(f"## {subject}\n\n")
        parts += [f"::: {name}\n\n" for name in names]
    return "".join(parts)
