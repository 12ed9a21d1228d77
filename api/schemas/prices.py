"""``/prices``: closes as the service collected them, and decisions about faulty ones."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from api.schemas.base import PRICE, Answer, IsoDate, Request
from api.schemas.forecasts import HeldClosesAnswer
from api.schemas.training import JobAnswer
from closecast.core.reasons import (
    LONGEST_AUTHOR,
    LONGEST_REASON,
    checked_author,
    checked_reason,
)


class AcceptBody(Request):
    """A close that is right although it looks faulty."""

    session: IsoDate = Field(description="Session of the close.", examples=["2022-12-01"])
    reason: Annotated[str, AfterValidator(checked_reason)] = Field(
        min_length=1,
        max_length=LONGEST_REASON,
        description="Reason, kept with the decision: one line.",
        examples=["a real fall: the filing of 1 December explains it"],
        json_schema_extra={"pattern": r"\S"},
    )
    by: Annotated[str, AfterValidator(checked_author)] | None = Field(
        None,
        min_length=1,
        max_length=LONGEST_AUTHOR,
        description="Name of the caller; by default its API key, or `api:` and its address.",
        examples=["ana"],
    )


class AcceptedCloseAnswer(Answer):
    """A decision that a close is right; kept for ever."""

    session: date
    reason: str
    by: str
    at: datetime


class AcceptAnswer(Answer):
    """A decision about a close, and its effect so far."""

    symbol: str = Field(examples=["MSFT"])
    accepted: AcceptedCloseAnswer = Field(
        description="The decision. A session is accepted once for a fault; the first one stays."
    )
    held: HeldClosesAnswer | None = Field(
        description="Fault for which closes are held back; an accepted one until `job` has run."
    )
    job: JobAnswer | None = Field(
        description="Update that absorbs the closes; `null` where none is needed, or possible."
    )


class NewestClose(Answer):
    """A collected close, and its distance from the one before."""

    session: date
    close: Annotated[float, PRICE]
    change: float | None = Field(
        description="From the close before, as a share of it; `null` for the first close."
    )
    held: bool = Field(description="Whether it is held back.")
    accepted: bool = Field(description="Whether it was accepted.")


class PricesAnswer(Answer):
    """Closes of a symbol as they were collected, and the decisions about them."""

    symbol: str = Field(examples=["MSFT"])
    source: str
    basis: Literal["raw", "adjusted", "unknown"]
    sessions: int = Field(description="Number of collected closes.")
    first_session: date
    last_session: date
    learned_until: date | None = Field(
        description="Session of the newest close that forecasts start from; `null` without a model."
    )
    held: HeldClosesAnswer | None = Field(
        description="Fault for which closes are held back; `null`: none are."
    )
    acceptable: list[date] = Field(
        description="Sessions that `POST /prices/{symbol}/accept` takes: those whose close is "
        "suspected of a fault. The newest 50."
    )
    accepted: list[AcceptedCloseAnswer] = Field(description="Decisions, oldest session first.")
    newest: list[NewestClose] = Field(description="The newest closes, newest first.")
