"""Calls of a running service by the Python client that openapi-python-client generated.

`make clients` type-checks this file against the client, then runs it.
"""

from __future__ import annotations

import sys

from closecast_api import AuthenticatedClient
from closecast_api.api.aliases import get_todays_closing
from closecast_api.api.forecasts import get_forecast, predict, predict_batch
from closecast_api.api.prices import get_prices
from closecast_api.api.training import get_job, train
from closecast_api.models import (
    BatchAnswer,
    BatchRequest,
    ForecastAnswer,
    JobAnswer,
    MonitoredRequest,
    PredictAnswer,
    PredictRequest,
    PricesAnswer,
    ProblemDocument,
    QueuedJob,
    StockForecast,
    StockRequest,
    TrainBody,
    TrainBodyForecaster,
    Window,
)
from httpx import Timeout

WINDOW = [200 + 3 * (i % 5) - 0.7 * (i % 3) for i in range(60)]


def main(address: str) -> None:
    """Predict, forecast, train, and read two errors."""
    # A service without keys takes any token.
    with AuthenticatedClient(
        base_url=address,
        token="none",  # noqa: S106  # nosec B106
        raise_on_unexpected_status=True,
        timeout=Timeout(60),
    ) as client:
        predicted = predict.sync(client=client, body=PredictRequest(prices=WINDOW))
        assert isinstance(predicted, PredictAnswer), predicted
        assert predicted.intervals[0].lower < predicted.predicted_price
        monitored = predict.sync(client=client, body=MonitoredRequest(predict=WINDOW))
        assert isinstance(monitored, PredictAnswer), monitored
        assert monitored.additional_properties["response_time_sec"] > 0
        short = predict.sync(client=client, body=PredictRequest(prices=WINDOW[:3]))
        assert isinstance(short, ProblemDocument), short
        assert (short.status, short.code) == (422, "wrong_window_length")
        stock = predict.sync(client=client, body=StockRequest(stock="MSFT"))
        assert isinstance(stock, StockForecast), stock
        forecast = get_forecast.sync("MSFT", client=client, levels="0.9")
        assert isinstance(forecast, ForecastAnswer), forecast
        assert [row.price for row in forecast.path] == stock.preco
        windows = BatchRequest(windows=[Window(prices=WINDOW), Window(prices=WINDOW[:3])])
        batch = predict_batch.sync(client=client, body=windows)
        assert isinstance(batch, BatchAnswer), batch
        assert (batch.answered, batch.refused) == (1, 1)
        closes = get_prices.sync("MSFT", client=client, limit=3)
        assert isinstance(closes, PricesAnswer), closes
        assert len(closes.newest) == 3
        stale = get_todays_closing.sync(client=client)
        assert isinstance(stale, ProblemDocument), stale
        assert stale.code == "stale_prices"
        body = TrainBody(symbol="KO", source="sample", forecaster=TrainBodyForecaster.EWMA)
        queued = train.sync(client=client, body=body)
        assert isinstance(queued, QueuedJob), queued
        job = get_job.sync(queued.id, client=client)
        assert isinstance(job, JobAnswer), job
        print(f"Python: {predicted.predicted_price:.2f} by {predicted.model_version}, {short.code}")


if __name__ == "__main__":
    main(sys.argv[1])
