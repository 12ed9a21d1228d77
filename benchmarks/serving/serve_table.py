"""Table of ``make bench NAME=serve``: medians over rounds, ratios within them, targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.serving.contenders import NAMES, OURS, PEERS, USUAL, USUAL_EQUAL

CONNECTIONS = (1, 16, 64)
WORKERS = (1, 2)
BATCH = 512

NETWORK_ONLY = ("the network alone (closecast does everything all the same)", NAMES[:6], USUAL)
EQUAL_WORK = ("equal work: ten steps, intervals, drift", (USUAL_EQUAL, OURS), USUAL_EQUAL)

_GENERATOR_BUSY, _OTHERS_BUSY = 0.8, 0.2


@dataclass(frozen=True)
class Point:
    """One server under one number of connections.

    Attributes
    ----------
    rate : float
        Answers per second.
    cpu_us : float
        CPU time of the server and all its processes, per request.
    generator_cpu : float
        Cores that the load generator used.
    others_cpu : float
        Cores that everything else on the machine used meanwhile.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    errors: int
    generator_cpu: float
    others_cpu: float


@dataclass(frozen=True)
class Measurement:
    """One start of a server.

    Attributes
    ----------
    points : mapping
        By number of connections.
    batch : float, str or None
        Microseconds a window of a batch, or why there are none.
    """

    points: Mapping[int, Point]
    start_s: float
    pss_mb: float
    processes: int
    batch: float | str | None = None

    def summary(self) -> str:
        """One line while the run goes on."""
        rates = ", ".join(f"{p.rate:.0f} at {c}" for c, p in self.points.items())
        errors = sum(point.errors for point in self.points.values())
        return f"{rates} requests/s; {errors} errors"


Result = Measurement | str
"""What was measured, or why nothing was."""

Results = Mapping[tuple[int, str, int], Result]
"""By round, name and number of workers."""


def measurements(results: Results, name: str, workers: int) -> dict[int, Measurement]:
    """Of one server, by round."""
    return {
        number: found
        for (number, server, count), found in results.items()
        if (server, count) == (name, workers) and isinstance(found, Measurement)
    }


def median_of(
    results: Results, name: str, workers: int, value: Callable[[Measurement], float]
) -> float | None:
    """Median over the rounds; ``None`` where nothing was measured."""
    found = [value(one) for one in measurements(results, name, workers).values()]
    return median(found) if found else None


def ratio(
    results: Results,
    upper: tuple[str, int],
    lower: tuple[str, int],
    value: Callable[[Measurement], float],
) -> float | None:
    """Median over the rounds of one server's value over another's in the same round."""
    above, below = measurements(results, *upper), measurements(results, *lower)
    found = [value(above[n]) / value(below[n]) for n in above if n in below and value(below[n])]
    return median(found) if found else None


def tables(results: Results) -> str:
    """Two tables, each for one worker and for two."""
    parts = []
    for title, names, base in (NETWORK_ONLY, EQUAL_WORK):
        for workers in WORKERS:
            rows = [row for name in names for row in _row(results, name, base, workers)]
            if rows:
                parts.append("\n".join([*_head(title, base, workers), *rows]))
    return "\n\n".join(parts)


def _head(title: str, base: str, workers: int) -> Iterable[str]:
    yield f"{title}; workers: {workers}; rel: requests per second over {base}"
    groups = "".join(f"|{f'{c} connections':^34}" for c in CONNECTIONS)
    yield f"{'':<27}{groups}| at 16"
    columns = f"|{'req/s':>8}{'rel':>7}{'p50 ms':>9}{'p99 ms':>10}" * len(CONNECTIONS)
    costs = f"|{'CPU us':>8}{'PSS MB':>8}{'proc':>6}{'start s':>9}{'errors':>8}"
    yield f"{'server':<27}{columns}{costs}"


def _row(results: Results, name: str, base: str, workers: int) -> Iterable[str]:
    found = [*measurements(results, name, workers).values()]
    if not found:
        why = {r for (_, n, w), r in results.items() if (n, w) == (name, workers)}
        if why:
            yield f"{name:<27}| {'; '.join(sorted(map(str, why)))}"
        return
    cells = []
    for c in CONNECTIONS:
        points = [one.points[c] for one in found]
        rel = ratio(results, (name, workers), (base, workers), lambda m, c=c: m.points[c].rate)
        cells.append(
            f"|{median(p.rate for p in points):>8.0f}{_number(rel, 7)}"
            f"{median(p.p50_ms for p in points):>9.2f}{median(p.p99_ms for p in points):>10.2f}"
        )
    errors = sum(point.errors for one in found for point in one.points.values())
    busy = any(p.generator_cpu > _GENERATOR_BUSY for one in found for p in one.points.values())
    yield (
        f"{name:<27}{''.join(cells)}"
        f"|{median(one.points[16].cpu_us for one in found):>8.0f}"
        f"{median(one.pss_mb for one in found):>8.0f}"
        f"{median(one.processes for one in found):>6.0f}"
        f"{median(one.start_s for one in found):>9.1f}{errors:>8}"
        f"{'  (load generator at its limit)' if busy else ''}"
    )


