"""``closecast settings``: every setting with its value, source and meaning."""

from __future__ import annotations

import argparse
import textwrap

from closecast.infra.redaction import redacted
from closecast.settings import Settings
from closecast.settings.listing import example, groups, meaning, sources, value_text

_WIDTH = 96


def run_settings(arguments: argparse.Namespace, settings: Settings) -> None:
    """Print the settings in force, or a file ``.env`` with every default.

    Passwords are hidden.
    """
    if arguments.example:
        print(example(), end="")
        return
    source = sources()
    for title, names in groups():
        shown = [n for n in names if source[n] != "default" or not arguments.changed]
        if not shown:
            continue
        print(f"{title}\n")
        for name in shown:
            value = redacted(value_text(getattr(settings, name))) or "(empty)"
            print(f"  CLOSECAST_{name.upper()} = {value}  [{source[name]}]")
            text = meaning(Settings.model_fields[name])
            print(textwrap.indent(textwrap.fill(text, _WIDTH, break_on_hyphens=False), " " * 6))
        print()
