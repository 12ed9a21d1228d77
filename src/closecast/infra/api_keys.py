"""API keys: who may read, who may change something. One small file; tokens are not in it."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from closecast.errors import InvalidKeyName, StorageFailed, UnknownName
from closecast.infra.files import storage, write_atomically
from closecast.infra.redaction import KEY_PREFIX
from closecast.infra.trouble import Trouble

log = logging.getLogger(__name__)

Scope = Literal["read", "admin"]

_LOOK_S = 1.0
_TOKEN_BYTES = 32
_LONGEST_TOKEN = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ApiKey(BaseModel):
    """One key. ``admin`` may do all that ``read`` may."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=f"^{_NAME.pattern}$")
    scope: Scope
    # A password would need a slow hash. A token of 32 random bytes cannot be guessed, even
    # if guesses are cheap, so it gets a fast one: it is computed for every request.
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    created_at: datetime


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    keys: tuple[ApiKey, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({key.name for key in self.keys}) < len(self.keys):
            raise ValueError("two keys have the same name")
        return self


class KeyStore:
    """The keys in one file; without a file there are none.

    A process that serves looks at the file again at most once a second. A file that is damaged,
    unreadable or gone meanwhile opens nothing: the keys that were read last stay in force. If
    there were none yet, every request is refused while the file cannot be used.

    A file that root writes belongs to whom the one before belonged, the first one to the owner
    of its folder: a service that does not run as root can read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: tuple[tuple[bytes, ApiKey], ...] = ()
        self._locked = False
        self.failure: str | None = None
        """Reason for which the file could not be read again; ``None`` if it could."""
        self._stamp: tuple[int, ...] | None = None
        self._look_at = 0.0

    # -- while serving -----------------------------------------------------------------------

    def load(self, *, required: bool = False) -> None:
        """Read the file, at the start of a process.

        Parameters
        ----------
        required : bool
            A setting names the file: that there is none is a fault, not a service without keys.

        Raises
        ------
        StorageFailed
            If it cannot be used, or is required and missing.
        """
        self._stamp = self._stamp_now()
        if required and self._stamp is None:
            raise StorageFailed(
                f"CLOSECAST_API_KEYS_FILE names {self.path}, which is missing: restore it, make a "
                "first key with `closecast keys create NAME --scope admin`, or unset the variable "
                "to serve without keys"
            )
        self._take(self._read())
        self._look_at = time.monotonic() + _LOOK_S

    @property
    def are_there(self) -> bool:
        """True if requests need a key: there are some, or a file that may hold some."""
        if time.monotonic() >= self._look_at:
            self._look()
        return self._locked or bool(self._keys)

    def trouble(self) -> Trouble | None:
        """The failure to read the file again as a trouble; ``None`` without one."""
        if self.failure is None:
            return None
        return Trouble(
            "keys_unreadable",
            f"the API keys cannot be read again: {self.failure}",
            "Restore the file or its permissions; keys that were read last stay in force",
        )

    def find(self, token: bytes) -> ApiKey | None:
        """The key that a token belongs to; takes the same time for every key."""
        if len(token) > _LONGEST_TOKEN:
            return None
        digest = hashlib.sha256(token).digest()
        found = None
        for stored, key in self._keys:
            if hmac.compare_digest(stored, digest):
                found = key
        return found

    # -- administration ----------------------------------------------------------------------

    def listed(self) -> tuple[ApiKey, ...]:
        """The keys as the file has them now, in the order in which they were made.

        Raises
        ------
        StorageFailed
        """
        return self._read().keys

    def create(self, name: str, scope: Scope) -> str:
        """Add a key; answers its token, which is stored nowhere.

        Raises
        ------
        InvalidKeyName
            If it cannot be a name, or is taken.
        StorageFailed
        """
        if not _NAME.fullmatch(name):
            raise InvalidKeyName(
                f"{name[:40]!r} cannot be the name of a key; expected letters, digits, . _ - "
                "(64 at most, a letter or a digit first)"
            )
        token = KEY_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
        digest = hashlib.sha256(token.encode()).hexdigest()
        with self._one_writer():
            keys = self._read().keys
            if any(key.name == name for key in keys):
                raise InvalidKeyName(
                    f"there is a key {name} already: revoke it first, or choose another name"
                )
            key = ApiKey(name=name, scope=scope, sha256=digest, created_at=datetime.now(UTC))
            self._write((*keys, key))
        return token

    def revoke(self, name: str) -> int:
        """Remove a key; answers how many are left.

        Raises
        ------
        UnknownName, StorageFailed
        """
        with self._one_writer():
            keys = self._read().keys
            left = tuple(key for key in keys if key.name != name)
            if len(left) == len(keys):
                raise UnknownName("API key", name[:40], (key.name for key in keys))
            self._write(left)
        return len(left)

    # -- below -------------------------------------------------------------------------------

    def _look(self) -> None:
        self._look_at = time.monotonic() + _LOOK_S
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return
        # Noted before it is read, so that a damaged file is logged once, not every second.
        self._stamp = stamp
        try:
            self._take(self._read_file())
        except FileNotFoundError:
            self._locked = False
            self._tell(f"the API keys {self.path} are gone")
        except StorageFailed as error:
            self._locked = True
            self._tell(str(error))

    def _tell(self, reason: str) -> None:
        self.failure = reason
        force = "those read last stay in force"
        if not self._keys:
            force = "nobody passes" if self._locked else "there were none"
        log.error(
            f"the API keys cannot be read again; {force}",
            extra={"reason": reason, "keys": len(self._keys)},
        )

    def _take(self, document: _Document) -> None:
        self._keys = tuple((bytes.fromhex(key.sha256), key) for key in document.keys)
        self._locked, self.failure = False, None

    def _stamp_now(self) -> tuple[int, ...] | None:
        """Stamp that any change alters, also of owner and permissions; ``None`` without a file."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError:
            return ()  # there may be one; reading it raises the reason
        return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size

    def _read(self) -> _Document:
        try:
            return self._read_file()
        except FileNotFoundError:
            return _Document()

    def _read_file(self) -> _Document:
        try:
            return _Document.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the top"
            raise self._unusable(f"{where}: {first['msg']}") from error

    def _unusable(self, reason: str) -> StorageFailed:
        return StorageFailed(
            f"the API keys {self.path} cannot be used ({reason}): restore the file, or remove it "
            "and create keys anew"
        )

    def _write(self, keys: tuple[ApiKey, ...]) -> None:
        content = _Document(keys=keys).model_dump_json(indent=1).encode()
        write_atomically(self.path, content, mode=0o600, owner=self._owner())

    def _owner(self) -> tuple[int, int] | None:
        """Owner (user, group) of a file that root writes; ``None``: the user of this process."""
        if os.geteuid() != 0:
            return None
        with storage(self.path):
            status = (self.path if self.path.exists() else self.path.parent).stat()
        return status.st_uid, status.st_gid

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        with storage(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.parent / f".{self.path.name}.lock", timeout=30)
            lock.acquire()
            if owner := self._owner():
                os.chown(lock.lock_file, *owner, follow_symlinks=False)
        try:
            yield
        finally:
            lock.release()
