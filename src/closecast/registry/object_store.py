"""A folder or an object store by its URL: files whole or absent, and none outside is reached."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from filelock import FileLock

from closecast.core.symbols import folder_name
from closecast.errors import BadSetting, ClosecastError, DamagedBundle, StorageFailed
from closecast.infra.files import TICK_NS, storage, sync_folder, write_atomically
from closecast.infra.leftovers import remove_old
from closecast.infra.paths import leads_out
from closecast.infra.write_probe import require_writable


@dataclass(frozen=True, slots=True)
class Stamps:
    """File stamps: they change when a symbol's file is written.

    Attributes
    ----------
    folder : int, optional
        When the folder changed, in nanoseconds; ``None`` if it is not known.
    files : mapping
        By name.
    """

    folder: int | None
    files: Mapping[str, object]

    def of(self, symbol: str) -> object:
        """Of one symbol; ``None`` if it has no file."""
        return self.files.get(f"{folder_name(symbol)}.json")


class Store:
    """One root. Safe for several processes on one local folder; places in it are relative.

    Raises
    ------
    BadSetting
        If nothing can be reached by such a URL.
    """

    def __init__(self, url: str) -> None:
        try:
            self._fs, root = fsspec.core.url_to_fs(url, **_no_cached_listings(url))
        except (ValueError, ImportError) as error:
            raise BadSetting(
                f"CLOSECAST_MODELS_URL: {error}; s3:// needs the extra closecast[s3]"
            ) from error
        self._root = root.rstrip("/")
        protocol = self._fs.protocol
        self.is_local = "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def read(self, place: str) -> bytes:
        """A file.

        Raises
        ------
        FileNotFoundError, StorageFailed
        DamagedBundle
            If a link leads out of the root; so do all others.
        """
        path = self._inside(place)
        with _reaching("read", path):
            content: bytes = self._fs.cat_file(path)
        return content

    def exists(self, place: str) -> bool:
        """Check that there is a file or a folder."""
        path = self._inside(place)
        with _reaching("read", path):
            return bool(self._fs.exists(path))

    def names(self, folder: str) -> list[str]:
        """Of all that a folder holds; none where there is no such folder."""
        path = self._inside(folder)
        try:
            with _reaching("read", path):
                paths = self._fs.ls(path, detail=False)
        except FileNotFoundError:
            return []
        return [_last_part(path) for path in paths]

    def write(self, place: str, content: bytes) -> None:
        """Replace a file, or leave it as it was.

        Raises
        ------
        StorageFailed
        """
        if self.is_local:
            # The file itself may be a link: it is replaced, not followed.
            folder, _, name = place.rpartition("/")
            write_atomically(Path(self._inside(folder), name), content)
            return
        path = self._inside(place)
        with _reaching("write", path), storage(path):
            self._fs.pipe_file(path, content)

    def remove(self, place: str) -> None:
        """Remove a file; nothing happens where there is none.

        Raises
        ------
        StorageFailed
        """
        path = self._inside(place)
        with suppress(FileNotFoundError), _reaching("remove", path), storage(path):
            self._fs.rm_file(path)

    def publish(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Make a folder visible whole: by one rename, or, on an object store, the last file last.

        Raises
        ------
        StorageFailed
            If the disk is full or not writable; nothing of the folder is visible then.
        """
        target = self._inside(folder)
        with _reaching("write", target), storage(target):
            if self.is_local:
                _publish_folder(Path(target), files)
            else:
                for name, blob in files.items():
                    self._fs.pipe_file(f"{target}/{name}", blob)

    def require_writable(self, folders: Sequence[str], reserve_bytes: int) -> None:
        """Try out folders, or one object of a store, before work that ends with writing there.

        Raises
        ------
        StorageFailed
        """
        if self.is_local:
            places = [(Path(self._inside(folder)), "CLOSECAST_MODELS_URL") for folder in folders]
            require_writable(places, reserve_bytes)
            return
        path = self._inside(".write-probe")  # one name: a store may refuse to remove it
        with _reaching("write", path), storage(path):
            self._fs.pipe_file(path, b"-")
        with suppress(Exception):
            self._fs.rm_file(path)

    def stamps(self, folder: str, before: Stamps | None = None) -> Stamps:
        """Something per file that is another one after the file was replaced.

        Costs one look at a folder where nothing has changed, or one listing on an object store.

        Parameters
        ----------
        before : Stamps, optional
            Of an earlier look; answered again as it is where nothing has changed since.

        Raises
        ------
        StorageFailed
        """
        path = f"{self._root}/{folder}"
        if not self.is_local:
            return Stamps(None, self._listed(path))
        with _reaching("read", path):
            try:
                changed = os.stat(path).st_mtime_ns
            except FileNotFoundError:
                return Stamps(None, {})
            # Within one tick of the file system's clock a second change leaves the same time.
            settled = abs(time.time_ns() - changed) > TICK_NS
            if settled and before is not None and before.folder == changed:
                return before
            files = {}
            for entry in os.scandir(path):
                with suppress(FileNotFoundError):  # a scratch file that was just renamed
                    status = entry.stat()
                    files[entry.name] = (status.st_mtime_ns, status.st_ino, status.st_size)
        return Stamps(changed if settled else None, files)

    @contextmanager
    def one_writer(self) -> Iterator[None]:
        """One process after the other; object stores have no lock to take."""
        if not self.is_local:
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

    def _inside(self, place: str) -> str:
        """The path of a place; raises DamagedBundle where a link leads out of a local root."""
        path = f"{self._root}/{place}"
        if self.is_local and leads_out(self._root, path):
            raise DamagedBundle(
                f"{path} leads out of {self._root}, by a link: what lies elsewhere is not served. "
                "Put the files themselves there"
            )
        return path

    def _listed(self, path: str) -> dict[str, object]:
        try:
            with _reaching("read", path):
                found = self._fs.ls(path, detail=True)
        except FileNotFoundError:
            return {}
        marks = ("ETag", "etag", "md5Hash", "LastModified", "updated", "last_modified", "created")
        return {
            _last_part(item["name"]): (
                item.get("size"),
                *(str(item[mark]) for mark in marks if mark in item),
            )
            for item in found
        }


def _last_part(path: object) -> str:
    return str(path).rstrip("/").rsplit("/", 1)[-1]


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


def _publish_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write beside the target, make it durable, rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_old(target.parent.glob(".publishing-*"))  # of processes that were killed
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
        shutil.rmtree(target, ignore_errors=True)  # the error states that nothing was changed
        raise


def _no_cached_listings(url: str) -> dict[str, Any]:
    return {"use_listings_cache": False} if "://" in url and not url.startswith("file:") else {}
