"""The reference page of settings, from the fields of the class ``Settings``."""

from __future__ import annotations

from closecast.settings.listing import default_text, meaning
from generators.names import SETTINGS, resolve
from generators.tables import table

HEAD = """# Settings

Each setting is an environment variable with the prefix `CLOSECAST_`, or a line of a file `.env` in
the working directory. A value out of bounds ends the command with one line that names the setting.
This page is made from the class `Settings` at each build.

"""


def page() -> str:
    """One row per setting: name, default, meaning with the bounds."""
    kind = resolve(SETTINGS)
    prefix = kind.model_config["env_prefix"]
    rows = [
        (f"`{prefix}{name.upper()}`", _code(default_text(name)), meaning(field))
        for name, field in kind.model_fields.items()
    ]
    return HEAD + table(("variable", "default", "meaning"), rows)


def _code(default: str) -> str:
    return f"`{default}`" if default else "empty"
