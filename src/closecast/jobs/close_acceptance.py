"""Acceptance of closes: a person's decision that a close is right although it looks faulty."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from closecast.core.prices import Prices
from closecast.core.reasons import checked_reason
from closecast.core.records import AcceptedClose, HeldCloses
from closecast.core.symbols import canonical
from closecast.database import Database, Job
from closecast.errors import InvalidPrices, NothingToAccept, UnknownSymbol
from closecast.registry.registry import Registry
from closecast.serving.dated import submit_update
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache

log = logging.getLogger(__name__)

_SHOWN = 20
_MOVE = "remarkable_move"
_NO_DECISION_ENDS = frozenset({"other_basis", "too_few_closes", InvalidPrices.code})
"""Codes of held closes that a decision cannot end: of another price basis, fewer than a window, or
never stored."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A decision, and its effect so far.

    Attributes
    ----------
    held : HeldCloses or None
        The fault for which closes of the symbol are held back until an update has run.
    job : Job or None
        The update that will absorb the closes, where one is needed.
    """

    accepted: AcceptedClose
    held: HeldCloses | None
    job: Job | None


def accept_close(
    settings: Settings,
    database: Database,
    symbol: str,
    session: date,
    reason: str,
    by: str,
    *,
    update: bool = True,
) -> Acceptance:
    """Accept the close of a session, and queue the update that absorbs it.

    The decision is stored before the job is queued: if the process dies in between, the next
    update applies it, from any cause. The same acceptance again stores nothing, and
    queues the update again only while closes are still held back.

    Parameters
    ----------
    update : bool
        Whether to queue an update; a replay, whose clock is set, must not collect.

    Raises
    ------
    InvalidSymbol
    UnknownSymbol
        If the symbol has neither a model nor collected closes.
    NothingToAccept
        If the session is not one of :func:`acceptable_sessions`.
    ValueError
        If the reason is no reason, as :func:`closecast.core.reasons.checked_reason`.
    StorageFailed
    """
    symbol, reason = canonical(symbol), checked_reason(reason)
    registry = Registry(settings.models_url)
    pointer = registry.pointer(symbol)
    prices = PriceCache(settings.data_dir / "prices").get(symbol)
    if pointer is None and prices is None:
        raise UnknownSymbol(
            f"{symbol} has neither a model nor collected closes here; "
            f'POST /train {{"symbol": "{symbol}"}} collects them'
        )
    held = database.close_decisions.held(symbol)
    noticed_at = held.noticed_at if held is not None and held.since == session else None
    known = database.close_decisions.accepted(symbol).get(session)
    if known is None:
        _require_fault(symbol, session, prices, held)
    accepted = database.close_decisions.accept(symbol, session, reason, by, noticed_at)
    is_new = accepted != known
    job = None
    if update and pointer is not None and (is_new or held is not None):
        symbols = registry.manifest(pointer.version).info.symbols
        job = submit_update(database.jobs, pointer.version, symbols)
    log.info(
        "close accepted" if is_new else "close was accepted already",
        extra={
            "symbol": symbol,
            "session": str(session),
            "reason": accepted.reason,
            "by": by,
            "job_id": job.id if job else None,
        },
    )
    return Acceptance(accepted, held, job)


def acceptable_sessions(
    prices: Prices | None, held: HeldCloses | None, accepted: Mapping[date, AcceptedClose]
) -> list[date]:
    """List the sessions whose close can be accepted, oldest first.

    The one for which closes are held back, and those of moves that were remarkable when closes
    were collected; without those that are accepted already.
    """
    # Not find_faults: it counts sessions by the calendar library, which serving does not load.
    notes = prices.notes if prices is not None else ()
    found = {date.fromisoformat(n.date) for n in notes if n.rule == _MOVE and n.date is not None}
    found -= accepted.keys()
    if held is not None and held.code not in _NO_DECISION_ENDS:
        decision = accepted.get(held.since)
        if decision is None or decision.at < held.noticed_at:
            found.add(held.since)
    return sorted(found)


def _require_fault(
    symbol: str, session: date, prices: Prices | None, held: HeldCloses | None
) -> None:
    sessions = acceptable_sessions(prices, held, {})
    if session in sessions:
        return
    if held is not None and held.code in _NO_DECISION_ENDS:
        raise NothingToAccept(
            f"closes of {symbol} are held back, and no decision ends that: {held.reason}. "
            f"{held.ends}",
            [],
        )
    raise NothingToAccept(
        f"the close of {symbol} on {session} is not suspected of a fault"
        + (f"; those that are: {_listed(sessions)}" if sessions else ", nor is any other"),
        [day.isoformat() for day in sessions[:_SHOWN]],
    )


def _listed(sessions: Sequence[date]) -> str:
    more = f" and {len(sessions) - _SHOWN} more" if len(sessions) > _SHOWN else ""
    return ", ".join(str(day) for day in sessions[:_SHOWN]) + more
