"""Errors that closecast raises deliberately.

All derive from :class:`ClosecastError`. Each class states whose *fault* it is and whether a
*retry* of the same call can help; ``api.problems.statuses`` maps classes to HTTP statuses. A
message names the fault, the expected value, and the next step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal

from closecast.nearest import nearest

Fault = Literal["caller", "service", "upstream"]


_SHOWN_OF_A_NAME = 60  # characters


class ClosecastError(Exception):
    """Base of every error that closecast raises deliberately."""

    code: ClassVar[str] = "internal_error"
    fault: ClassVar[Fault] = "service"
    retry_helps: ClassVar[bool] = False

    def __init_subclass__(
        cls, code: str = "", fault: Fault | None = None, retry_helps: bool | None = None
    ) -> None:
        cls.code = code or cls.code
        cls.fault = fault or cls.fault
        cls.retry_helps = cls.retry_helps if retry_helps is None else retry_helps

    def details(self) -> dict[str, Any]:
        """Extra members for a machine that reads the error (JSON types only)."""
        return {}


@dataclass(frozen=True, slots=True)
class PriceProblem:
    """One thing wrong with one close: ``date``, ``value``, the ``rule`` it breaks."""

    rule: str
    message: str
    date: str | None = None
    value: float | None = None

    def __str__(self) -> str:
        return f"{self.date}: {self.message}" if self.date else self.message


class InvalidPrices(ClosecastError, code="invalid_prices", fault="caller"):
    """Closes that are unfit to forecast from; every problem found is listed.

    The message is a sentence: of many problems that break the same rule, the first and the last.
    """

    def __init__(self, subject: str, problems: Sequence[PriceProblem], advice: str = "") -> None:
        self.problems = tuple(problems)
        parts = [part for rule in _by_rule(self.problems) for part in _shown(rule)]
        more = len(parts) - 5
        tail = f"; and {more} more" if more > 0 else ""
        shown = "; ".join(parts[:5])
        super().__init__(f"{subject}: {shown}{tail}.{' ' + advice if advice else ''}")

    def details(self) -> dict[str, Any]:
        return {"problems": [asdict(p) for p in self.problems]}


def _by_rule(problems: Sequence[PriceProblem]) -> list[list[PriceProblem]]:
    found: dict[str, list[PriceProblem]] = {}
    for problem in problems:
        found.setdefault(problem.rule, []).append(problem)
    return list(found.values())


def _shown(problems: Sequence[PriceProblem]) -> list[str]:
    """Sentences on problems of one rule, at most three."""
    if len(problems) <= 3:
        return [str(problem) for problem in problems]
    return [f"{problems[0]}; and {len(problems) - 1:,} more like it, the last: {problems[-1]}"]


class WrongWindowLength(ClosecastError, code="wrong_window_length", fault="caller"):
    """The window does not have the length that the model was trained for."""

    def __init__(self, got: int, expected: int, version: str) -> None:
        super().__init__(
            f"got {got} closes, model {version} needs at least {expected}: "
            f"send the last {expected} closes or more, oldest first"
        )
        self.expected = expected

    def details(self) -> dict[str, Any]:
        return {"expected_length": self.expected}


class TooFewCloses(ClosecastError, code="too_few_closes", fault="caller"):
    """A series that is too short for the operation."""


class BeyondHorizon(ClosecastError, code="beyond_horizon", fault="caller"):
    """More sessions ahead than the model was trained for."""

    def __init__(self, asked: int, horizon: int, version: str) -> None:
        super().__init__(
            f"model {version} looks 1 to {horizon} sessions ahead, not {asked}: ask for "
            "fewer, or train one with a longer horizon"
        )
        self.horizon = horizon

    def details(self) -> dict[str, Any]:
        return {"horizon": self.horizon}


class InvalidLevels(ClosecastError, code="invalid_levels", fault="caller"):
    """Levels of intervals that do not parse, are out of bounds, or too many."""


class StalePrices(ClosecastError, code="stale_prices", fault="caller"):
    """The newest known close is so old that the requested session lies beyond the horizon."""

    def __init__(self, message: str, origin: str, age: int) -> None:
        super().__init__(message)
        self.origin, self.age = origin, age

    def details(self) -> dict[str, Any]:
        return {"origin": self.origin, "age": self.age}


class NotCollected(ClosecastError, code="not_collected", retry_helps=True):
    """A model without collected closes: there is no calendar to date a forecast with."""


class NotDrawnYet(ClosecastError, code="not_drawn_yet", fault="caller"):
    """A picture that the worker draws once there is something to show."""


class CalendarTooShort(ClosecastError, code="calendar_too_short"):
    """The table of an exchange's sessions ends before the requested session."""


