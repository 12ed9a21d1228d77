"""The counters of several processes: files in one folder, which any of them reads for all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import psutil
from filelock import FileLock
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from closecast.errors import StorageFailed

_WAIT_S = 10
_MOST_DEAD = 8
"""Files of dead processes are read at every scrape; more of them than this become one."""


class WorkerFiles:
    """Counters of all processes of one ``closecast serve``.

    A file is named for what it holds and for its process: ``counter_41.db``,
    ``gauge_livesum_41.db``. Counters of a dead process stay, or the sums would fall and rates jump;
    its gauges go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._alone = FileLock(folder / ".scrape.lock", timeout=_WAIT_S)

    def forget_own_gauges(self) -> None:
        """Before the first count: a process that died may have had this one's number."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._forget_gauges(os.getpid())

    def exposition(self) -> bytes:
        """The sums over all processes, in Prometheus' text format.

        Raises
        ------
        StorageFailed
            If the files cannot be read.
        """
        if not self._folder.is_dir():  # the lock would make an empty one
            raise StorageFailed(
                f"the counters of all processes are gone: no folder {self._folder.name}; a restart "
                "of the service makes it anew"
            )
        try:
            with self._alone:
                self._bury_dead()
                registry = CollectorRegistry()
                registry.register(_ReadableFiles(self._folder))
                return generate_latest(registry)
        except OSError as error:
            raise StorageFailed(f"the counters of all processes cannot be read: {error}") from error

    def _bury_dead(self) -> None:
        dead: dict[str, list[Path]] = {"counter": [], "histogram": []}
        for path in self._folder.glob("*_[0-9]*.db"):
            pid = int(path.stem.rpartition("_")[2])
            if not _serves(pid):
                self._forget_gauges(pid)
                if _is_empty(path):
                    path.unlink(missing_ok=True)
                    continue
                dead.get(path.name.partition("_")[0], []).append(path)
        for kind, files in dead.items():
            if len(files) > _MOST_DEAD:
                self._merge(kind, files)

    def _forget_gauges(self, pid: int) -> None:
        for path in self._folder.glob(f"gauge_live*_{pid}.db"):
            path.unlink(missing_ok=True)

    def _merge(self, kind: str, files: list[Path]) -> None:
        whole = self._folder / f"{kind}_dead.db"
        scratch = self._folder / f"{kind}_dead.new"
        scratch.unlink(missing_ok=True)  # of a merger that was killed
        read = [str(path) for path in (whole, *files) if path.exists()]
        _write(scratch, MultiProcessCollector.merge(read, accumulate=False))
        scratch.replace(whole)
        for path in files:
            path.unlink()


class _ReadableFiles(Collector):
    """The sums over a folder, less files that have no content yet.

    Their process was killed at the moment when it had made one, or it found no space.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        files = [str(path) for path in self._folder.glob("*.db") if not _is_empty(path)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=True)
        return merged


def _is_empty(path: Path) -> bool:
    return path.exists() and not path.stat().st_size


def _write(path: Path, metrics: Iterable[Metric]) -> None:
    file = MmapedDict(str(path))
    for metric in metrics:
        for sample in metric.samples:
            names, values = list(sample.labels), list(sample.labels.values())
            key = mmap_key(metric.name, sample.name, names, values, metric.documentation)
            file.write_value(key, sample.value, 0.0)
    file.close()


def _serves(pid: int) -> bool:
    """True for a live process with the same parent as this one."""
    if pid == os.getpid():
        return True
    try:
        process = psutil.Process(pid)
        ours = process.ppid() == os.getppid()
        return bool(ours and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
