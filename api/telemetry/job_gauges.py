"""Gauges of jobs: those that wait and run in each queue, and the last training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from closecast.database import ACTIVE, Jobs, queue_of, queue_states


def job_gauges(jobs: Jobs, now: datetime) -> Iterator[Metric]:
    """Jobs that wait or run, their progress, and the last result.

    Parameters
    ----------
    now : datetime
        Aware.

    Raises
    ------
    StorageFailed
    """
    active = jobs.newest(limit=1_000, states=ACTIVE)
    counts = {(task, state): 0 for task in ("train", "update") for state in ACTIVE}
    for job in active:
        counts[job.task, job.state] = counts.get((job.task, job.state), 0) + 1
    yield gauge(
        "jobs",
        "Jobs that wait or run.",
        ["task", "queue", "state"],
        [([task, queue_of(task), state], count) for (task, state), count in counts.items()],
    )
    yield gauge(
        "queue_waiting_seconds",
        "Time for which a job of the queue has waited at most; 0 where none waits.",
        ["queue"],
        [([queue], one.waiting_s(now)) for queue, one in queue_states(active).items()],
    )
    yield gauge(
        "training_progress_ratio",
        "How far a running training is, 0 to 1.",
        ["symbol"],
        [
            ([job.symbol], float(job.progress.get("percent", 0)) / 100)
            for job in active
            if (job.task, job.state) == ("train", "running")
        ],
    )
    ended = jobs.newest(limit=1, task="train", states=("succeeded", "failed"))
    yield gauge(
        "last_training_succeeded",
        "1 if the training that ended last succeeded, 0 if it failed.",
        [],
        [([], float(job.state == "succeeded")) for job in ended],
    )


def gauge(
    name: str,
    said: str,
    labels: Sequence[str] = (),
    samples: Sequence[tuple[Sequence[str], float]] = (),
    *,
    value: float | None = None,
) -> GaugeMetricFamily:
    """Make a gauge of samples, or of one value without labels."""
    family = GaugeMetricFamily(f"closecast_{name}", said, labels=labels)
    for label_values, number in samples if value is None else [((), value)]:
        family.add_metric(label_values, number)
    return family
