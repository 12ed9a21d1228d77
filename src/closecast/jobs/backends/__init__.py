"""Job backends: the ways by which a queued job reaches a worker.

The record of a job and its state are in the database in every case; a backend delivers
identifiers. A new one: a file here, a line in ``BACKENDS``, and a subclass of
``tests/contracts/job_backend.py``.
"""

from __future__ import annotations

from importlib import import_module

from closecast.database import Database
from closecast.errors import UnknownName
from closecast.jobs.backends.base import JobBackend

BACKENDS = {
    "local": "closecast.jobs.backends.local:LocalBackend",
}
"""Name to ``module:class``; the module is imported when the backend is made."""


def make_backend(name: str, database: Database) -> JobBackend:
    """Make a backend by its name.

    Raises
    ------
    UnknownName
        If there is no such backend.
    """
    if name not in BACKENDS:
        raise UnknownName("job backend", name, BACKENDS)
    module, _, cls = BACKENDS[name].partition(":")
    backend: JobBackend = getattr(import_module(module), cls)(database)
    return backend


__all__ = ["BACKENDS", "JobBackend", "make_backend"]
