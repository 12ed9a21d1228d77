"""The application: ``uvicorn api.main:app`` or ``closecast serve``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from api.deps import Service
from api.errors import add_error_handlers, document_problems
from api.middleware import BodyLimit, RequestEnvelope, SameOrigin
from api.routes import config, health, model, predict, train
from closecast import __version__
from closecast.logs import set_up_logging
from closecast.settings import Settings, get_settings

DESCRIPTION = """
Forecasts of the next closing prices with calibrated intervals, drift warnings, and the naive
score ("tomorrow = today") beside every score.

Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem documents with a stable
`code`. Every answer carries `X-Request-ID`; answers of a model carry `X-Model-Version`.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Wire everything; nothing is opened or loaded before the server starts.

    Parameters
    ----------
    settings : Settings, optional
        Read from the environment without it; the process's logging is then set up, too.
    """
    own_process = settings is None
    chosen = settings or get_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if own_process:
            set_up_logging(chosen.log_level)
        service = Service.from_settings(chosen)
        await run_in_threadpool(service.start)
        app.state.service = service
        try:
            yield
        finally:
            await run_in_threadpool(service.stop)

    app = FastAPIOffline(
        title="closecast",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_tags=[
            {"name": "forecasts", "description": "What may come."},
            {"name": "training", "description": "Background jobs; predictions go on meanwhile."},
            {"name": "configuration", "description": "Hyper-parameters of the next training."},
            {"name": "models", "description": "What is served, and what was before."},
            {"name": "health", "description": "Is it alive, is it ready, how does it do."},
        ],
    )
    add_error_handlers(app)
    app.add_middleware(BodyLimit, max_bytes=chosen.max_body_bytes)
    app.add_middleware(SameOrigin)
    app.add_middleware(RequestEnvelope)
    for routes in (predict, train, config, model, health):
        app.include_router(routes.router)

    generate = app.openapi
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(document_problems(generate()))
        return document

    app.openapi = openapi  # type: ignore[method-assign]

    @app.get("/", include_in_schema=False)
    async def index() -> RedirectResponse:
        return RedirectResponse("/docs")

    return app


app = create_app()
