"""Submitting jobs: one active job per symbol, one job per idempotency key."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from closecast.core.symbols import readable_panel
from closecast.database.job_execution import JobExecution
from closecast.database.job_records import ACTIVE, JOBS, KEYS, Job, digest, queue_of, to_job
from closecast.errors import JobConflict, StorageFailed


class Jobs(JobExecution):
    """All operations on jobs: submit here, run and query in the base classes."""

    def submit(
        self,
        task: str,
        symbol: str,
        arguments: Mapping[str, Any],
        idempotency_key: str | None = None,
        request: str | None = None,
    ) -> tuple[Job, bool]:
        """Queue a job and publish it, unless the same request has a job already.

        A job that still waits is published again: that repairs a delivery that was lost.

        Parameters
        ----------
        task, symbol, arguments
            Name in :data:`closecast.jobs.tasks.TASKS`; symbol or panel; JSON values.
        idempotency_key : str, optional
            The same key answers the same job at any time.
        request : str, optional
            The text of the request that the key belongs to; by default the arguments, which
            may also depend on settings that change.

        Returns
        -------
        job, created : Job, bool
            The same arguments while such a job is active, or the same key at any time,
            answer the first job.

        Raises
        ------
        JobConflict
            If another job of the task is active for the symbol, or the key was used for
            another request.
        """
        job, created = self._store(task, symbol, arguments, idempotency_key, request)
        self._deliver(job)
        return job, created

    def _store(
        self,
        task: str,
        symbol: str,
        arguments: Mapping[str, Any],
        idempotency_key: str | None,
        request: str | None,
    ) -> tuple[Job, bool]:
        fingerprint = digest([task, symbol, dict(arguments)])
        sent = _sent(task, symbol, arguments, request)
        for _ in range(5):  # the job in the way may end between the refusal and the look at it
            job_id = uuid.uuid4().hex
            row = {
                "id": job_id,
                "task": task,
                "queue": queue_of(task),
                "symbol": symbol,
                "arguments": dict(arguments),
                "fingerprint": fingerprint,
                "request_digest": sent,
                "state": "queued",
                "progress": {},
                "cancel_requested": False,
                "attempts": 0,
                "created_at": self._clock(),
            }
            try:
                with self._engine.transaction() as connection:
                    if found := self._keyed(connection, idempotency_key, sent, task, request):
                        return found, False
                    twin = self._twin(connection, task, symbol, fingerprint)
                    if twin is None:
                        connection.execute(JOBS.insert().values(row))
                    if idempotency_key is not None:
                        connection.execute(
                            KEYS.insert().values(
                                key=idempotency_key,
                                request_digest=sent,
                                job_id=twin.id if twin else job_id,
                            )
                        )
                return (twin, False) if twin else (self.get(job_id), True)
            except sa.exc.IntegrityError:
                continue
        raise StorageFailed(f"could not queue {task} for {symbol}: the ledger is too busy")

    def replayed(self, task: str, idempotency_key: str, request: str) -> Job | None:
        """Return the job of a key, even where the request would be read differently now.

        Raises
        ------
        JobConflict
            If the key was used for another request.
        """
        sent = _sent(task, "", {}, request)
        with self._engine.transaction(read_only=True) as connection:
            return self._keyed(connection, idempotency_key, sent, task, request)

    def _keyed(
        self, connection: Connection, key: str | None, sent: str, task: str, request: str | None
    ) -> Job | None:
        if key is None:
            return None
        bound = connection.execute(
            sa.select(KEYS.c.job_id, KEYS.c.request_digest).where(KEYS.c.key == key)
        ).first()
        if bound is None:  # keys of a ledger that an earlier version wrote stand beside the jobs
            bound = connection.execute(
                sa.select(JOBS.c.id.label("job_id"), JOBS.c.request_digest).where(
                    JOBS.c.idempotency_key == key
                )
            ).first()
        if bound is None:
            return None
        job = to_job(connection.execute(JOBS.select().where(JOBS.c.id == bound.job_id)).one())
        # An earlier version took the symbol in, which for a request without one is the panel that
        # was served then.
        if bound.request_digest not in (sent, digest([task, job.symbol, request])):
            raise JobConflict(
                "this Idempotency-Key was used for another request: send a new key", job.id
            )
        return job

    def _twin(self, connection: Connection, task: str, symbol: str, fingerprint: str) -> Job | None:
        row = connection.execute(
            JOBS.select().where(
                JOBS.c.task == task,
                JOBS.c.symbol == symbol,
                JOBS.c.state.in_(ACTIVE),
            )
        ).first()
        if row is None:
            return None
        if row.fingerprint != fingerprint:
            raise JobConflict(
                f"another {task} job for {readable_panel(symbol)} is {row.state}: wait for it or "
                "cancel it",
                row.id,
            )
        return to_job(row)


def _sent(task: str, symbol: str, arguments: Mapping[str, Any], request: str | None) -> str:
    """Hash what the caller sent; the symbols and settings it leads to may change later."""
    return digest([task, symbol, dict(arguments)] if request is None else [task, request])
