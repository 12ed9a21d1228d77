"""The file ``.env`` as people have it, and remarks on variables without effect."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from closecast.settings import Settings
from closecast.settings.env_file import UnreadableEnvFile, read_env_file
from closecast.settings.listing import example
from closecast.settings.remarks import remarks

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of closecast, in an empty folder."""
    for name in [name for name in os.environ if name.upper().startswith("CLOSECAST")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def remarked() -> list[str]:
    return list(remarks(Settings()))


# -- encodings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "windows-1252"], ids=lambda name: name
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_a_file_of_any_editor_is_read(encoding: str, end: str) -> None:
    text = f"# ações{end}CLOSECAST_WORKERS=3{end}CLOSECAST_MARKETS=AÇÃO=BVMF{end}"
    Path(".env").write_bytes(text.encode(encoding))
    assert (Settings().workers, Settings().markets) == (3, "AÇÃO=BVMF")
    assert bool(remarked()) == (encoding == "windows-1252")


def test_bytes_that_no_encoding_has_are_no_traceback() -> None:
    Path(".env").write_bytes(b"# \x81\x8d\x90\nCLOSECAST_WORKERS=3\n")
    assert Settings().workers == 3


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    Path(".env").touch()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UnreadableEnvFile, match=r"\.env cannot be read \(Permission denied\)"):
        read_env_file(Path(".env"))


def test_a_folder_in_place_of_the_file_is_ignored_and_named() -> None:
    Path(".env").mkdir()
    assert Settings().workers == 1
    assert ".env is a folder" in remarked()[0]


def test_a_caller_can_leave_the_file_out() -> None:
    Path(".env").write_text("CLOSECAST_WORKERS=3\n")
    assert Settings(_env_file=None).workers == 1  # type: ignore[call-arg]


# -- names that no setting has --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("CLOSECAST_WORKER", "CLOSECAST_WORKERS"),
        ("CLOSECAST_PROT", "CLOSECAST_PORT"),
        ("closecast_log_levl", "CLOSECAST_LOG_LEVEL"),
        ("CLOSECASTS_PORT", "CLOSECAST_PORT"),
        ("CLOSCAST_HOST", "CLOSECAST_HOST"),
        ("CLOSECAST_PROMOTE_WITHOUT_EVIDENCE", "CLOSECAST_WITHOUT_EVIDENCE"),
    ],
)
def test_a_typing_error_is_named_with_the_nearest_setting(
    name: str, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "4")
    assert remarked() == [f"{name} is no setting; {nearest}?"]
    monkeypatch.delenv(name)
    Path(".env").write_text(f"{name}=4\n")
    assert remarked() == [f"{name} in .env is no setting; {nearest}?"]


def test_a_name_that_is_like_none_leads_to_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSECAST_XYZZY", "1")
    assert remarked() == ["CLOSECAST_XYZZY is no setting; `closecast settings` lists them all"]


@pytest.mark.parametrize(
    "name",
    [
        "CLOSECAST_WORKERS",
        "closecast_workers",
        "CLOSECAST_GIT_COMMIT",
        "CLOSECAST_SERVICE_HOST",
        "CLOSECAST_SERVICE_PORT_HTTP",
        "CLOSECAST_PORT_8000_TCP_ADDR",
        "PORT",
        "WORKERS",
        "FORECAST_PORT",
        "CLOSE",
    ],
)
def test_other_variables_are_no_typing_errors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "2")
    assert remarked() == []


def test_a_name_without_the_prefix_is_named_in_the_file_only() -> None:
    Path(".env").write_text("WORKERS=4\nPOSTGRES_PASSWORD=x\npath=/\n")
    assert remarked() == ["WORKERS in .env has no prefix and is ignored; CLOSECAST_WORKERS?"]


def test_a_port_that_kubernetes_made_is_ignored_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("CLOSECAST_PORT=9000\n")
    monkeypatch.setenv("CLOSECAST_PORT", "tcp://10.0.0.1:8000")
    assert Settings().port == 9000
    assert "enableServiceLinks: false" in remarked()[0]


@pytest.mark.parametrize("name", ["CLOSECAST_MLFLOW_TRACKING_URI", "CLOSECAST_RATE_LIMIT_TRAIN"])
def test_an_empty_value_that_once_turned_something_off_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "")
    assert remarked() == [
        f"{name} is empty, which counts as unset: write `{name}=off` to turn it off"
    ]


def test_a_ledger_that_is_left_behind_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("data").mkdir()
    Path("data/ledger.sqlite").touch()
    assert remarked() == []
    monkeypatch.setenv("CLOSECAST_DATA_DIR", "elsewhere")
    assert "data/ledger.sqlite holds the one before" in remarked()[0]
    Path("elsewhere").mkdir()
    Path("elsewhere/ledger.sqlite").touch()
    assert remarked() == []


# -- the example -----------------------------------------------------------------------------------


def test_the_example_is_true() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == example(), (
        "run `closecast settings --example > .env.example`"
    )


def test_the_example_changes_nothing_and_works_when_every_line_is_in_force() -> None:
    defaults = Settings()
    Path(".env").write_text(example(), encoding="utf-8")
    assert Settings() == defaults
    Path(".env").write_text(example().replace("#CLOSECAST_", "CLOSECAST_"), encoding="utf-8")
    assert Settings() == defaults
    assert remarked() == []
