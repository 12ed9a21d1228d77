"""The reference page of the command line, from the argument parsers."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator

from generators.names import COMMAND_PARSER, resolve
from generators.tables import table

HEAD = """# Command line

`make install` and `make serve` put the command `closecast` into `.venv/bin`. Options outrank the
[settings](settings.md). An error ends a command with one line on standard error and a status other
than 0. This page is made from the argument parsers at each build.

"""


def page() -> str:
    """One section per command, sub-commands after their command."""
    return HEAD + "".join(_section(parser, line) for parser, line in commands(_parser()))


def commands(
    parser: argparse.ArgumentParser, line: str = ""
) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Parsers that run something, each with its line in the list of commands."""
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not below:
        yield parser, line
    for action in below:
        help_of = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, child in action.choices.items():
            yield from commands(child, help_of.get(name, ""))


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = resolve(COMMAND_PARSER)()
    return parser


def _section(parser: argparse.ArgumentParser, line: str) -> str:
    usage = _usage(parser)
    rows = [
        (_written(action), _default(action), _meaning(action))
        for action in parser._actions
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction)
    ]
    text = f"## `{parser.prog}`\n\n{line[:1].upper()}{line[1:]}.\n\n```text\n{usage}\n```\n\n"
    return text + (table(("argument", "default", "meaning"), rows) if rows else "")


def _usage(parser: argparse.ArgumentParser) -> str:
    """The usage line, wrapped between its arguments and without the help option."""
    text = " ".join(parser.format_usage().removeprefix("usage: ").split())
    text = re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", "\0"), text)
    text = text.replace(" [-h]", "")
    lines = textwrap.wrap(text, 88, subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def _written(action: argparse.Action) -> str:
    value = f" {action.metavar or action.dest.upper()}" if action.nargs != 0 else ""
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    return ", ".join(f"`{name}{value}`" for name in action.option_strings)


def _default(action: argparse.Action) -> str:
    if action.default in (None, argparse.SUPPRESS, False, []):
        return ""
    return f"`{action.default}`"


def _meaning(action: argparse.Action) -> str:
    choices = f" ({', '.join(f'`{c}`' for c in action.choices)})" if action.choices else ""
    return f"{action.help or ''}{choices}"
