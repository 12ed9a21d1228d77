"""``GET /``: the service at a glance, for a browser and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from api.middleware.negotiation import prefers_html
from api.middleware.prefix import public
from api.pages.index import page
from api.problems.openapi import responses
from api.schemas.forecasts import HeldClosesAnswer
from api.schemas.summary import SummaryAnswer, SymbolSummary
from api.security.proxies import FORWARDED_HOST
from api.service import Service, ServiceDep
from closecast import __version__
from closecast.core.records import HeldCloses
from closecast.errors import ClosecastError

router = APIRouter(tags=["health"])

_MOST_SHOWN = 50
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@router.get(
    "/",
    response_model=SummaryAnswer,
    responses={
        200: {"content": {"text/html": {"schema": {"type": "string"}}}},
        **responses(503, examples={503: {"storage_failed": "the models cannot be read"}}),
    },
)
def get_summary(service: ServiceDep, request: Request) -> object:
    """Symbols with models, the age of their closes, and commands to try.

    A page where `text/html` is preferred (a browser), else JSON.
    """
    answer = _summary(service, _address(request))
    headers = {"Vary": "Accept"}
    if prefers_html(request.headers.get("accept", "")):
        return HTMLResponse(page(answer), headers={**headers, "Content-Security-Policy": _POLICY})
    return JSONResponse(answer.model_dump(mode="json"), headers=headers)


def _address(request: Request) -> str:
    """Address of the service as the client wrote it."""
    host = request.scope.get(FORWARDED_HOST)
    if host is None:
        return str(request.base_url).rstrip("/")
    return f"{request.url.scheme}://{host.decode('latin-1')}{public('')}"


def _summary(service: Service, address: str) -> SummaryAnswer:
    symbols = service.registry.symbols()
    default = service.models.default_symbol
    # The default symbol first, the others by the alphabet.
    ordered = sorted(symbols, key=lambda symbol: (symbol != default, symbol))
    first = quote(ordered[0] if ordered else default)
    held = _held(service)
    training = [f"curl -s -X POST {address}/train -H 'content-type: application/json' -d '{{}}'"]
    asking = [
        f"curl -s '{address}/forecast/{first}?horizon=5&levels=0.8,0.95'",
        f"curl -s {address}/forecast/{first}/today",
        f"curl -s {address}/performance/{first}",
        f"curl -s {address}/drift/{first}",
    ]
    return SummaryAnswer(
        name="closecast",
        version=__version__,
        kind=service.kind,
        now=service.clock(),
        default_symbol=default,
        symbols=[_of_symbol(service, symbol, held) for symbol in ordered[:_MOST_SHOWN]],
        left_off=max(0, len(ordered) - _MOST_SHOWN),
        try_next=asking if ordered else training,
        links={
            "documentation": public("/docs"),
            "health": public("/health"),
            "models": public("/model/versions"),
            "drift": public("/drift"),
        },
    )


def _held(service: Service) -> Mapping[str, HeldCloses]:
    try:
        return service.database.close_decisions.all_held()
    except ClosecastError:  # each symbol's own look at the ledger is its problem
        return {}


def _of_symbol(service: Service, symbol: str, held: Mapping[str, HeldCloses]) -> SymbolSummary:
    problem = fresh = None
    try:
        fresh = service.forecasting.freshness(symbol)
    except ClosecastError as error:
        problem = str(error)
    if reason := service.models.failures().get(symbol):
        problem = reason
    name = quote(symbol)
    return SymbolSummary(
        symbol=symbol,
        model_version=service.published_version(symbol),
        newest_close=fresh.session if fresh else None,
        age=fresh.age if fresh else None,
        held=HeldClosesAnswer.model_validate(held[symbol]) if symbol in held else None,
        problem=problem,
        links={
            "forecast": public(f"/forecast/{name}"),
            "today": public(f"/forecast/{name}/today"),
            "performance": public(f"/performance/{name}"),
            "prices": public(f"/prices/{name}"),
            "drift": public(f"/drift/{name}"),
            "plot": public(f"/performance/{name}/plot.png"),
            "model": public(f"/model?symbol={name}"),
        },
    )
