"""Every code block of README.md and docs/ works as it stands, or carries a reason why not."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from closecast.settings import Settings, as_environment
from tests.docs.blocks import (
    BLOCKS,
    NOT_RUN,
    PAGES,
    ROOT,
    Block,
    answers_in,
    blocks_of,
    missing_from,
    run_in_bash,
)
from tests.support.service_process import ServiceProcess

RUN = [block for block in BLOCKS if block.language == "bash" and not block.not_run]
REQUESTS = [block for block in RUN if "curl " in block.text]
COMMANDS = [block for block in RUN if "curl " not in block.text]
PROGRAMS = [block for block in BLOCKS if block.language == "python" and not block.not_run]


def environment_of(settings: Settings) -> dict[str, str]:
    chosen = as_environment(settings)
    return {**os.environ, **chosen}


def pages(blocks: list[Block]) -> list[str]:
    return sorted({block.page for block in blocks})


def following(block: Block) -> Block | None:
    """The next block of the same page."""
    after = BLOCKS[BLOCKS.index(block) + 1 :]
    return after[0] if after and after[0].page == block.page else None


def test_blocks_are_run_shown_or_excused() -> None:
    excused = [block for block in BLOCKS if block.not_run]
    print(*(f"{block}: {block.not_run}" for block in excused), sep="\n")
    assert {block.not_run for block in excused} <= NOT_RUN
    assert {block.language for block in BLOCKS} <= {
        *("bash", "python", "json", "text", "ini"),
        *("js", "nginx"),  # of a page and of a proxy, which no test here runs
    }
    assert len(RUN) > 20
    assert len(PROGRAMS) > 4


def test_every_request_answers_as_shown(published: Settings, tmp_path: Path) -> None:
    service = ServiceProcess(published, tmp_path / "service.log")
    try:
        for block in REQUESTS:
            output = run_in_bash(block, tmp_path, environment_of(published), service.port)
            answers = answers_in(output)
            assert len(answers) == len(re.findall(r"\bcurl ", block.text)), output
            for body, status in answers:
                accepted = {block.answers, 202} if block.answers == 200 else {block.answers}
                assert status in accepted, f"{block}\n{block.text}{body}"
            after = following(block)
            if after is not None and after.language == "json":
                shown, answer = json.loads(after.text), json.loads(answers[-1][0])
                assert not list(missing_from(shown, answer)), f"{after}\n{answers[-1][0]}"
    finally:
        service.stop()


@pytest.mark.parametrize("page", pages(COMMANDS))
def test_commands_of_a_page_run_in_its_order(
    page: str, published: Settings, tmp_path: Path
) -> None:
    environment = environment_of(published)
    for block in COMMANDS:
        if block.page == page:
            output = run_in_bash(block, tmp_path, environment)
            after = following(block)
            assert after is None or after.language != "text" or after.text in output, output


@pytest.mark.parametrize("page", pages(PROGRAMS))
def test_programs_of_a_page_run_as_one(page: str) -> None:
    program = "".join(block.text for block in PROGRAMS if block.page == page)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "CRPS/naive" in done.stdout


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "json"], ids=str)
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


def test_the_first_key_that_is_shown_is_one_that_may_change_keys() -> None:
    for page in pages(COMMANDS):
        text = "".join(block.text for block in COMMANDS if block.page == page)
        created = re.findall(r"keys create \S+ --scope (\w+)", text)
        assert created[:1] in ([], ["admin"]), page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_targets_and_settings_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z][a-z-]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for name in re.findall(r"\bCLOSECAST_([A-Z0-9_]+[A-Z0-9])\b", text):
        assert name.lower() in Settings.model_fields, name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text):
        made_at_build = "/reference/" in f"/{target}" or target.endswith("how-to/contributing.md")
        made_at_build |= target == "contributing.md"
        assert made_at_build or (path.parent / target).exists(), target


CODE = {
    path.relative_to(ROOT).as_posix()
    for folder in ("src", "api", "scripts", "tests", "benchmarks", "docs")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".c")
}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_files_of_code_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"`([\w*/-]+\.(?:py|c))`", text):
        assert fnmatch.filter(CODE, name) or fnmatch.filter(CODE, f"*/{name}"), name


def test_the_readme_shows_how_to_serve_and_to_test() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make serve" in readme
    assert "make test" in readme
    assert len(readme.splitlines()) <= 150


def test_a_block_knows_its_page_reason_and_status() -> None:
    text = (
        "a\n<!-- not run: needs AWS -->\n```bash\nx\n```\n\n<!-- answers 422 -->\n```bash\ny\n```"
    )
    found = list(blocks_of(text, "p.md"))
    assert [(b.line, b.text, b.not_run, b.answers) for b in found] == [
        (3, "x\n", "needs AWS", 200),
        (8, "y\n", "", 422),
    ]


def test_a_member_that_an_answer_lacks_is_seen() -> None:
    shown = {"a": 1, "b": [{"c": "x"}], "d": 2.5}
    assert not list(missing_from(shown, {"a": 2.5, "b": [{"c": "y"}], "d": None}))
    assert list(missing_from(shown, {"a": "1", "b": [{}], "d": 1})) == [
        '/a is 1, and was "1"',
        "/b/0/c",
    ]