class UnknownName(ClosecastError, code="unknown_name", fault="caller"):
    """A name that is not in its list; the message holds the nearest and all valid ones."""

    def __init__(
        self, kind: str, name: str, valid: Iterable[str], *, sentence: str | None = None
    ) -> None:
        """``sentence``: in place of "unknown KIND NAME", where there is more to say."""
        self.valid = sorted(valid)
        near = None if sentence else nearest(name, self.valid)
        super().__init__(
            f"{sentence or f'unknown {kind} {name[:_SHOWN_OF_A_NAME]!r}'}; "
            f"valid: {', '.join(self.valid) or 'none yet'}"
            f"{f'; did you mean {near!r}?' if near else ''}"
        )

    def details(self) -> dict[str, Any]:
        return {"valid": self.valid}


class InvalidSymbol(ClosecastError, code="invalid_symbol", fault="caller"):
    """A text that cannot be a ticker symbol."""


class UnknownSymbol(ClosecastError, code="unknown_symbol", fault="caller"):
    """An unknown symbol: no price at the source, or no model here."""


class UnknownVersion(ClosecastError, code="unknown_version", fault="caller"):
    """No bundle of this version, or no earlier one to go back to."""


class UnknownJob(ClosecastError, code="unknown_job", fault="caller"):
    """No job with this identifier."""


class UnknownForecast(ClosecastError, code="unknown_forecast", fault="caller"):
    """No dated forecast with this identifier."""


