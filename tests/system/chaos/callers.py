"""Those who ask a service while it is killed, and keep every answer: answers are promises."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.system.chaos.family import Family

_PAUSE_S = 0.03
_MOVE_EVERY_S = 0.7
_TINY = {"num_layers": 1, "hidden_size": 4, "num_epochs": 1, "batch_size": 512}
START = "2016-01-04"
"""First session of every training: collected closes are the same whoever collected them last."""


@dataclass
class Answers:
    """All that was answered, by several threads.

    Attributes
    ----------
    predictions : mapping
        By window, the different bodies of ``POST /predict``.
    forecasts : mapping
        By identifier, what ``GET /forecast`` said.
    jobs : mapping
        By ``Idempotency-Key`` the job that was answered.
    generations : mapping
        By symbol the largest generation that a move was answered with.
    refused : Counter
        Answers that nobody should get, and how often.
    """

    predictions: dict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    forecasts: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    generations: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


class Callers:
    """Four threads: one predicts, one forecasts, one trains, one moves pointers."""

    def __init__(
        self, family: Family, windows: Sequence[Sequence[float]], symbols: Sequence[str], seed: int
    ) -> None:
        self.answers = Answers()
        self._family = family
        self._windows = windows
        self._symbols = symbols
        self._chance = random.Random(seed)
        self._over = threading.Event()
        self._repeated = False
        self._threads = [
            threading.Thread(target=self._over_and_over, args=(one, pause), name=name, daemon=True)
            for name, one, pause in (
                ("predict", self._predict(), _PAUSE_S),
                ("forecast", self._forecast(), 3 * _PAUSE_S),
                ("train", self._train(seed), 5 * _PAUSE_S),
                ("move", self._move(), _MOVE_EVERY_S),
            )
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, after the calls that are under way."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _over_and_over(self, turn: Callable[[], None], pause_s: float) -> None:
        while not self._over.wait(pause_s):
            try:
                turn()
            except OSError:  # whoever would have answered is dead
                self.answers.unanswered[threading.current_thread().name] += 1

    def _asked(
        self, name: str, good: Sequence[int], method: str, path: str, body: Any = None, **more: str
    ) -> tuple[int, bytes]:
        status, answer = self._family.call(method, path, body, **more)
        self.answers.asked[name] += 1
        if status not in good:
            self.answers.refused[f"{method} {path}: {status} {answer[:200].decode()}"] += 1
        return status, answer

    def _predict(self) -> Callable[[], None]:
        turns = itertools.cycle(range(len(self._windows)))

        def turn() -> None:
            i = next(turns)
            body = {"prices": self._windows[i]}
            status, answer = self._asked("predict", (200,), "POST", "/predict", body)
            if status == 200:
                self.answers.predictions[i].add(answer)

        return turn

    def _forecast(self) -> Callable[[], None]:
        symbols = itertools.cycle(self._symbols)

        def turn() -> None:
            path = f"/forecast/{next(symbols)}"
            status, answer = self._asked("forecast", (200, 202), "GET", path)
            if status == 200:
                said = json.loads(answer)
                self.answers.forecasts[said["forecast_id"]] = said

        return turn

    def _train(self, seed: int) -> Callable[[], None]:
        numbers = itertools.count(1)
        waiting: list[tuple[str, dict[str, Any]]] = []

        def turn() -> None:
            if not waiting:
                n = next(numbers)
                both = n % 2 == 0
                forecaster = ("lstm", "ewma", "lstm")[n % 3]
                parameters = {**_TINY, "seed": n} if forecaster == "lstm" else {}
                body = {
                    "symbols": list(self._symbols) if both else [self._symbols[0]],
                    "forecaster": forecaster,
                    "hyperparameters": parameters,
                    "start": START,
                }
                waiting.append((f"chaos-{seed}-{n}", body))
            key, body = waiting[0]
            headers = {"idempotency-key": key}
            status, answer = self._asked("train", (202, 409), "POST", "/train", body, **headers)
            if status == 409:  # another training of these symbols is active
                time.sleep(0.5)
                return
            if status == 202:
                job = json.loads(answer)["id"]
                first = self.answers.jobs.setdefault(key, job)
                if first != job:
                    self.answers.refused[f"one key, two jobs: {key}"] += 1
                self._repeated ^= True
                if self._repeated:
                    return  # the same once more: it has to be the same job
            waiting.clear()

        return turn

    def _move(self) -> Callable[[], None]:
        why = {"reason": "chaos", "by": "chaos"}

        def turn() -> None:
            symbol = self._chance.choice(self._symbols)
            kind = self._chance.choice(("promote", "promote", "rollback", "reload"))
            body: dict[str, Any] = {"symbol": symbol}
            if kind == "promote":
                path = f"/model/versions?symbol={symbol}&limit=5"
                _, listed = self._asked("versions", (200,), "GET", path)
                versions = [one["version"] for one in json.loads(listed)["versions"]]
                body |= {"version": self._chance.choice(versions), **why}
            elif kind == "rollback":
                body |= why
            # 404: nothing is left to go back to.
            status, answer = self._asked(kind, (200, 404), "POST", f"/model/{kind}", body)
            if status == 200 and kind != "reload":
                step = json.loads(answer)["steps"][symbol]
                newest = max(self.answers.generations[symbol], step["generation"])
                self.answers.generations[symbol] = newest

        return turn
