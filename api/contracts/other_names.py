"""Bodies of ``POST /predict`` and ``POST /train`` under the names of other systems.

========================================  =====================================================
body                                      answer
========================================  =====================================================
``{"predict": [closes]}``                 ours, with response_time_sec and memory_usage_percent
``{"stock": "VALE3"}``                    ``preco``: the prices of the newest dated forecast
``{"stock", "inicio", "fim"}``            a training of one stock between two dates
========================================  =====================================================

``POST /predict`` looks here only if a body does not fit its own form.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError, from_json
from starlette.concurrency import run_in_threadpool

from api.middleware.json_routes import validate
from api.middleware.negotiation import language_headers, request_language
from api.schemas.forecasts import ForecastAnswer
from api.schemas.other_names import MonitoredRequest, StockForecast, StockRequest, StockTraining
from api.schemas.training import TrainBody
from api.service import Service
from api.services.dated_forecasts import collected, forecast_headers, spoken
from api.services.prediction import interval_levels

_MOST_PRICES = 10
_TRAINING = {"stock": "symbol", "inicio": "start", "fim": "end"}


def predicted_otherwise(text: bytes) -> MonitoredRequest | StockRequest | None:
    """Read a body of ``POST /predict`` under the names of another system.

    Returns
    -------
    MonitoredRequest, StockRequest or None
        ``None`` if no name of another system occurs in it, or it is no JSON.

    Raises
    ------
    RequestValidationError
        If it does not fit, or has names that exclude each other.
    """
    try:
        value = from_json(text)  # as our own form is read: NaN is refused at its place
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    given = [name for name in ("prices", "predict", "stock") if name in value]
    if given in ([], ["prices"]):
        return None
    if len(given) > 1:
        raise RequestValidationError([_excluded(name, given) for name in given])
    if given == ["stock"]:
        return validate(StockRequest, value)
    return validate(MonitoredRequest, value)


def _excluded(name: str, given: list[str]) -> dict[str, Any]:
    return {
        "type": "names_exclude_each_other",
        "loc": ("body", name),
        "msg": f"send one of {', '.join(given)}: prices or predict with closes of your own (and "
        "symbol for their symbol), or stock for a forecast from the closes that are collected here",
    }


async def forecast_of_stock(request: Request, asked: StockRequest) -> Response:
    """Answer the newest dated forecast of a stock, with its prices alone beside.

    Raises
    ------
    NotCollected
        Also while a job collects the closes.
    ClosecastError
        As :meth:`closecast.serving.dated.DatedForecastService.answer`.
    """
    service: Service = request.app.state.service
    language = request_language(request)
    levels = interval_levels(asked.levels)
    found = await run_in_threadpool(service.forecasting.answer, asked.stock, levels=levels)
    answer = spoken(collected(found), language)
    reply = StockForecast(
        preco=[row.price for row in answer.path[:_MOST_PRICES]],
        **ForecastAnswer.model_validate(answer).model_dump(),
    )
    headers = {**forecast_headers(answer), **language_headers(language)}
    return Response(reply.model_dump_json(), 200, headers, "application/json")


def _read_training(value: Any, _of_the_document: ValidatorFunctionWrapHandler) -> TrainBody:
    if not isinstance(value, dict) or not _TRAINING.keys() & value.keys():
        return TrainBody.model_validate(value)
    for other, ours in (*_TRAINING.items(), ("stock", "symbols")):
        if other in value and ours in value:
            raise PydanticCustomError(
                "names_exclude_each_other",
                "send either {other} or {ours}",
                {"other": other, "ours": ours},
            )
    return StockTraining.model_validate(value)


AnyTraining = Annotated[TrainBody | StockTraining, WrapValidator(_read_training)]
"""A training under our names, or under those of another system."""
