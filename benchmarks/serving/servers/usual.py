"""The usual service: FastAPI, pydantic, a pickled scaler, torch.

``uvicorn benchmarks.serving.servers.usual:network_only`` answers one price; ``…:equal_work``
what this service answers: ten steps, intervals, drift.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from benchmarks.serving.servers.network import LENGTH, FullPredictor, Predictor


class Window(BaseModel):
    """The last closes, oldest first."""

    prices: list[float] = Field(min_length=LENGTH, max_length=LENGTH)


class Price(BaseModel):
    """The next close."""

    predicted_price: float


class Interval(BaseModel):
    """A central interval."""

    level: float
    lower: float
    upper: float


class Step(BaseModel):
    """One session ahead."""

    step: int
    price: float
    intervals: list[Interval]


class Answer(Price):
    """Ten steps, and what to think of the input."""

    intervals: list[Interval]
    path: list[Step]
    drift_warning: bool
    drift_details: list[str]


@asynccontextmanager
async def _load_one_step(app: FastAPI) -> AsyncIterator[None]:
    app.state.predict = Predictor()
    yield


@asynccontextmanager
async def _load_everything(app: FastAPI) -> AsyncIterator[None]:
    app.state.predict = FullPredictor()
    yield


network_only = FastAPI(lifespan=_load_one_step)
equal_work = FastAPI(lifespan=_load_everything)


@network_only.post("/predict")
async def predict_price(window: Window, request: Request) -> Price:
    """The next close."""
    return Price(predicted_price=float(request.app.state.predict(window.prices)[0]))


@equal_work.post("/predict")
async def predict_everything(window: Window, request: Request) -> Answer:
    """The next ten closes, intervals, drift."""
    return Answer.model_validate(request.app.state.predict(window.prices))
