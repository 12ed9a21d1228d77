"""Bundles and pointers: what was trained, never changed again, and which of it is current.

``<root>/bundles/<version>/`` holds a bundle, ``<root>/current/<symbol>.json`` a pointer.
The root is a folder or any fsspec URL. A bundle becomes visible whole: locally by one
rename, on an object store by its manifest, which is written last.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
from filelock import FileLock
from pydantic import ValidationError

from closecast.atomic import storage, sync_folder, write_atomically
from closecast.bundle import (
    GATE,
    Bundle,
    BundleInfo,
    Manifest,
    Pointer,
    Promotion,
    hashes_of,
    require_symbol,
    require_verified,
)
from closecast.confinement import leads_out
from closecast.errors import (
    BadSetting,
    ClosecastError,
    DamagedBundle,
    PointerMoved,
    RolledBack,
    StorageFailed,
    UnknownVersion,
    UnverifiedBundle,
)
from closecast.symbols import canonical, folder_name

MANIFEST = "manifest.json"
_ABANDONED_S = 3600.0
_TICK_NS = 50_000_000
_VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Stamps:
    """What shows that a pointer was moved, without reading it.

    Attributes
    ----------
    folder : int, optional
        When the folder of pointers changed, in nanoseconds; ``None`` if that tells nothing.
    """

    folder: int | None
    files: Mapping[str, object]

    def of(self, symbol: str) -> object:
        """Of one symbol; ``None`` if it has no pointer."""
        return self.files.get(f"{folder_name(symbol)}.json")


class Registry:
    """Reads and writes one root. Safe for several processes on one local folder."""

    def __init__(self, url: str) -> None:
        try:
            self._fs, root = fsspec.core.url_to_fs(url, **_no_cached_listings(url))
        except (ValueError, ImportError) as error:
            raise BadSetting(
                f"CLOSECAST_MODELS_URL: {error}; s3:// needs the extra closecast[s3]"
            ) from error
        self._root = root.rstrip("/")
        protocol = self._fs.protocol
        self._local = "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    # -- bundles ---------------------------------------------------------------------------

    def publish(self, info: BundleInfo, files: Mapping[str, bytes]) -> Manifest:
        """Store a bundle whole and for good; it is not current yet.

        Raises
        ------
        StorageFailed
            If the disk is full or not writable; nothing of the bundle is visible then.
        """
        now = datetime.now(UTC)
        draft = Manifest(version="", created_at=now, info=info, sha256=hashes_of(files))
        version = f"{now:%Y%m%dT%H%M%SZ}-{_digits(draft.model_dump_json())}"
        manifest = draft.model_copy(update={"version": version})
        content = manifest.model_dump_json(indent=1).encode()
        target = self._path("bundles", version)
        self._require_inside(target)
        with _reaching("write", target), storage(target):
            if self._local:
                _publish_folder(Path(target), {**files, MANIFEST: content})
            else:
                for name, blob in files.items():
                    self._fs.pipe_file(f"{target}/{name}", blob)
                self._fs.pipe_file(f"{target}/{MANIFEST}", content)
        return manifest

    def manifest(self, version: str) -> Manifest:
        """A bundle's manifest.

        Raises
        ------
        UnknownVersion, DamagedBundle
        """
        _check_version(version)
        try:
            content = self._read(self._path("bundles", version, MANIFEST))
        except FileNotFoundError:
            if self._exists(self._path("bundles", version)):
                raise DamagedBundle(f"bundle {version} has no {MANIFEST}: half written") from None
            raise UnknownVersion(f"no bundle {version}; GET /model/versions lists them") from None
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            raise DamagedBundle(
                f"bundle {version}: {MANIFEST} is not one of ours ({error.error_count()} problems, "
                f"first at {'.'.join(map(str, error.errors()[0]['loc'])) or 'the top'})"
            ) from error
        if manifest.version != version:
            raise DamagedBundle(f"bundle {version} says it is {manifest.version}: a foreign folder")
        if _digits(content) != version.rpartition("-")[2]:
            raise DamagedBundle(
                f"bundle {version}: {MANIFEST} was altered (its version is not of its content)"
            )
        return manifest

    def load(self, version: str) -> Bundle:
        """A bundle with all its files, each checked against its SHA-256.

        Raises
        ------
        UnknownVersion, DamagedBundle
        """
        manifest = self.manifest(version)
        files = {}
        for name, expected in manifest.sha256.items():
            if not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", name):
                raise DamagedBundle(
                    f"bundle {version} names a file {name!r}, which none of ours has"
                )
            try:
                content = self._read(self._path("bundles", version, name))
            except FileNotFoundError:
                raise DamagedBundle(f"bundle {version}: {name} is missing") from None
            if hashlib.sha256(content).hexdigest() != expected:
                raise DamagedBundle(
                    f"bundle {version}: {name} was altered (its SHA-256 is not the manifest's)"
                )
            files[name] = content
        return Bundle(manifest, files)

    def load_to_serve(self, version: str, symbol: str) -> Bundle:
        """A bundle that may be current for a symbol: whole, made for it, checked for leaks.

        Promotion, rollback and serving all load by this, so none takes what another refuses.

        Raises
        ------
        UnknownVersion
            If there is none, or it is for other symbols.
        DamagedBundle, UnverifiedBundle
        """
        bundle = self.load(version)
        require_symbol(bundle.manifest, canonical(symbol))
        require_verified(bundle.manifest)
        return bundle

    def files_of(self, version: str) -> set[str]:
        """Names of the files that a bundle's folder really holds now."""
        _check_version(version)
        return set(self._names(f"bundles/{version}"))

    def versions(self, symbol: str | None = None) -> Iterator[Manifest]:
        """Manifests of the bundles that are whole, newest first; of one symbol if named."""
        wanted = canonical(symbol) if symbol else None
        for version in sorted(self._names("bundles"), reverse=True):
            if not _VERSION.fullmatch(version):
                continue
            try:
                manifest = self.manifest(version)
            except (DamagedBundle, UnknownVersion):
                continue  # it can never be served, and asking for it by name says why
            if wanted is None or wanted in manifest.info.symbols:
                yield manifest

    # -- pointers --------------------------------------------------------------------------

    def pointer(self, symbol: str) -> Pointer | None:
        """What is current for a symbol, or ``None``.

        Raises
        ------
        DamagedBundle
            If the pointer's file is not one of ours.
        """
        try:
            content = self._read(self._pointer_path(symbol))
        except FileNotFoundError:
            return None
        try:
            pointer = Pointer.model_validate_json(content)
        except ValidationError as error:
            raise DamagedBundle(f"the pointer of {symbol} is not one of ours: {error}") from error
        if pointer.symbol != canonical(symbol):
            raise DamagedBundle(f"the pointer of {symbol} is one of {pointer.symbol}")
        return pointer

    @property
    def is_local(self) -> bool:
        """Whether a look at the pointers costs no request over a network."""
        return self._local

    def pointer_stamps(self, before: Stamps | None = None) -> Stamps:
        """Something per pointer that is another one after the pointer was moved.

        Costs one look at a folder where nothing has moved, or one listing on an object store,
        however many pointers there are.

        Parameters
        ----------
        before : Stamps, optional
            Of an earlier look; answered again as it is where nothing has moved since.

        Raises
        ------
        StorageFailed
            If the place does not answer.
        """
        path = self._path("current")
        if not self._local:
            return Stamps(None, self._listed(path))
        with _reaching("read", path):
            try:
                changed = os.stat(path).st_mtime_ns
            except FileNotFoundError:
                return Stamps(None, {})
            # Within one tick of the file system's clock a second change leaves the same time.
            settled = abs(time.time_ns() - changed) > _TICK_NS
            if settled and before is not None and before.folder == changed:
                return before
            files = {}
            for entry in os.scandir(path):
                with suppress(FileNotFoundError):  # a scratch file of somebody who writes now
                    status = entry.stat()
                    files[entry.name] = (status.st_mtime_ns, status.st_ino, status.st_size)
        return Stamps(changed if settled else None, files)

    def _listed(self, path: str) -> dict[str, object]:
        try:
            with _reaching("read", path):
                found = self._fs.ls(path, detail=True)
        except FileNotFoundError:
            return {}
        marks = ("ETag", "etag", "md5Hash", "LastModified", "updated", "last_modified", "created")
        return {
            str(item["name"]).rstrip("/").rsplit("/", 1)[-1]: (
                item.get("size"),
                *(str(item[mark]) for mark in marks if mark in item),
            )
            for item in found
        }

    def symbols(self) -> list[str]:
        """Symbols that have a pointer."""
        names = (n.removesuffix(".json") for n in self._names("current") if n.endswith(".json"))
        return sorted(n.replace("%5E", "^").replace("%3D", "=") for n in names)

    def promote(
        self,
        symbol: str,
        version: str,
        reason: str,
        *,
        by: str = GATE,
        expected: int | None = None,
    ) -> Pointer:
        """Make a published bundle current for a symbol.

        A pointer whose file is damaged is replaced, unless ``expected`` is given. Its history is
        lost, and with it what was rolled back. The new generation is a time (microseconds since
        1970): larger than any count of steps and than any such time before, so no process takes
        the new pointer for one that it has served.

        Parameters
        ----------
        by : str
            Who asks: the gate, or a person, who may also promote what was rolled back.
        expected : int, optional
            Generation of the pointer that this was decided against, 0 for none: compare and
            swap. In a folder that is one step under the lock of all writers. Object stores have
            no lock: there, another writer can come between the comparison and the swap.

        Raises
        ------
        UnknownVersion, DamagedBundle, UnverifiedBundle
            If it could not be served; the pointer stays. Also :class:`DamagedBundle` if the
            pointer is damaged, and so cannot be compared with ``expected``.
        PointerMoved
            If the pointer is not at the expected generation.
        RolledBack
            If the gate asks for a version that was rolled back from.
        """
        symbol = canonical(symbol)
        self.load_to_serve(version, symbol)
        with self._one_writer():
            before, generation = self._before(symbol, expected)
            if before is not None and by == GATE and version in before.rolled_back:
                left = next(s for s in reversed(before.history) if s.rolled_back == version)
                raise RolledBack(symbol, version, left.by, left.at, left.reason)
            step = Promotion(
                version=version,
                generation=generation + 1,
                at=datetime.now(UTC),
                reason=reason,
                by=by,
            )
            return self._point(symbol, before, step)

    def rollback(
        self,
        symbol: str,
        reason: str,
        version: str | None = None,
        *,
        by: str = GATE,
        expected: int | None = None,
    ) -> Pointer:
        """Make an earlier bundle of the pointer's history current again.

        Parameters
        ----------
        version : str, optional
            One of the history. Without it, the one that was current before this one first was,
            and may still be served: going back again and again walks down the history, and
            never up to what was left.
        by : str
            Who asks. The gate will not promote the version that is left here again.
        expected : int, optional
            Generation of the pointer that this was decided against, as of :meth:`promote`.

        Raises
        ------
        UnknownVersion
            If the history holds no such bundle.
        DamagedBundle
            If the named one fails its hashes, or the pointer is damaged: promote instead.
        UnverifiedBundle
            If the named one carries no passed leak check.
        PointerMoved
            If the pointer is not at the expected generation.
        """
        symbol = canonical(symbol)
        with self._one_writer():
            if expected is None:
                pointer = self.pointer(symbol)
            else:
                pointer, _ = self._before(symbol, expected)
            if pointer is None:
                raise UnknownVersion(
                    f"{symbol} has no model yet, so there is nothing to go back to"
                )
            earlier = _earlier_versions(pointer)
            if version is not None and version not in earlier:
                raise UnknownVersion(
                    f"{version[:40]!r} was never current for {symbol} before {pointer.version}; "
                    f"earlier ones: {', '.join(earlier) or 'none'}"
                )
            for candidate in [version] if version else earlier:
                try:
                    self.load_to_serve(candidate, symbol)
                except (DamagedBundle, UnknownVersion, UnverifiedBundle):
                    if version:
                        raise
                    continue
                step = Promotion(
                    version=candidate,
                    generation=pointer.generation + 1,
                    at=datetime.now(UTC),
                    reason=reason,
                    by=by,
                    kind="rollback",
                    rolled_back=pointer.version,
                )
                return self._point(symbol, pointer, step)
            raise UnknownVersion(f"{symbol} has no earlier bundle that is whole and verified")

    # -- below ------------------------------------------------------------------------------

    def _before(self, symbol: str, expected: int | None) -> tuple[Pointer | None, int]:
        """The pointer to replace, and the generation that the next one comes after."""
        try:
            before = self.pointer(symbol)
        except DamagedBundle:
            if expected is not None:
                raise
            return None, time.time_ns() // 1000
        generation = before.generation if before else 0
        if expected is not None and expected != generation:
            history = before.history if before else ()
            was = next((s.version for s in history if s.generation == expected), None)
            found = (generation, before.version if before else None)
            raise PointerMoved(symbol, (expected, was), found)
        return before, generation

    def _point(self, symbol: str, before: Pointer | None, step: Promotion) -> Pointer:
        pointer = Pointer(
            symbol=symbol,
            version=step.version,
            generation=step.generation,
            history=((*before.history, step) if before else (step,)),
        )
        content = pointer.model_dump_json(indent=1).encode()
        path = self._pointer_path(symbol)
        if self._local:
            # The file itself may be a link: it is replaced, not followed.
            self._require_inside(self._path("current"))
            write_atomically(Path(path), content)
        else:
            with _reaching("write", path), storage(path):
                self._fs.pipe_file(path, content)
        return pointer

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        """Pointer changes one after the other; object stores have no lock to take."""
        if not self._local:
            yield
            return
        with storage(self._root):
            os.makedirs(self._root, exist_ok=True)
            lock = FileLock(os.path.join(self._root, ".pointers.lock"), timeout=30)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _path(self, *parts: str) -> str:
        return "/".join([self._root, *parts])

    def _pointer_path(self, symbol: str) -> str:
        return self._path("current", f"{folder_name(symbol)}.json")

    def _require_inside(self, path: str) -> None:
        """Raise :class:`DamagedBundle` where a link leads out of a local root."""
        if self._local and leads_out(self._root, path):
            raise DamagedBundle(
                f"{path} leads out of {self._root}, by a link: what lies elsewhere is not served. "
                "Put the files themselves there"
            )

    def _read(self, path: str) -> bytes:
        self._require_inside(path)
        with _reaching("read", path):
            content: bytes = self._fs.cat_file(path)
        return content

    def _exists(self, path: str) -> bool:
        self._require_inside(path)
        with _reaching("read", path):
            return bool(self._fs.exists(path))

    def _names(self, folder: str) -> list[str]:
        path = self._path(folder)
        self._require_inside(path)
        try:
            with _reaching("read", path):
                paths = self._fs.ls(path, detail=False)
        except FileNotFoundError:
            return []
        return [str(path).rstrip("/").rsplit("/", 1)[-1] for path in paths]


