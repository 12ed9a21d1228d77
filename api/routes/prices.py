"""``/prices``: closes as the service collected them, and the decision that one is right."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request, Response

from api.middleware.json_routes import StrictRoute
from api.middleware.negotiation import CsvDep
from api.middleware.prefix import public
from api.problems.openapi import Problems, responses
from api.schemas.base import SymbolText
from api.schemas.prices import AcceptAnswer, AcceptBody, NewestClose, PricesAnswer
from api.security.access import caller_name
from api.service import ServiceDep
from api.services.csv_tables import CSV_CONTENT, csv_answer, row_of
from api.services.training import job_answer
from closecast.core.calendars import as_date
from closecast.errors import NotCollected
from closecast.jobs.close_acceptance import accept_close as accept
from closecast.jobs.close_acceptance import acceptable_sessions

router = APIRouter(prefix="/prices", tags=["prices"], route_class=StrictRoute)

SymbolPath = Annotated[SymbolText, Path()]

_MOST_ACCEPTABLE = 50
_NOT_SHOWN: Problems = {
    404: {"unknown_symbol": "no closes of ACME were collected, and there is no model of it"},
    503: {"not_collected": "there is a model of MSFT, and its closes were never collected here"},
}
_NOT_ACCEPTED: Problems = {
    404: {"unknown_symbol": "ACME has neither a model nor collected closes here"},
    409: {
        "nothing_to_accept": {
            "detail": "the close of MSFT on 2022-12-01 is not suspected of a fault; those "
            "that are: 2022-12-02",
            "sessions": ["2022-12-02"],
        }
    },
    422: {"invalid_request": "/reason: Field required"},
}
_QUEUED: dict[int | str, dict[str, Any]] = {
    200: {"description": "Accepted already, and nothing is held back; or no update can run."},
    202: {
        "model": AcceptAnswer,
        "description": "Accepted; the job absorbs the closes.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
}


@router.get(
    "/{symbol}",
    response_model=PricesAnswer,
    responses={
        200: {"content": CSV_CONTENT},
        **responses(404, 422, 503, examples=_NOT_SHOWN),
    },
)
def get_prices(
    symbol: SymbolPath,
    service: ServiceDep,
    response: Response,
    as_table: CsvDep,
    limit: Annotated[int, Query(ge=1, le=20_000, description="Closes of `newest`.")] = 10,
) -> object:
    """Closes of a symbol as they were collected: span, newest, held back and accepted ones.

    Closes that are probably wrong are held back: no calibration learns from them, no forecast is
    scored by them, and forecasts start from the close before, until the source has corrected them
    or a person has accepted them. As CSV a row per close of `newest`.
    """
    canonical = service.models.canonical(symbol)
    prices = service.models.closes.of(canonical)
    if prices is None:
        service.models.get(canonical)  # 404 where there is no model either
        raise NotCollected(
            f"there is a model of {canonical}, and its closes were never collected here: "
            f"GET /forecast/{canonical} has them collected"
        )
    decisions = service.database.close_decisions
    held, accepted = decisions.held(canonical), decisions.accepted(canonical)
    newest = []
    for row in range(len(prices) - 1, max(-1, len(prices) - 1 - limit), -1):
        session, close = as_date(prices.sessions[row]), float(prices.closes[row])
        newest.append(
            NewestClose(
                session=session,
                close=close,
                change=close / float(prices.closes[row - 1]) - 1 if row else None,
                held=held is not None and session >= held.since,
                accepted=session in accepted,
            )
        )
    answer = PricesAnswer.model_validate(
        {
            "symbol": canonical,
            "source": prices.source,
            "basis": prices.basis,
            "sessions": len(prices),
            "first_session": prices.span[0],
            "last_session": prices.span[1],
            "learned_until": service.forecasting.learned_until(canonical),
            "held": held,
            "acceptable": acceptable_sessions(prices, held, accepted)[-_MOST_ACCEPTABLE:],
            "accepted": list(accepted.values()),
            "newest": newest,
        }
    )
    if not as_table:
        return answer
    rows = [row_of(row, answer, ("symbol", "basis")) for row in answer.newest]
    return csv_answer(response, rows, "prices", canonical)


@router.post(
    "/{symbol}/accept",
    responses={
        **_QUEUED,
        **responses(400, 404, 409, 413, 415, 422, 503, examples=_NOT_ACCEPTED),
    },
)
def accept_close(
    symbol: SymbolPath,
    service: ServiceDep,
    request: Request,
    response: Response,
    body: Annotated[AcceptBody, Body()],
) -> AcceptAnswer:
    """Accept a close that is held back as faulty and is right, such as a real halving.

    The decision is stored for ever, with reason, caller and time, and an update is queued that
    absorbs the close and all after it (202). The same again changes nothing. `GET
    /prices/{symbol}` lists the sessions that can be accepted; the service does not look at the
    reason.
    """
    done = accept(
        service.settings,
        service.database,
        service.models.canonical(symbol),
        body.session,
        body.reason,
        caller_name(request.scope, body.by),
        update=service.kind == "live",
    )
    if done.job is not None:
        response.status_code = 202
        response.headers["Location"] = public(f"/train/{done.job.id}")
    return AcceptAnswer.model_validate(
        {
            "symbol": done.accepted.symbol,
            "accepted": done.accepted,
            "held": done.held,
            "job": job_answer(done.job) if done.job else None,
        }
    )
