"""Lists of symbols as people type them, in a shell, in make and in the numbered scripts."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from closecast.cli.main import _parser, main
from closecast.core.symbols import typed_symbols
from closecast.errors import InvalidSymbol
from scripts.common import parser as script_parser
from scripts.common import symbols_of
from tests.conftest import settings_in

ROOT = Path(__file__).parents[2]
MEANT = ("WEGE3.SA", "KO")
TYPED = [
    *("WEGE3,KO", "WEGE3, KO", "wege3 ,ko", "WEGE3 KO", "WEGE3;KO", "WEGE3,KO,", ",WEGE3,,KO ,"),
    *("'WEGE3', 'KO'", '"WEGE3","KO"', "['WEGE3', 'KO']", "WEGE3\nKO\n", "WEGE3,KO,WEGE3.SA"),
    "\u201cWEGE3\u201d, \u201cKO\u201d",
]


@pytest.mark.parametrize("text", TYPED)
def test_a_list_is_read_however_it_is_typed(text: str) -> None:
    assert typed_symbols(text) == MEANT


@pytest.mark.parametrize("text", ["", " ", ",", "''"])
def test_a_list_without_a_symbol_says_how_one_is_written(text: str) -> None:
    with pytest.raises(InvalidSymbol, match=r"there is no symbol in .*, such as VALE3,ITUB4"):
        typed_symbols(text)


@pytest.mark.parametrize("typed", [["WEGE3,", "KO"], ["WEGE3", "KO"], ["wege3, ko"], ["WEGE3;KO"]])
@pytest.mark.parametrize("command", ["serve", "train"])
def test_a_list_needs_no_quotes_in_a_shell(command: str, typed: list[str]) -> None:
    arguments = _parser().parse_args([command, "--symbols", *typed])
    assert typed_symbols(arguments.symbols) == MEANT


def test_the_scripts_read_the_same_lists(tmp_path: Path) -> None:
    arguments = script_parser("x").parse_args(["--symbols", "wege3,", "ko"])
    assert symbols_of(arguments, settings_in(tmp_path)) == ("KO", "WEGE3.SA")


@pytest.mark.parametrize("text", [text for text in TYPED if "\n" not in text])
def test_make_passes_a_list_on_as_one_argument(text: str) -> None:
    printed = subprocess.run(
        ["make", "-n", "serve", f"SYMBOLS={text}"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    line = next(line for line in printed.splitlines() if "closecast serve" in line)
    words = shlex.split(line)
    assert typed_symbols(words[words.index("--symbols") + 1]) == MEANT
    assert len(words) == words.index("--symbols") + 2


@pytest.mark.parametrize(("set_to", "default"), [(None, "WEGE3.SA"), ("MSFT", "MSFT")])
def test_the_first_symbol_is_the_default_one_unless_it_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, set_to: str | None, default: str
) -> None:
    class Started(Exception):
        pass

    def start(settings, **_):  # type: ignore[no-untyped-def]
        assert settings.default_symbol == default
        raise Started

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLOSECAST_DEFAULT_SYMBOL", raising=False)
    if set_to:
        monkeypatch.setenv("CLOSECAST_DEFAULT_SYMBOL", set_to)
    monkeypatch.setattr("closecast.cli.serve.check_start", start)
    monkeypatch.setattr("os.environ", {**os.environ})
    with pytest.raises(Started):
        main(["serve", "--symbols", "wege3,", "KO"])
