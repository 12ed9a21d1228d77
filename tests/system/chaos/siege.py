"""A real service under a checked load, whose processes are killed at random moments."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.serving.answers import RIGHT, Expected
from benchmarks.serving.served_model import asked_windows
from benchmarks.serving.server_process import ServerFailed
from closecast.core.records import SCORED_PROBABILITIES
from closecast.database import ACTIVE, Database
from closecast.errors import ClosecastError
from closecast.registry.registry import Registry
from closecast.settings import Settings, as_environment
from tests.system.chaos.callers import Answers, Callers
from tests.system.chaos.family import Family
from tests.system.chaos.operations import damage_of_database
from tests.system.chaos.tally import Tally

SYMBOLS = ("MSFT", "AAPL")

_VICTIMS = ("trainer", "trainer", "API worker", "server", "whole group")
_STAGES = ("any", "collect", "preprocess", "first model", "train", "evaluate", "publish")
_STAGE_WITHIN_S = 8.0
_JOBS_WITHIN_S = 240.0
_WINDOWS = 40

_KNOWN_SINCE = date(2017, 1, 3)
"""Trainings collect from ``callers.START``, updates from the beginning: of older windows the
service says where they come from only while it knows closes of then."""


def environment_of(settings: Settings) -> dict[str, str]:
    """Of a service that asks for closes often, and forgets nothing of what it is asked."""
    chosen = as_environment(settings)
    return chosen | {
        "CLOSECAST_WORKER_ENABLED": "true",
        "CLOSECAST_FORECAST_WAIT_S": "0.5",
        "CLOSECAST_REFRESH_AFTER_S": "5",
        "CLOSECAST_RATE_LIMIT_TRAIN": "off",
        "CLOSECAST_TRAINING_PAUSE_P95_MS": "0",
        "CLOSECAST_DRAIN_S": "2",
        "CLOSECAST_WITHOUT_EVIDENCE": "promote",
    }


def besiege(
    settings: Settings,
    folder: Path,
    *,
    kills: int,
    until: float,
    seed: int,
    tally: Tally,
    workers: int = 2,
) -> None:
    """Kill until there were enough kills or the time is over, then look at all that was promised.

    Parameters
    ----------
    until : float
        Of ``time.monotonic``: no kill after it.
    """
    chance = random.Random(seed)
    windows = asked_windows(_WINDOWS, since=_KNOWN_SINCE)
    family = Family(environment_of(settings), folder, workers)
    database = Database(settings.ledger_url)
    callers = Callers(family, windows, SYMBOLS, seed)
    try:
        family.start()
        callers.start()
        for _ in range(kills):
            if time.monotonic() > until:
                break
            _kill_one(family, database, chance, tally)
        callers.stop()
        family.wait_until_ready()
        tally.blame("at the end", _unfinished(database, callers.answers))
        tally.blame("at the end", _unkept(family, callers.answers, settings))
        family.end()
        tally.blame("at the end", _wrong(callers.answers, settings, folder, windows, tally))
    except ServerFailed as error:
        tally.blame("the service", [f"does not come back: {error}"])
    finally:
        callers.stop()
        family.end()
        database.close()
    _count(callers.answers, tally)


def _kill_one(family: Family, database: Database, chance: random.Random, tally: Tally) -> None:
    victim = chance.choice(_VICTIMS)
    stage = _wait_for_stage(database, chance)
    killed = (
        family.kill_group() if victim == "whole group" else family.kill(victim, chance.choice)  # type: ignore[arg-type]
    )
    if not killed:  # no training just now
        victim = "API worker"
        family.kill("API worker", chance.choice)
    tally.blow(f"kill -9: {victim}", f"training: {stage}")
    where = f"kill -9: {victim}, training: {stage}"
    if victim in ("server", "whole group"):
        tally.blame(where, family.orphans())
        family.start()
    family.wait_until_ready()


def _wait_for_stage(database: Database, chance: random.Random) -> str:
    """Let a random stage of a training come, then a random moment of it; says which it is now."""
    wanted = chance.choice(_STAGES)
    until = time.monotonic() + chance.uniform(0, _STAGE_WITHIN_S)
    while _stage(database) != wanted and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(chance.uniform(0, 0.4))
    return _stage(database)


def _stage(database: Database) -> str:
    try:
        running = database.jobs.newest(limit=1, states=("running",))
    except ClosecastError:
        return "unknown"
    if not running:
        return "none"
    stage = running[0].progress.get("stage", "starts")
    return stage if running[0].task == "train" else f"{running[0].task}: {stage}"


def _unfinished(database: Database, answers: Answers) -> Iterator[str]:
    """Jobs that have not ended in their time, or ended without a word; MLflow runs left open."""
    until = time.monotonic() + _JOBS_WITHIN_S
    while database.jobs.newest(limit=1, states=ACTIVE) and time.monotonic() < until:
        time.sleep(0.3)
    for job in database.jobs.newest(limit=1000):
        if job.state in ACTIVE:
            yield f"job {job.id} ({job.task}) is stuck: {job.state}, {job.progress}"
        if job.state == "failed" and not job.reason:
            yield f"job {job.id} failed without a reason"
        if job.state == "failed" and "without a word" not in str(job.reason):
            yield f"job {job.id} failed of something else than a kill: {job.reason}"
    for key, job_id in answers.jobs.items():
        try:
            database.jobs.get(job_id)
        except ClosecastError as error:
            yield f"the job of {key} is lost: {error}"


def _unkept(family: Family, answers: Answers, settings: Settings) -> Iterator[str]:
    """Forecasts, pointers and bundles that are not what was answered."""
    yield from damage_of_database(settings)
    yield from _open_runs(settings)
    for forecast_id, said in answers.forecasts.items():
        status, answer = family.call("GET", f"/forecasts/{forecast_id}")
        if status != 200:
            yield f"forecast {forecast_id} was answered and is lost: {status}"
        elif difference := _differs(said, json.loads(answer)):
            yield f"forecast {forecast_id} is another one in the ledger: {difference}"
    scratch = [*(settings.data_dir / "scratch").glob("*")]
    if len(scratch) > 1:
        yield f"temporary files of {len(scratch)} trainers, of which one lives at most"
    registry = Registry(settings.models_url)
    folders = {p.name for p in (Path(settings.models_url) / "bundles").iterdir()}
    versions = {manifest.version for manifest in registry.versions()}
    yield from (f"{name} is visible and not whole" for name in folders - versions if name[0] != ".")
    for version in versions:
        try:
            registry.load(version)
        except ClosecastError as error:
            yield f"listed and damaged: {error}"
    for symbol, generation in answers.generations.items():
        pointer = registry.pointer(symbol)
        if pointer is None or pointer.generation < generation:
            yield f"the pointer of {symbol} fell behind generation {generation}"
    yield from (f"refused, {n} times: {what}" for what, n in answers.refused.items())
    status, answer = family.call("GET", "/health/ready")
    if status != 200:
        yield f"not ready: {status} {answer[:200].decode()}"


def _differs(said: Mapping[str, Any], stored: Mapping[str, Any]) -> str | None:
    """Where a committed forecast is not what ``GET /forecast`` had answered."""
    for name in ("symbol", "model_version", "calibration_revision", "origin", "basis"):
        if said[name] != stored[name]:
            return f"{name}: {said[name]} became {stored[name]}"
    if said["last_close"] != stored["origin_close"]:
        return "last_close"
    rows = [(row["session"], row["price"]) for row in said["path"]]
    if rows != [(row["session"], row["price"]) for row in stored["path"]]:
        return "path"
    if any(len(row["quantiles"]) != len(SCORED_PROBABILITIES) for row in stored["path"]):
        return "quantiles"
    return None


def _open_runs(settings: Settings) -> Iterator[str]:
    file = Path(settings.mlflow_tracking_uri.removeprefix("sqlite:///"))
    if not settings.mlflow_tracking_uri or not file.exists():
        return
    until = time.monotonic() + 30  # a worker that begins closes what another left
    while True:
        with closing(sqlite3.connect(file, timeout=30)) as connection:
            [found] = connection.execute(
                "SELECT count(*) FROM runs WHERE status = 'RUNNING'"
            ).fetchone()
        if not found or time.monotonic() > until:
            break
        time.sleep(0.5)
    if found:
        yield f"{found} MLflow runs are RUNNING for ever"


def _wrong(
    answers: Answers,
    settings: Settings,
    folder: Path,
    windows: Sequence[Sequence[float]],
    tally: Tally,
) -> Iterator[str]:
    """Predictions that are not what the version that they name answers when nobody is killed."""
    asked = {i for i, bodies in answers.predictions.items() if bodies}
    versions = {
        json.loads(body)["model_version"]
        for bodies in answers.predictions.values()
        for body in bodies
    }
    quiet = Family(environment_of(settings) | {"CLOSECAST_WORKER_ENABLED": "false"}, folder, 1)
    expected: dict[str, list[bytes]] = {}
    try:
        quiet.start()
        for version in sorted(versions):
            why = {"version": version, "reason": "chaos is over", "by": "chaos"}
            status, answer = quiet.call("POST", "/model/promote", why)
            if status != 200:
                yield f"{version} had answered and cannot be promoted: {answer[:200].decode()}"
                continue
            expected[version] = [
                quiet.call("POST", "/predict", {"prices": window})[1] if i in asked else b""
                for i, window in enumerate(windows)
            ]
    finally:
        quiet.end()
    judge = Expected(expected)
    for window, bodies in answers.predictions.items():
        for body in bodies:
            kind = judge(window, body)
            tally.hold(f"different answers of /predict: {kind.partition(chr(9))[2]}")
            if kind.partition("\t")[2] not in RIGHT:
                yield f"window {window}: {kind}: {_members_apart(body, expected, window)}"


def _members_apart(body: bytes, expected: Mapping[str, Sequence[bytes]], window: int) -> str:
    """What was said and would be said by itself, of each member that differs."""
    said = json.loads(body)
    if said["model_version"] not in expected:
        return "nobody can ask it again"
    wanted = json.loads(expected[said["model_version"]][window])
    apart = {k: (said[k], wanted.get(k)) for k in said if said[k] != wanted.get(k)}
    return str({k: v for k, v in apart.items() if k != "model_generation"})[:300]


def _count(answers: Answers, tally: Tally) -> None:
    for name, times in answers.asked.items():
        tally.hold(f"calls answered: {name}", times)
    for name, times in answers.unanswered.items():
        tally.hold(f"calls whose process died: {name}", times)
    tally.hold("forecasts that were answered", len(answers.forecasts))
    tally.hold("trainings that were accepted", len(answers.jobs))
