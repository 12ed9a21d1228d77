"""Scores of forecasts."""

from __future__ import annotations

import numpy as np
from sklearn import metrics as sk

from closecast.core.arrays import FloatArray


def point_scores(actual: FloatArray, predicted: FloatArray) -> dict[str, float]:
    """MAPE (%), MAE, MSE, RMSE and R² of point forecasts.

    Parameters
    ----------
    actual, predicted : arrays of one shape
        Closes and their forecasts, in price units; all elements count alike.

    Notes
    -----
    R² on price *levels* is near one for any forecast that repeats the last close: read it
    beside the naive forecast's, never alone.
    """
    y, f = actual.ravel(), predicted.ravel()
    return {
        "mape": float(100 * sk.mean_absolute_percentage_error(y, f)),
        "mae": float(sk.mean_absolute_error(y, f)),
        "mse": float(sk.mean_squared_error(y, f)),
        "rmse": float(sk.root_mean_squared_error(y, f)),
        "r2": float(sk.r2_score(y, f)),
    }


def crps_from_quantiles(
    actual: FloatArray, quantiles: FloatArray, probabilities: FloatArray
) -> FloatArray:
    """Continuous ranked probability score, approximated by the mean pinball loss.

    Twice the mean pinball loss over equally spaced probabilities tends to the CRPS
    (Gneiting and Ranjan 2011, eq. 7); the ends beyond the outer quantiles are left out,
    equally for everything that is compared.

    Parameters
    ----------
    actual : array, shape (...)
    quantiles : array, shape (..., q)
    probabilities : array, shape (q,)

    Returns
    -------
    array, shape (...), in the unit of ``actual``
    """
    error = actual[..., None] - quantiles
    pinball = np.maximum(probabilities * error, (probabilities - 1) * error)
    return np.asarray(2 * pinball.mean(axis=-1))


def coverage(actual: FloatArray, lower: FloatArray, upper: FloatArray) -> float:
    """Share of ``actual`` inside the intervals, ends included."""
    return float(np.mean((lower <= actual) & (actual <= upper)))


def mase(errors: FloatArray, train_returns: FloatArray) -> float:
    """Mean absolute scaled error (Hyndman and Koehler 2006), in log returns.

    The scale is the in-sample error of "tomorrow = today", the mean absolute log return of
    training. In price units it would grow with the price and compare nothing.
    """
    return float(np.abs(errors).mean() / np.abs(train_returns).mean())
