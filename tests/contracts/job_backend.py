"""Requirements of every job backend. Subclass in the backend's own tests, with two fixtures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

import pytest

from closecast.database import QUEUES, Database, Job, Queue
from closecast.jobs.backends import BACKENDS, JobBackend, make_backend

SYMBOLS = ("AAPL", "KO", "MSFT", "VALE3.SA")


class Consumer:
    """A worker in a thread: claims what is delivered, and notes deliveries and claims."""

    def __init__(
        self,
        backend: JobBackend,
        database: Database,
        owner: str,
        queues: Sequence[Queue] = QUEUES,
    ) -> None:
        self._queues = queues
        self.delivered: list[str] = []
        self.claimed: list[str] = []
        self.ended = threading.Event()
        self.looks = 0
        self._backend, self._database, self._owner = backend, database, owner
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self._backend.run(self._handle, self._queues, stop=self._stop)

    def _stop(self) -> bool:
        self.looks += 1
        return self.ended.is_set()

    def _handle(self, job_id: str) -> None:
        self.delivered.append(job_id)
        job = self._database.jobs.claim(self._owner, job_id)
        if job is not None:
            self.claimed.append(job.id)
            self._database.jobs.finish(job.id, self._owner, "succeeded")

    @contextmanager
    def running(self) -> Iterator[Consumer]:
        self._thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            self._thread.join(60)
            assert not self._thread.is_alive()


def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("never")


class JobBackendContract:
    """The checks. Fixture ``backend`` delivers the jobs of fixture ``database``."""

    @pytest.fixture
    def database(self) -> Database:
        raise NotImplementedError("an empty database that all consumers share")

    @pytest.fixture
    def backend(self, database: Database) -> JobBackend:
        raise NotImplementedError("a backend that delivers the jobs of `database`")

    def submit(
        self, database: Database, backend: JobBackend, symbol: str = "MSFT", task: str = "train"
    ) -> Job:
        database.jobs.publish_with(backend.publish)
        return database.jobs.submit(task, symbol, {})[0]

    def test_is_registered_under_its_name(self, backend: JobBackend, database: Database) -> None:
        module, _, cls = BACKENDS[backend.name].partition(":")
        assert getattr(import_module(module), cls) is type(backend)
        assert type(make_backend(backend.name, database)) is type(backend)

    def test_a_job_submitted_while_a_worker_runs_is_delivered(
        self, backend: JobBackend, database: Database
    ) -> None:
        with Consumer(backend, database, "one").running() as consumer:
            job = self.submit(database, backend)
            eventually(lambda: consumer.claimed == [job.id])
        assert database.jobs.get(job.id).state == "succeeded"

    def test_jobs_submitted_before_a_worker_runs_are_delivered_oldest_first(
        self, backend: JobBackend, database: Database
    ) -> None:
        submitted = [self.submit(database, backend, symbol).id for symbol in SYMBOLS]
        with Consumer(backend, database, "one").running() as consumer:
            eventually(lambda: len(consumer.claimed) == len(SYMBOLS))
        assert consumer.claimed == submitted

    def test_a_job_published_twice_runs_once(self, backend: JobBackend, database: Database) -> None:
        job = self.submit(database, backend)
        backend.publish(job.id, job.queue)
        last = self.submit(database, backend, "AAPL")
        with Consumer(backend, database, "one").running() as consumer:
            eventually(lambda: last.id in consumer.claimed)
        assert consumer.claimed == [job.id, last.id]

    def test_a_cancelled_job_does_not_run(self, backend: JobBackend, database: Database) -> None:
        cancelled = self.submit(database, backend)
        database.jobs.cancel(cancelled.id)
        last = self.submit(database, backend, "AAPL")
        with Consumer(backend, database, "one").running() as consumer:
            eventually(lambda: last.id in consumer.claimed)
        assert consumer.claimed == [last.id]

    def test_two_workers_run_each_job_once(self, backend: JobBackend, database: Database) -> None:
        submitted = [self.submit(database, backend, symbol).id for symbol in SYMBOLS]
        one, two = (Consumer(backend, database, owner) for owner in ("one", "two"))
        with one.running(), two.running():
            eventually(lambda: len(one.claimed) + len(two.claimed) >= len(SYMBOLS))
        assert sorted(one.claimed + two.claimed) == sorted(submitted)

    def test_a_job_of_a_dead_worker_is_delivered_again(
        self, backend: JobBackend, database: Database
    ) -> None:
        job = self.submit(database, backend)
        assert database.jobs.claim("dead", job.id) is not None
        database.jobs.bury_dead(database.clock() - database.clock(), lambda _: False)
        with Consumer(backend, database, "one").running() as consumer:
            eventually(lambda: consumer.claimed == [job.id])
        assert database.jobs.get(job.id).attempts == 2

    def test_stop_is_called_before_the_first_delivery(
        self, backend: JobBackend, database: Database
    ) -> None:
        self.submit(database, backend)
        delivered: list[str] = []
        backend.run(delivered.append, stop=lambda: True)
        assert delivered == []

    def test_stop_is_called_again_and_again_while_no_job_waits(
        self, backend: JobBackend, database: Database
    ) -> None:
        with Consumer(backend, database, "one").running() as consumer:
            eventually(lambda: consumer.looks >= 3)
        assert consumer.delivered == []

    @pytest.mark.parametrize(("queue", "task"), [("fast", "update"), ("train", "train")])
    def test_a_worker_of_one_queue_gets_its_jobs_only(
        self, backend: JobBackend, database: Database, queue: Queue, task: str
    ) -> None:
        jobs = {
            name: [self.submit(database, backend, symbol, name).id for symbol in SYMBOLS]
            for name in ("train", "update")
        }
        with Consumer(backend, database, "one", [queue]).running() as consumer:
            eventually(lambda: len(consumer.claimed) == len(SYMBOLS))
            looks = consumer.looks
            eventually(lambda: consumer.looks >= looks + 2)
        assert consumer.claimed == jobs[task]
        assert database.jobs.next_queued() in jobs["update" if task == "train" else "train"]

    def test_an_unknown_queue_is_refused(self, backend: JobBackend) -> None:
        with pytest.raises(ValueError, match="no-such-queue"):
            backend.run(lambda _: None, [*QUEUES, "no-such-queue"], lambda: True)  # type: ignore[list-item]
