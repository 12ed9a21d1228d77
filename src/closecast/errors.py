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

Fault = Literal["caller", "service", "upstream"]


class ClosecastError(Exception):
    """Base of every error that closecast raises deliberately."""

    code: ClassVar[str] = "internal_error"
    fault: ClassVar[Fault] = "service"
    retry_helps: ClassVar[bool] = False

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


class InvalidPrices(ClosecastError):
    """Closes that are unfit to forecast from; every problem found is listed."""

    code = "invalid_prices"
    fault = "caller"

    def __init__(self, subject: str, problems: Sequence[PriceProblem], advice: str = "") -> None:
        self.problems = tuple(problems)
        shown = "; ".join(str(p) for p in self.problems[:5])
        more = len(self.problems) - 5
        tail = f"; and {more} more" if more > 0 else ""
        super().__init__(f"{subject}: {shown}{tail}.{' ' + advice if advice else ''}")

    def details(self) -> dict[str, Any]:
        return {"problems": [asdict(p) for p in self.problems]}


class WrongWindowLength(ClosecastError):
    """The window does not have the length that the model was trained for."""

    code = "wrong_window_length"
    fault = "caller"

    def __init__(self, got: int, expected: int, version: str) -> None:
        super().__init__(
            f"got {got} closes, model {version} needs exactly {expected}: "
            f"send the last {expected} closes, oldest first"
        )
        self.expected = expected

    def details(self) -> dict[str, Any]:
        return {"expected_length": self.expected}


class TooFewCloses(ClosecastError):
    """A series that is too short for the operation."""

    code = "too_few_closes"
    fault = "caller"


class BeyondHorizon(ClosecastError):
    """More sessions ahead than the model was trained for."""

    code = "beyond_horizon"
    fault = "caller"

    def __init__(self, asked: int, horizon: int, version: str) -> None:
        super().__init__(
            f"model {version} looks 1 to {horizon} sessions ahead, not {asked}: ask for "
            "fewer, or train one with a longer horizon"
        )
        self.horizon = horizon

    def details(self) -> dict[str, Any]:
        return {"horizon": self.horizon}


class InvalidLevels(ClosecastError):
    """Levels of intervals that do not parse, are out of bounds, or too many."""

    code = "invalid_levels"
    fault = "caller"


class StalePrices(ClosecastError):
    """The newest known close is so old that the requested session lies beyond the horizon."""

    code = "stale_prices"
    fault = "caller"

    def __init__(self, message: str, origin: str, age: int) -> None:
        super().__init__(message)
        self.origin, self.age = origin, age

    def details(self) -> dict[str, Any]:
        return {"origin": self.origin, "age": self.age}


class NotCollected(ClosecastError):
    """A model without collected closes: there is no calendar to date a forecast with."""

    code = "not_collected"
    retry_helps = True


class NotDrawnYet(ClosecastError):
    """A picture that the worker draws once there is something to show."""

    code = "not_drawn_yet"
    fault = "caller"


class CalendarTooShort(ClosecastError):
    """The table of an exchange's sessions ends before the requested session."""

    code = "calendar_too_short"


class UnknownName(ClosecastError):
    """A name that is not in its list; the message holds the valid ones."""

    code = "unknown_name"
    fault = "caller"

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        self.valid = sorted(valid)
        super().__init__(f"unknown {kind} {name!r}; valid: {', '.join(self.valid) or 'none yet'}")

    def details(self) -> dict[str, Any]:
        return {"valid": self.valid}


class InvalidSymbol(ClosecastError):
    """A text that cannot be a ticker symbol."""

    code = "invalid_symbol"
    fault = "caller"


class UnknownSymbol(ClosecastError):
    """An unknown symbol: no price at the source, or no model here."""

    code = "unknown_symbol"
    fault = "caller"


class UnknownVersion(ClosecastError):
    """No bundle of this version, or no earlier one to go back to."""

    code = "unknown_version"
    fault = "caller"


class UnknownJob(ClosecastError):
    """No job with this identifier."""

    code = "unknown_job"
    fault = "caller"


class UnknownForecast(ClosecastError):
    """No dated forecast with this identifier."""

    code = "unknown_forecast"
    fault = "caller"


