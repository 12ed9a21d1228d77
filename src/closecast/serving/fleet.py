"""The fleet: all processes that serve the same models. Each reports itself to the database."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from closecast.database import ApiProcesses, OtherClocks, ProcessState, ServedModel
from closecast.errors import ClosecastError
from closecast.infra.latency import Latencies
from closecast.infra.processes import is_alive, owner_name
from closecast.infra.trouble import Trouble
from closecast.serving.model_manager import ModelManager

log = logging.getLogger(__name__)

_POLL_S = 0.05
_BEAT_S = 2.0
_FORGET_S = 5.0
_P95_WINDOW_S = 5.0
_P95_AT_LEAST = 20


@dataclass(frozen=True, slots=True)
class ServingProcess:
    """The model that one process serves for one symbol.

    Attributes
    ----------
    process : str
        Its name; see :func:`closecast.infra.processes.owner_name`.
    serving : ServedModel, optional
        ``None`` until a request for the symbol reaches the process: models are loaded on demand.
    """

    process: str
    symbol: str
    serving: ServedModel | None
    since: datetime | None
    started_at: datetime
    seen_at: datetime

    def has_followed(self, generation: int) -> bool:
        """Return whether it has loaded the model of a generation, or reported a failure to."""
        if self.serving is None:
            return True
        reached = max(self.serving.generation or 0, self.serving.failed_generation or 0)
        return reached >= generation


@dataclass(frozen=True, slots=True)
class Fleet:
    """Models served by all live processes.

    Attributes
    ----------
    unknown : str, optional
        Reason for which only the answering process is known.
    """

    workers: tuple[ServingProcess, ...]
    unknown: str | None = None


class FleetReporter:
    """Thread that reports the models and the latency of this process to the database.

    Writes changes at once after :meth:`wake`, and a heartbeat every two seconds, together with
    models loaded on demand. If the database cannot be written, serving goes on, and the report is
    written in full when it can be reached again.
    """

    def __init__(
        self,
        models: ModelManager,
        processes: ApiProcesses,
        latencies: Latencies,
        clocks: OtherClocks | None = None,
    ) -> None:
        self._clocks = clocks
        self._models = models
        self._processes = processes
        self._latencies = latencies
        self.process = owner_name()
        self._started_at = datetime.now(UTC)
        self._reported: Mapping[str, ServedModel] | None = None
        self._beaten = self._forgotten = 0.0
        self.failure: str | None = None
        """Reason for which the last report could not be written; ``None`` if it could."""
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="fleet-reporter", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and take this process off the list."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=3)
        try:
            self._processes.forget(self.process)
        except ClosecastError:
            return  # other processes will find that this one has ended

    def wake(self) -> None:
        """Signal that something may have changed; returns at once."""
        self._wake.set()

    def trouble(self) -> Trouble | None:
        """The failure of the last report as a trouble: the ledger cannot be written."""
        if self.failure is None:
            return None
        return Trouble(
            "ledger_unusable",
            f"this process cannot write to the ledger: {self.failure.partition('. POST /')[0]}",
            "Free space, check permissions of the file and its folder; predictions go on",
        )

    def fleet(self, symbols: Sequence[str]) -> Fleet:
        """Read the models of every live process for symbols; this one's are always current."""
        own = self._now()
        now = datetime.now(UTC)

        def of_this(symbol: str, since: datetime | None = None) -> ServingProcess:
            return ServingProcess(
                self.process, symbol, own.get(symbol), since, self._started_at, now
            )

        try:
            found = self._processes.living(symbols, is_alive)
        except ClosecastError as error:
            return Fleet(tuple(of_this(symbol) for symbol in symbols), str(error))
        workers = []
        for symbol, states in found.items():
            here = next((state for state in states if state.id == self.process), None)
            workers.append(of_this(symbol, here.since if here else None))
            workers += [_worker(symbol, s) for s in states if s.id != self.process]
        return Fleet(tuple(workers))

    def wait_for(self, generations: Mapping[str, int], timeout_s: float = 2.0) -> Fleet:
        """Wait until every process has followed its pointers, or the time is up.

        Blocks; never to be called from an event loop.

        Parameters
        ----------
        generations : mapping
            Generation of the pointer to be followed, by symbol.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self.wake()
            fleet = self.fleet(list(generations))
            others = (w for w in fleet.workers if w.process != self.process)
            followed = all(w.has_followed(generations[w.symbol]) for w in others)
            if followed or time.monotonic() >= deadline:
                return fleet
            time.sleep(_POLL_S)

    def look(self) -> None:
        """Write changes since the last report, or a heartbeat when it is due."""
        now = time.monotonic()
        reported, serving = self._reported, self._now()
        if reported is None or serving != reported:
            self._report(reported, serving)
            self._beaten = now
        elif now - self._beaten >= 0.9 * _BEAT_S:
            if not self._processes.beat(self.process, self._p95_ms()):
                self._report(None, serving)
            self._beaten = now
        if now - self._forgotten >= _FORGET_S:
            self._processes.forget_dead(is_alive)
            self._forgotten = now
            self._compare_clocks()

    def _compare_clocks(self) -> None:
        """Warn once if the clock of the database, or of another process, is another."""
        found = self._clocks.look() if self._clocks is not None else None
        if found is not None:
            log.warning(
                "another clock: set both, by NTP for example; times that are shown are "
                "each machine's own",
                extra={"of": found.owner, "ahead_s": found.ahead_s},
            )
            self._clocks = None

    def _report(
        self, reported: Mapping[str, ServedModel] | None, serving: Mapping[str, ServedModel]
    ) -> None:
        whole = reported is None or not reported.keys() <= serving.keys()
        new = {s: one for s, one in serving.items() if whole or (reported or {}).get(s) != one}
        p95_ms = self._p95_ms()
        self._processes.report(self.process, self._started_at, new, p95_ms, whole=whole)
        self._reported = serving

    def _now(self) -> dict[str, ServedModel]:
        serving = {
            snapshot.symbol: ServedModel(snapshot.version, snapshot.generation)
            for snapshot in self._models.loaded()
        }
        for symbol, failure in self._models.failures().items():
            kept = serving.get(symbol, ServedModel(None, None))
            refused = self._models.refused_generation(symbol)
            serving[symbol] = ServedModel(kept.version, kept.generation, failure, refused)
        return serving

    def _p95_ms(self) -> float | None:
        p95_s = self._latencies.quantile(0.95, _P95_WINDOW_S, _P95_AT_LEAST)
        return None if p95_s is None else round(1000 * p95_s, 3)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.look()
                self.failure = None
            except ClosecastError as error:
                if self.failure is None:
                    log.warning("other processes are not told", extra={"reason": str(error)})
                self.failure = str(error)
                self._reported = None  # the next report is written in full
            except Exception:  # the thread must survive any error
                log.exception("reporting to other processes failed")
            self._wake.wait(_BEAT_S)
            self._wake.clear()


def _worker(symbol: str, state: ProcessState) -> ServingProcess:
    return ServingProcess(
        state.id, symbol, state.serving, state.since, state.started_at, state.seen_at
    )