def _digits(manifest: str | bytes) -> str:
    """Eight digits over all that a manifest says but its version, which ends in them."""
    said = {key: value for key, value in json.loads(manifest).items() if key != "version"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]


@contextmanager
def _reaching(verb: str, place: str) -> Iterator[None]:
    """Turn what a store raises into :class:`StorageFailed`, but for "there is no such file"."""
    try:
        yield
    except (ClosecastError, FileNotFoundError):
        raise
    except Exception as error:  # object stores raise the errors of half a dozen libraries
        raise StorageFailed(
            f"cannot {verb} {place}: {error}; check that the place exists and answers"
        ) from error


def _earlier_versions(pointer: Pointer) -> list[str]:
    """Versions to go back to, the best first: a stack that a rollback pops, not a ping-pong."""
    stack: list[str] = []
    for step in pointer.history:
        if step.version in stack:
            del stack[stack.index(step.version) + 1 :]
        else:
            stack.append(step.version)
    return [version for version in reversed(stack) if version != pointer.version]


def _publish_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write beside the target, make it durable, rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(".publishing-*"):  # of a process that was killed meanwhile
        with suppress(FileNotFoundError):  # its writer has just finished
            if abs(time.time() - left.stat().st_mtime) > _ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=".publishing-", dir=target.parent))
    try:
        scratch.chmod(0o755)
        for name, content in files.items():
            with open(scratch / name, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        sync_folder(scratch)
        os.rename(scratch, target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    try:
        sync_folder(target.parent)
    except OSError:
        shutil.rmtree(target, ignore_errors=True)  # the caller is told that nothing was changed
        raise


def _check_version(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise UnknownVersion(
            f"{version[:40]!r} is not a version; one looks like 20260102T030405Z-0a1b2c3d"
        )


def _no_cached_listings(url: str) -> dict[str, Any]:
    return {"use_listings_cache": False} if "://" in url and not url.startswith("file:") else {}