class NoModel(ClosecastError):
    """The symbol is the default one, yet no model has been published for it so far."""

    code = "no_model"
    retry_helps = True

    def __init__(self, message: str, training: Mapping[str, Any] | None = None) -> None:
        """``training``: how far the first training is, or how it ended, if there was one."""
        super().__init__(message)
        self.training = training

    def details(self) -> dict[str, Any]:
        return {} if self.training is None else {"training": dict(self.training)}


class DamagedBundle(ClosecastError):
    """A bundle that is incomplete, altered, or not one of ours. It is never served."""

    code = "damaged_bundle"


class UnverifiedBundle(ClosecastError):
    """A bundle without a passed leak check: it is never made current."""

    code = "unverified_bundle"


class UnverifiedModel(UnverifiedBundle):
    """A pointer leads to an unverified bundle, and nothing was served for the symbol before."""


class PointerMoved(ClosecastError):
    """The pointer has moved since the caller decided to move it."""

    code = "pointer_moved"
    fault = "caller"
    retry_helps = True

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


class RolledBack(ClosecastError):
    """A version that was rolled back: the gate alone does not make it current again."""

    code = "rolled_back"
    fault = "caller"

    def __init__(self, symbol: str, version: str, by: str, at: datetime, reason: str) -> None:
        super().__init__(
            f"{by} rolled {symbol} back from {version} at {at:%Y-%m-%dT%H:%M:%SZ}: {reason}. "
            "The gate does not undo that; a person can: POST /model/promote with a reason"
        )
        self.version, self.by, self.at, self.reason = version, by, at, reason

    def details(self) -> dict[str, Any]:
        at = self.at.isoformat()
        return {"version": self.version, "by": self.by, "at": at, "reason": self.reason}


class SourceUnavailable(ClosecastError):
    """The price source did not answer, or refused to for now."""

    code = "source_unavailable"
    fault = "upstream"
    retry_helps = True


class NoPrices(ClosecastError):
    """An answer of the source without a single close in the requested span."""

    code = "no_prices"
    fault = "upstream"


class DataFault(ClosecastError):
    """Closes that are probably wrong, where only sound ones may be learned or forecast from.

    ``findings`` are those of a drift verdict, where there is one.
    """

    code = "data_fault"
    fault = "upstream"

    def __init__(self, message: str, findings: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)

    def details(self) -> dict[str, Any]:
        return {"findings": [asdict(f) for f in self.findings]} if self.findings else {}


class MissingStep(ClosecastError):
    """A pipeline step was run before the one it builds on."""

    code = "missing_step"
    fault = "caller"

    def __init__(self, missing: str, run: str) -> None:
        super().__init__(f"{missing} is not there yet; run `{run}` first")


class InvalidHyperparameters(ClosecastError):
    """Unknown hyper-parameters or values out of their bounds."""

    code = "invalid_hyperparameters"
    fault = "caller"

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{name}: {message}" for name, message in self.problems))

    def details(self) -> dict[str, Any]:
        return {"hyperparameters": dict(self.problems)}


class TrainingFailed(ClosecastError):
    """A network that diverged, or whose exported form answers something else."""

    code = "training_failed"


class PreconditionFailed(ClosecastError):
    """The stored configuration has changed since the caller read it (If-Match)."""

    code = "precondition_failed"
    fault = "caller"


class JobConflict(ClosecastError):
    """Another job for the symbol is queued or running."""

    code = "job_conflict"
    fault = "caller"
    retry_helps = True

    def __init__(self, message: str, job_id: str | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id

    def details(self) -> dict[str, Any]:
        return {"job_id": self.job_id} if self.job_id else {}


class JobCancelled(ClosecastError):
    """A job that was cancelled on request."""

    code = "job_cancelled"
    fault = "caller"


class TrainingUnavailable(ClosecastError):
    """The installation can serve and not train."""

    code = "training_unavailable"


class StorageFailed(ClosecastError):
    """A folder cannot be written, the disk is full, or the ledger cannot be read."""

    code = "storage_failed"
    retry_helps = True


class InvalidKeyName(ClosecastError):
    """A text that cannot be the name of an API key, or one that is taken."""

    code = "invalid_key_name"
    fault = "caller"


class BadSetting(ClosecastError):
    """A setting that cannot work: port taken, value out of bounds."""

    code = "bad_setting"
    fault = "caller"


class NothingRecorded(ClosecastError):
    """Statistics that the worker has not written yet."""

    code = "nothing_recorded"
    fault = "caller"


class NotConfigured(ClosecastError):
    """A setting that this feature needs is empty."""

    code = "not_configured"
    fault = "caller"
