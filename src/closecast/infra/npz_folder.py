"""A folder of small numpy files, one per key: written whole or not at all, never pickled."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar
from zipfile import BadZipFile

import numpy as np

from closecast.errors import StorageFailed
from closecast.infra.files import write_atomically
from closecast.infra.paths import leads_out

T = TypeVar("T")


class NpzFolder(Generic[T]):
    """Reads each file once until it changes.

    Parameters
    ----------
    kind : str
        What a file is, for messages: ``"calendar of"``.
    parse : callable
        From a key and a file's arrays to what they mean; raises anything if they do not fit.
    """

    def __init__(
        self, folder: Path, kind: str, parse: Callable[[str, Mapping[str, Any]], T]
    ) -> None:
        self.folder = folder
        self._kind = kind
        self._parse = parse
        self._seen: dict[str, tuple[tuple[int, int, int], T]] = {}

    def put(self, path: Path, arrays: Mapping[str, Any]) -> Path:
        """Replace a file.

        Raises
        ------
        StorageFailed
            If the folder cannot be written; the earlier file stays.
        """
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_atomically(path, buffer.getvalue())
        return path

    def get(self, path: Path, key: str) -> T | None:
        """Newest stored arrays, or ``None``. Cheap when nothing changed.

        Raises
        ------
        StorageFailed
            If the file is damaged or cannot be read.
        """
        try:
            status = os.stat(path)
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            seen = self._seen.get(key)
            if seen is not None and seen[0] == stamp:
                return seen[1]
            if leads_out(self.folder, path):
                raise StorageFailed(
                    f"the {self._kind} {key} leads out of {self.folder}, by a link: put the file "
                    "itself there, or collect again"
                )
            content = path.read_bytes()  # numpy leaves a file open that it cannot read
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageFailed(
                f"the {self._kind} {key} cannot be read: {error}; check {self.folder}"
            ) from error
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                # numpy stops reading before the end of a member, where its checksum is compared.
                if damaged := file.zip.testzip():
                    raise BadZipFile(f"{damaged} is not what was written")
                found = self._parse(key, file)
        except Exception as error:  # numpy's and zip's readers raise a dozen kinds on wrong bytes
            raise StorageFailed(
                f"the {self._kind} {key} is damaged ({error!r}); "
                f"delete {path.name} and collect again"
            ) from error
        self._seen[key] = (stamp, found)
        return found
