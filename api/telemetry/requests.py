"""Counters of the requests and answers of one process; counting takes microseconds."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from api.telemetry.machine import Machine
from api.telemetry.worker_files import WorkerFiles
from closecast.database import PredictionLogWriter, PredictionRecord

BUCKETS_S = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""An answer from memory takes a third of a millisecond, one that waits for closes ten seconds."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MOST_SERIES = 2_000
"""Requests are counted by no more combinations of method, route, status and version than this, and
predictions by no more of symbol, version and warning: every training makes another version."""

UNKNOWN = "unknown"
"""Label of all symbols without a model: they are answered by the default symbol's."""

_Request = tuple[str, str, int, str]
_Counted = tuple[Callable[[], None], Callable[[float], None]]


class FinishedRequest(NamedTuple):
    """One request that was answered; a tuple, because a frozen dataclass takes longer to make.

    Attributes
    ----------
    at : float
        When it came, in seconds since 1970.
    status : int
        499 where the caller hung up before there was an answer.
    memory_percent : float
        Of the machine's memory, when it was answered.
    """

    at: float
    request_id: str
    method: str
    route: str
    status: int
    duration_s: float
    memory_percent: float


class Telemetry:
    """Counters of one process, in memory or, with several processes, in files that all can read.

    ``PROMETHEUS_MULTIPROC_DIR`` in the environment (``closecast serve --workers 2`` sets it) means
    files. They outlive a process that is killed: what it had counted stays counted.

    Parameters
    ----------
    folder : Path
        On the disk that is looked at.
    recent_requests : int
        How many finished requests are remembered one by one.
    """

    def __init__(self, folder: Path, recent_requests: int) -> None:
        shared = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self._files = WorkerFiles(Path(shared)) if shared else None
        if self._files:
            self._files.forget_own_gauges()  # of a dead process that had this one's number
        self.recent: deque[FinishedRequest] = deque(maxlen=recent_requests)
        self.machine = Machine(folder, self._note)
        self._log: PredictionLogWriter | None = None
        self._noting = threading.Lock()
        self._noted = (0.0, 0, 0)

        disable_created_metrics()  # a second, unused series for each one
        self._registry = own = CollectorRegistry()
        self._requests = Counter(
            "closecast_requests",
            "Requests answered; status 499: the caller hung up first.",
            ["method", "route", "status", "version"],
            registry=own,
        )
        self._seconds = Histogram(
            "closecast_request_seconds",
            "Time from a request's head to the last byte of its answer.",
            ["route", "version"],
            buckets=BUCKETS_S,
            registry=own,
        )
        self._in_flight = Gauge(
            "closecast_requests_in_flight",
            "Requests that are being answered.",
            ["route"],
            multiprocess_mode="livesum",
            registry=own,
        )
        self._predictions = Counter(
            "closecast_predictions",
            "Windows answered, alone or in a batch; drift_warning: whether drift found something.",
            ["symbol", "version", "drift_warning"],
            registry=own,
        )
        self._findings = Counter(
            "closecast_drift_findings",
            "What drift found in the windows answered, alone or in a batch.",
            ["symbol", "code"],
            registry=own,
        )
        self._logged = Counter(
            "closecast_predictions_logged",
            "Answers that were written to the prediction log.",
            registry=own,
        )
        self._dropped = Counter(
            "closecast_predictions_dropped",
            "Answers that the prediction log lost: too many waited, or the ledger failed.",
            registry=own,
        )
        self._waiting = Gauge(
            "closecast_predictions_waiting",
            "Answers that wait to be written to the prediction log.",
            multiprocess_mode="livesum",
            registry=own,
        )
        self._workers = Gauge(
            "closecast_processes", "API processes.", multiprocess_mode="livesum", registry=own
        )
        self._cpu = Counter(
            "closecast_process_cpu_seconds",
            "CPU time of the API processes.",
            registry=own,
        )
        self._resident = Gauge(
            "closecast_process_resident_bytes",
            "Resident memory of the API processes.",
            multiprocess_mode="livesum",
            registry=own,
        )
        self._scrape_errors = Counter(
            "closecast_scrape_errors",
            "Parts of a scrape that could not be looked up.",
            ["part"],
            registry=own,
        )
        # Looking up a child by its labels costs more than counting with it.
        self._by_request: dict[_Request, _Counted] = {}
        self._flying: dict[str, Gauge] = {}
        self._by_answer: dict[tuple[str, str, bool], Callable[[], None]] = {}
        self._by_finding: dict[tuple[str, str], Callable[[], None]] = {}

    def start(self, predictions: PredictionLogWriter) -> None:
        """Begin to measure.

        Parameters
        ----------
        predictions : PredictionLogWriter
            Whose losses are counted.
        """
        self._log = predictions
        self._workers.set(1)
        self.machine.start()

    def stop(self) -> None:
        """End."""
        self.machine.stop()
        self.machine.measure()  # what the log wrote and lost at its end
        self._workers.set(0)
        self._resident.set(0)

    def begin(self, route: str) -> None:
        """A request came."""
        flying = self._flying.get(route)
        if flying is None:
            flying = self._flying[route] = self._in_flight.labels(route)
        flying.inc()

    def end(
        self,
        at: float,
        request_id: str,
        method: str,
        route: str,
        status: int,
        duration_s: float,
        version: str,
    ) -> None:
        """It was answered; :meth:`begin` was called for it with the same route."""
        self._flying[route].dec()
        key = (method if method in METHODS else "other", route, status, version)
        counted = self._by_request.get(key)
        if counted is None:
            counted = self._children(key)
        counted[0]()
        counted[1](duration_s)
        self.recent.append(
            FinishedRequest(
                at, request_id, method, route, status, duration_s, self.machine.memory_percent
            )
        )

    def predicted(self, prediction: PredictionRecord, label: str) -> None:
        """Count an answer and what drift found.

        Parameters
        ----------
        label : str
            The symbol if it has a model, else :data:`UNKNOWN`: callers may name any symbol, and
            there are no more labels than models.
        """
        answered = (label, prediction.version, prediction.drift_warning)
        count = self._by_answer.get(answered)
        if count is None:
            symbol, version, warned = answered
            kept = len(self._by_answer) < MOST_SERIES
            labels = (symbol, version if kept else "other", "true" if warned else "false")
            count = self._predictions.labels(*labels).inc
            if kept:
                self._by_answer[answered] = count
        count()
        for code in prediction.findings:
            found = (label, code)
            count = self._by_finding.get(found)
            if count is None:
                count = self._by_finding[found] = self._findings.labels(*found).inc
            count()

    def scrape_failed(self, part: str) -> None:
        """Count a part of a scrape that is missing."""
        self._scrape_errors.labels(part).inc()

    def in_flight(self) -> int:
        """Requests that this process is answering."""
        return int(sum(s.value for metric in self._in_flight.collect() for s in metric.samples))

    def exposition(self) -> bytes:
        """Everything counted, of all processes, in Prometheus' text format.

        Raises
        ------
        StorageFailed
            If the files of several processes cannot be read.
        """
        try:
            self.machine.measure()
        except Exception:  # the numbers of a second ago will do
            self.scrape_failed("process")
        if self._files is None:
            return generate_latest(self._registry)
        return self._files.exposition()

    def _children(self, key: _Request) -> _Counted:
        method, route, status, version = key
        if len(self._by_request) >= MOST_SERIES:
            version = "other"
        found = (
            self._requests.labels(method, route, str(status), version).inc,
            self._seconds.labels(route, version).observe,
        )
        if len(self._by_request) < MOST_SERIES:
            self._by_request[key] = found
        return found

    def _note(self, machine: Machine) -> None:
        """Add the increments since the last call, made by a thread or by a scrape."""
        with self._noting:
            self._resident.set(machine.resident_bytes)
            log = self._log
            cpu, written, dropped = self._noted
            now = (
                machine.cpu_seconds,
                log.written if log else written,
                log.dropped if log else dropped,
            )
            self._noted = now
            self._cpu.inc(max(0.0, now[0] - cpu))
            self._logged.inc(now[1] - written)
            self._dropped.inc(now[2] - dropped)
            self._waiting.set(log.waiting if log else 0)