class NoModel(ClosecastError, code="no_model", retry_helps=True):
    """No model has been published so far for the default symbol, or for one that is trained."""

    def __init__(
        self,
        message: str,
        training: Mapping[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """``training``: how far the first training is, or how it ended, if there was one.

        ``retry_after_s``: seconds after which there may be a model, where they can be guessed.
        """
        super().__init__(message)
        self.training, self.retry_after_s = training, retry_after_s

    def details(self) -> dict[str, Any]:
        return {} if self.training is None else {"training": dict(self.training)}


class DamagedBundle(ClosecastError, code="damaged_bundle"):
    """A bundle that is incomplete, altered, or not one of ours. It is never served."""


class OtherFormat(DamagedBundle, code="other_format"):
    """A whole bundle or pointer that an older or newer closecast made, and this one cannot use."""


class UnverifiedBundle(ClosecastError, code="unverified_bundle"):
    """A bundle without a passed leak check: it is never made current."""


class UnverifiedModel(UnverifiedBundle):
    """A pointer leads to an unverified bundle, and nothing was served for the symbol before."""


class PointerMoved(ClosecastError, code="pointer_moved", fault="caller", retry_helps=True):
    """The pointer has moved since the caller decided to move it."""

    def __init__(
        self, symbol: str, expected: tuple[int, str | None], found: tuple[int, str | None]
    ) -> None:
        super().__init__(
            f"the pointer of {symbol} was moved meanwhile: this was decided against "
            f"{_place(*expected)}, and now there is {_place(*found)}; nothing was changed. "
            "Look at GET /model again, then decide anew"
        )
        self.expected, self.found = expected, found

    def details(self) -> dict[str, Any]:
        return {"expected_generation": self.expected[0], "generation": self.found[0]}


def _place(generation: int, version: str | None) -> str:
    if not generation:
        return "no model at all (generation 0)"
    return f"generation {generation}" + (f", version {version}" if version else "")


class RolledBack(ClosecastError, code="rolled_back", fault="caller"):
    """A version that was rolled back: the gate alone does not make it current again."""

    def __init__(self, symbol: str, version: str, by: str, at: datetime, reason: str) -> None:
        super().__init__(
            f"{by} rolled {symbol} back from {version} at {at:%Y-%m-%dT%H:%M:%SZ}: {reason}. "
            "The gate does not undo that; a person can: POST /model/promote with a reason"
        )
        self.version, self.by, self.at, self.reason = version, by, at, reason

    def details(self) -> dict[str, Any]:
        at = self.at.isoformat()
        return {"version": self.version, "by": self.by, "at": at, "reason": self.reason}


class SourceUnavailable(
    ClosecastError, code="source_unavailable", fault="upstream", retry_helps=True
):
    """The price source did not answer, or refused to for now."""


class NoPrices(ClosecastError, code="no_prices", fault="upstream"):
    """An answer of the source without a single close in the requested span."""


class DataFault(ClosecastError, code="data_fault", fault="upstream"):
    """Closes that are probably wrong, where only sound ones may be learned or forecast from.

    ``findings`` are those of a drift verdict, where there is one.
    """

    def __init__(self, message: str, findings: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)

    def details(self) -> dict[str, Any]:
        return {"findings": [asdict(f) for f in self.findings]} if self.findings else {}


class NothingToAccept(ClosecastError, code="nothing_to_accept", fault="caller"):
    """A session whose close is not suspected of a fault."""

    def __init__(self, message: str, sessions: Sequence[str]) -> None:
        """``sessions``: those that could be accepted."""
        super().__init__(message)
        self.sessions = list(sessions)

    def details(self) -> dict[str, Any]:
        return {"sessions": self.sessions}


class MissingStep(ClosecastError, code="missing_step", fault="caller"):
    """A pipeline step was run before the one it builds on."""

    def __init__(self, missing: str, run: str) -> None:
        super().__init__(f"{missing} is not there yet; run `{run}` first")


class InvalidHyperparameters(ClosecastError, code="invalid_hyperparameters", fault="caller"):
    """Unknown hyper-parameters or values out of their bounds."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{name}: {message}" for name, message in self.problems))

    def details(self) -> dict[str, Any]:
        return {"hyperparameters": dict(self.problems)}


class TrainingFailed(ClosecastError, code="training_failed"):
    """A network that diverged, or whose exported form answers something else."""


class PreconditionFailed(ClosecastError, code="precondition_failed", fault="caller"):
    """The stored configuration has changed since the caller read it (If-Match)."""


class JobConflict(ClosecastError, code="job_conflict", fault="caller", retry_helps=True):
    """Another job for the symbol is queued or running."""

    def __init__(self, message: str, job_id: str | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id

    def details(self) -> dict[str, Any]:
        return {"job_id": self.job_id} if self.job_id else {}


class JobCancelled(ClosecastError, code="job_cancelled", fault="caller"):
    """A job that was cancelled on request."""


class TrainingUnavailable(ClosecastError, code="training_unavailable"):
    """The installation can serve and not train."""


class StorageFailed(ClosecastError, code="storage_failed", retry_helps=True):
    """A folder cannot be written, the disk is full, or the ledger cannot be read."""


class InvalidKeyName(ClosecastError, code="invalid_key_name", fault="caller"):
    """A text that cannot be the name of an API key, or one that is taken."""


class BadSetting(ClosecastError, code="bad_setting", fault="caller"):
    """A setting that cannot work: port taken, value out of bounds."""


class NothingRecorded(ClosecastError, code="nothing_recorded", fault="caller"):
    """Statistics that the worker has not written yet."""


class NotConfigured(ClosecastError, code="not_configured", fault="caller"):
    """A setting that this feature needs is empty."""
