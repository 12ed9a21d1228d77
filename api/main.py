"""The application: ``uvicorn api.main:app`` or ``closecast serve``."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware

from api import contracts
from api.middleware.body_limit import BodyLimit
from api.middleware.json_routes import FastDispatch
from api.middleware.query_parameters import QueryParameters
from api.middleware.request_context import RequestContext
from api.middleware.route_templates import RouteTemplates
from api.pages.document import serve_document
from api.problems.handlers import HANDLERS, add_error_handlers
from api.problems.openapi import document_problems
from api.routes import ROUTERS, predict, predict_batch
from api.security.access import Guard
from api.security.proxies import TrustedProxies
from api.security.sites import SiteCheck
from api.service import Service
from closecast import __version__
from closecast.core.records import Kind
from closecast.database.engine import Clock, utc_now
from closecast.errors import BadSetting
from closecast.infra.api_keys import KeyStore
from closecast.infra.logging import set_up_logging
from closecast.infra.processes import die_with_server
from closecast.settings import Settings, get_settings
from closecast.sources.market_cache import use_markets

_COMPRESSED_FROM = 4096  # bytes

# Objects; an answer makes forty that live for a moment, and no cycles. So many are looked through
# in two milliseconds, and a batch of hundreds of windows is looked through once, not thirty times.
_COLLECTED_AFTER = 25_000

_PATIENCE_S = 0.001
"""For which the event loop waits while another thread computes, one that loads a model say. With
Python's five milliseconds p99 was an eighth larger while models moved."""

DESCRIPTION = """
Forecasts of the next closing prices with calibrated intervals, drift warnings, and the naive
score ("tomorrow = today") beside every score.

Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem documents with a stable
`code`. Every answer carries `X-Request-ID`; answers of a model carry `X-Model-Version` and
`X-Model-Generation`, those of its living calibration `X-Calibration-Revision`. Drift is told in
English, or in Portuguese where `Accept-Language` prefers it.

Bodies are JSON in UTF-8, with or without a byte order mark. They may be compressed, with
`Content-Encoding: gzip` or `deflate`; the limits of size hold for what comes out as well. Another
coding is answered 415 with `Accept-Encoding`, which lists both.
"""


def create_app(
    settings: Settings | None = None, *, clock: Clock = utc_now, kind: Kind = "live"
) -> FastAPI:
    """Wire everything; nothing is opened or loaded before the server starts.

    Parameters
    ----------
    settings : Settings, optional
        Read from the environment without it; the process's logging is then set up, too.
    clock : callable
        Returns the time (aware) for every decision that depends on it; a replay sets it.
    kind : {"live", "replay"}
        What the ledger calls the forecasts. A replay never asks for newer closes.
    """
    own_process = settings is None
    chosen = settings or get_settings()
    keys = KeyStore(chosen.keys_path)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        if own_process:
            set_up_logging(chosen.log_level, chosen.log_format)
            die_with_server()
        keys.load(required=bool(chosen.api_keys_file))
        use_markets(chosen)
        service = Service.from_settings(chosen, clock, kind)
        service.health.others.append(keys.trouble)
        await run_in_threadpool(service.start)
        app.state.service = service
        if own_process:
            gc.collect()
            gc.freeze()  # what is there now stays: no later collection has to look at it again
            gc.set_threshold(_COLLECTED_AFTER, 20, 20)
            sys.setswitchinterval(_PATIENCE_S)
        try:
            yield {"telemetry": service.telemetry}
        finally:
            await run_in_threadpool(service.stop)

    app = FastAPIOffline(
        title="closecast",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        # One spelling per route: a redirect would lead to the address in the Host header.
        redirect_slashes=False,
        # The name that a generated client gives to the method that calls the operation.
        generate_unique_id_function=lambda route: route.name,
        # FastAPI would measure every request for OpenTelemetry, for 50 microseconds; we count.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        openapi_tags=[
            {"name": "forecasts", "description": "Forecasts of the next closes, and their scores."},
            {
                "name": "prices",
                "description": "Collected closes, and decisions about those that look faulty.",
            },
            {
                "name": "drift",
                "description": "Verdicts on closes: faults of the data, regimes of the market.",
            },
            {
                "name": "training",
                "description": "Trainings in the background; predictions go on meanwhile.",
            },
            {"name": "configuration", "description": "Hyper-parameters of the next training."},
            {
                "name": "models",
                "description": "Models that serve, their versions and their history.",
            },
            {
                "name": "aliases",
                "description": "Calls of other systems, answered as theirs were. `POST /predict` "
                'and `POST /train` take bodies of theirs, too: `{"predict": [closes]}`, '
                '`{"stock": "VALE3"}`, `{"stock", "inicio", "fim"}`.',
            },
            {"name": "health", "description": "Liveness, readiness, metrics and recent requests."},
        ],
    )
    add_error_handlers(app)
    app.add_middleware(FastDispatch, routes=predict_batch.router.routes, handlers=HANDLERS)
    app.add_middleware(GZipMiddleware, minimum_size=_COMPRESSED_FROM, compresslevel=5)
    # Outside of the compression: one prediction is too small for it, and to find that out takes
    # a tenth of a prediction's time.
    app.add_middleware(FastDispatch, routes=predict.router.routes, handlers=HANDLERS)
    app.add_middleware(
        BodyLimit,
        max_bytes=chosen.max_body_bytes,
        max_batch_bytes=chosen.max_batch_body_bytes,
        max_depth=chosen.max_json_depth,
        timeout_s=chosen.body_timeout_s,
    )
    templates = RouteTemplates()
    templates.add(app.routes)
    # A page of another site takes nothing from the owner's rates.
    queries = QueryParameters(templates)
    app.add_middleware(
        RequestContext,
        templates=templates,
        checks=(SiteCheck(chosen, keys), Guard(chosen, keys)),
        check_query=queries,
        prefix=chosen.root_path,
    )
    if chosen.trusted_proxies:
        app.add_middleware(
            TrustedProxies, trusted=chosen.trusted_proxies, takes_prefix=not chosen.root_path
        )
    app.state.operations = []
    for router in (*ROUTERS, *contracts.CONTRACTS):
        app.include_router(router)
        templates.add(router.routes)
        queries.add(router.routes)
        app.state.operations += router.routes
    if chosen.root_path and templates.has_below(chosen.root_path):
        raise BadSetting(
            f"CLOSECAST_ROOT_PATH: {chosen.root_path} is a path of the service itself; choose "
            "another prefix, such as /closecast"
        )

    generate = app.openapi
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(document_problems(generate()))
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    serve_document(app)

    return app


app = create_app()
