"""API keys: a file that holds no token, found in time, and failing closed."""

from __future__ import annotations

import json
import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.cli.main import main
from closecast.errors import InvalidKeyName, StorageFailed, UnknownName
from closecast.infra import api_keys as keys_module
from closecast.infra.api_keys import KeyStore, Scope
from closecast.settings import as_environment
from tests.conftest import settings_in
from tests.support.synthetic_prices import patiently


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "data" / "api_keys.json")


def loaded(store: KeyStore) -> KeyStore:
    """What a process that starts now makes of the file."""
    fresh = KeyStore(store.path)
    fresh.load()
    return fresh


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A serving process looks at the file for every request."""
    monkeypatch.setattr(keys_module, "_LOOK_S", 0.0)


# -- tokens -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["read", "admin"])
def test_a_token_is_found_with_its_name_and_scope(store: KeyStore, scope: Scope) -> None:
    token = store.create("ops", scope)
    key = loaded(store).find(token.encode())
    assert key is not None
    assert (key.name, key.scope) == ("ops", scope)


@patiently
@given(st.binary(max_size=300))
def test_anything_else_is_not_found(tmp_path_factory: pytest.TempPathFactory, token: bytes) -> None:
    store = KeyStore(tmp_path_factory.mktemp("keys") / "k.json")
    store.create("ops", "admin")
    assert loaded(store).find(token) is None


def test_a_token_that_is_almost_right_is_not_found(store: KeyStore) -> None:
    token = store.create("ops", "admin").encode()
    serving = loaded(store)
    for wrong in (token[:-1], token + b"x", token.swapcase(), b" " + token, token[:-1] + b"\x00"):
        assert serving.find(wrong) is None


def test_the_file_holds_no_token_and_only_its_owner_may_read_it(store: KeyStore) -> None:
    token = store.create("ops", "read")
    content = store.path.read_text()
    assert token not in content
    assert token.removeprefix("closecast_") not in content
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_tokens_differ(store: KeyStore) -> None:
    assert len({store.create(f"key-{n}", "read") for n in range(20)}) == 20


def test_every_stored_hash_is_compared_whichever_fits(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = store.create("first", "read"), store.create("last", "read")
    serving, compared = loaded(store), []
    original = keys_module.hmac.compare_digest
    monkeypatch.setattr(
        keys_module.hmac, "compare_digest", lambda a, b: compared.append(a) or original(a, b)
    )
    for token in (first, last, "neither"):
        compared.clear()
        serving.find(token.encode())
        assert len(compared) == 2


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "../x", "a\n", "-x", "x" * 65, "ops\x00", "ｏｐｓ", '"'], ids=repr
)
def test_what_cannot_be_a_name_is_refused(store: KeyStore, name: str) -> None:
    with pytest.raises(InvalidKeyName, match="expected letters, digits"):
        store.create(name, "read")
    assert not store.path.exists()


def test_a_name_is_taken_once(store: KeyStore) -> None:
    token = store.create("ops", "read")
    with pytest.raises(InvalidKeyName, match="revoke it first"):
        store.create("ops", "admin")
    assert loaded(store).find(token.encode()) == store.listed()[0]


def test_keys_made_at_the_same_time_are_all_kept(store: KeyStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: KeyStore(store.path).create(f"key-{n}", "read"), range(8)))
    assert {key.name for key in store.listed()} == {f"key-{n}" for n in range(8)}


def test_a_revoked_key_is_not_found_and_the_others_are(store: KeyStore) -> None:
    gone, stays = store.create("gone", "admin"), store.create("stays", "read")
    assert store.revoke("gone") == 1
    serving = loaded(store)
    assert serving.find(gone.encode()) is None
    assert serving.find(stays.encode()) is not None


def test_revoking_what_is_not_there_names_what_is(store: KeyStore) -> None:
    store.create("ops", "read")
    with pytest.raises(UnknownName, match="valid: ops"):
        store.revoke("opps")


# -- while serving ------------------------------------------------------------------------------


def test_without_a_file_there_are_no_keys(store: KeyStore) -> None:
    assert not loaded(store).are_there


@pytest.mark.usefixtures("at_once")
def test_a_change_is_seen_while_serving(store: KeyStore) -> None:
    serving = loaded(store)
    token = store.create("ops", "read")
    assert serving.are_there
    assert serving.find(token.encode()) is not None
    store.revoke("ops")
    assert not serving.are_there
    assert serving.find(token.encode()) is None


def test_the_file_is_not_looked_at_for_every_request(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create("ops", "read")
    serving, looks = loaded(store), []
    monkeypatch.setattr(keys_module, "_LOOK_S", 3600.0)
    assert serving.are_there
    original = Path.stat
    monkeypatch.setattr(Path, "stat", lambda *a, **k: looks.append(a) or original(*a, **k))
    serving._look_at = 0.0
    assert all(serving.are_there for _ in range(100))
    assert len(looks) == 1


DAMAGED = {
    "empty": b"",
    "half": b'{"schema_version": 1, "keys": [{"name": "o',
    "a list": b"[]",
    "another version": b'{"schema_version": 2, "keys": []}',
    "an unknown member": b'{"keys": [], "open": true}',
    "an unknown scope": json.dumps(
        {"keys": [{"name": "a", "scope": "root", "sha256": "0" * 64, "created_at": "2026-01-01"}]}
    ).encode(),
    "a short hash": json.dumps(
        {"keys": [{"name": "a", "scope": "read", "sha256": "", "created_at": "2026-01-01"}]}
    ).encode(),
    "one name twice": json.dumps(
        {
            "keys": [
                {"name": "a", "scope": s, "sha256": "0" * 64, "created_at": "2026-01-01T00:00:00Z"}
                for s in ("read", "admin")
            ]
        }
    ).encode(),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_stops_the_start(store: KeyStore, content: bytes) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(content)
    with pytest.raises(StorageFailed, match="cannot be used") as caught:
        loaded(store)
    assert str(store.path) in str(caught.value)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("content", [*DAMAGED.values(), None], ids=[*DAMAGED, "gone"])
def test_a_file_that_is_damaged_while_serving_opens_nothing(
    store: KeyStore, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    token = store.create("ops", "admin")
    serving = loaded(store)
    if content is None:
        store.path.unlink()
    else:
        store.path.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        assert all(serving.are_there for _ in range(5))
        assert serving.find(token.encode()) is not None
        assert serving.find(b"closecast_other") is None
    assert len([r for r in caplog.records if "cannot be read again" in r.message]) == 1


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_first_file_that_is_damaged_lets_nobody_pass(
    store: KeyStore, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    serving = loaded(store)
    assert not serving.are_there
    store.path.parent.mkdir()
    store.path.write_bytes(content)
    assert all(serving.are_there for _ in range(5))
    assert serving.find(b"closecast_any") is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    store.path.unlink()
    token = store.create("ops", "read")
    assert serving.are_there
    assert serving.find(token.encode()) is not None


@pytest.mark.usefixtures("at_once")
def test_a_first_file_of_another_user_lets_nobody_pass_until_it_can_be_read(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = loaded(store)
    token = store.create("ops", "read").encode()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", denied)
        assert serving.are_there
        assert serving.find(token) is None
    store.path.chmod(0o640)  # as a chown does, it changes neither content nor its time
    assert serving.are_there
    assert serving.find(token) is not None


@pytest.mark.usefixtures("at_once")
def test_where_nobody_can_tell_whether_there_is_a_file_nobody_passes(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serving = loaded(store)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", denied)
        patched.setattr(Path, "read_bytes", denied)
        assert all(serving.are_there for _ in range(5))
        assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert not serving.are_there


def denied(path: Path, **_: object) -> None:
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize("before", [True, False], ids=["a file before", "none before"])
def test_what_root_writes_belongs_to_the_service_s_user(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    store.path.parent.mkdir()
    if before:
        store.create("old", "read")
    if os.geteuid() == 0:  # only then there are two users to tell apart
        os.chown(store.path.parent, 4321, 4322)
        if before:
            os.chown(store.path, 5321, 5322)
    was = (store.path if before else store.path.parent).stat()
    given = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _, *owner: given.append(owner))
    monkeypatch.setattr(os, "chown", lambda _, *owner, **__: given.append(owner))
    store.create("ops", "admin")
    # The file, and the lock that the next writer has to open.
    assert given == [(was.st_uid, was.st_gid)] * 2


def test_what_another_user_writes_is_given_to_nobody(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "fchown", lambda *_: pytest.fail("only root may"))
    monkeypatch.setattr(os, "chown", lambda *_, **__: pytest.fail("only root may"))
    store.create("ops", "admin")


@pytest.mark.usefixtures("at_once")
def test_after_it_is_mended_the_file_counts_again(store: KeyStore) -> None:
    old = store.create("old", "read")
    serving = loaded(store)
    store.path.write_bytes(b"{")
    assert serving.are_there
    store.path.unlink()
    new = store.create("new", "read")
    assert serving.are_there
    assert serving.find(old.encode()) is None
    assert serving.find(new.encode()) is not None


def test_a_damaged_file_is_not_overwritten(store: KeyStore) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(b"{")
    with pytest.raises(StorageFailed):
        store.create("ops", "read")
    with pytest.raises(StorageFailed):
        store.revoke("ops")
    assert store.path.read_bytes() == b"{"


# -- the command --------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in as_environment(settings_in(tmp_path)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data" / "api_keys.json"


def test_a_key_is_made_shown_once_listed_and_revoked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["keys", "create", "ops", "--scope", "admin"])
    token = capsys.readouterr().out.strip()
    key = loaded(KeyStore(here)).find(token.encode())
    assert key is not None
    assert key.scope == "admin"
    main(["keys", "list"])
    listed = capsys.readouterr().out
    assert listed.split()[:2] == ["ops", "admin"]
    assert token not in listed
    main(["keys", "revoke", "ops"])
    assert "No key is left" in capsys.readouterr().err
    assert not loaded(KeyStore(here)).are_there


def test_another_place_can_be_set(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOSECAST_API_KEYS_FILE", str(tmp_path / "elsewhere.json"))
    main(["keys", "create", "ops", "--scope", "read"])
    assert (tmp_path / "elsewhere.json").exists()
    assert not here.exists()


@pytest.mark.parametrize(
    "arguments",
    [("serve",), ("keys", "list"), ("keys", "create", "x", "--scope", "read")],
    ids=" ".join,
)
def test_damaged_keys_are_one_line_and_a_failure(here: Path, arguments: tuple[str, ...]) -> None:
    here.parent.mkdir(exist_ok=True)
    here.write_bytes(b"{")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, str)
    assert str(here) in ended.value.code
    assert "\n" not in ended.value.code