def quiet_line(results: Results) -> str:
    """Whether anything else ran on the machine."""
    found = [one for one in results.values() if isinstance(one, Measurement)]
    others = [point.others_cpu for one in found for point in one.points.values()]
    if not others:
        return "nothing was measured"
    noisy = "" if max(others) < _OTHERS_BUSY else ": the machine was not quiet, measure again"
    middle, most = median(others), max(others)
    return f"cores that other processes used: median {middle:.2f}, at most {most:.2f}{noisy}"


def batch_line(results: Results) -> str:
    """Batches of this service."""
    said = [one.batch for one in measurements(results, OURS, 1).values()]
    numbers = [value for value in said if isinstance(value, float)]
    found = f"{median(numbers):.1f} us a window" if numbers else str(said[0] if said else "-")
    return f"POST /predict/batch, {BATCH} windows, end to end, one connection: {found}"


@dataclass(frozen=True)
class Target:
    """What the service is meant to reach; ``reached`` is of the measured value."""

    text: str
    value: float | None
    reached: Callable[[float], bool]

    def line(self) -> str:
        """Text, value, verdict."""
        verdict = "not measured" if self.value is None else self._verdict(self.value)
        return f"{self.text:<88}{_number(self.value, 8)}  {verdict}"

    def _verdict(self, value: float) -> str:
        return "ok" if self.reached(value) else "MISSED"


def targets(results: Results) -> str:
    """Each target beside what was measured."""
    at_16 = _rate_at(16)
    best_peer = _least([ratio(results, (OURS, 1), (name, 1), at_16) for name in PEERS])
    equal = ratio(results, (OURS, 1), (USUAL_EQUAL, 1), at_16)
    p50 = ratio(results, (OURS, 1), (USUAL_EQUAL, 1), lambda m: m.points[1].p50_ms)
    batch = median_of(results, OURS, 1, _batch_us) if _has_batch(results) else None
    errors = _errors(results)
    found = (
        Target("requests/s over the usual service at equal work, 16 connections: >= 3", equal, _3),
        Target("  the same, wanted: >= 4", equal, lambda x: x >= 4),
        Target(
            "requests/s with everything over the best peer's network alone: >= 3", best_peer, _3
        ),
        Target("p50 at one connection over the usual service's: <= 0.5", p50, lambda x: x <= 0.5),
        *_of_two_workers(results, 16),
        *_of_two_workers(results, 64),
        Target("batch of 512, us a window: <= 100", batch, lambda x: x <= 100),
        Target("errors of this service: 0", errors, lambda x: x == 0),
    )
    return "\n".join(target.line() for target in found)


def _of_two_workers(results: Results, connections: int) -> tuple[Target, Target]:
    """At 16 connections each of two has half the windows to answer together that one has."""
    rate, at = _rate_at(connections), f"{connections} connections"
    return (
        Target(
            f"requests/s of two workers over one, {at}: >= 1.5",
            ratio(results, (OURS, 2), (OURS, 1), rate),
            lambda x: x >= 1.5,
        ),
        Target(
            f"CPU per request of two workers over one, {at}: within 10 %",
            ratio(results, (OURS, 2), (OURS, 1), lambda m: m.points[connections].cpu_us),
            lambda x: abs(x - 1) <= 0.1,
        ),
    )


def _3(value: float) -> bool:
    return value >= 3


def _rate_at(connections: int) -> Callable[[Measurement], float]:
    return lambda measurement: measurement.points[connections].rate


def _batch_us(measurement: Measurement) -> float:
    return measurement.batch if isinstance(measurement.batch, float) else float("nan")


def _has_batch(results: Results) -> bool:
    found = measurements(results, OURS, 1).values()
    return bool(found) and all(isinstance(one.batch, float) for one in found)


def _errors(results: Results) -> float | None:
    found = [one for w in WORKERS for one in measurements(results, OURS, w).values()]
    return float(sum(p.errors for one in found for p in one.points.values())) if found else None


def _least(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return min(known) if known else None


def _number(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.2f}"
