"""HTTP status of each class of errors."""

from __future__ import annotations

from closecast import errors as e

STATUS: dict[type[e.ClosecastError], int] = {
    e.InvalidPrices: 422,
    e.WrongWindowLength: 422,
    e.TooFewCloses: 422,
    e.UnknownName: 422,
    e.InvalidSymbol: 422,
    e.InvalidHyperparameters: 422,
    e.BeyondHorizon: 422,
    e.InvalidLevels: 422,
    e.UnknownSymbol: 404,
    e.UnknownVersion: 404,
    e.UnknownJob: 404,
    e.NotDrawnYet: 404,
    e.UnknownForecast: 404,
    e.NothingRecorded: 404,
    e.NotConfigured: 404,
    e.JobConflict: 409,
    e.StalePrices: 409,
    e.DataFault: 409,
    e.UnverifiedBundle: 409,
    e.PointerMoved: 409,
    e.RolledBack: 409,
    e.NothingToAccept: 409,
    e.PreconditionFailed: 412,
    e.NoModel: 503,
    e.DamagedBundle: 503,
    e.UnverifiedModel: 503,
    e.TrainingUnavailable: 503,
    e.StorageFailed: 503,
    e.NotCollected: 503,
    e.CalendarTooShort: 503,
}
_BY_FAULT = {"caller": 422, "service": 500, "upstream": 503}


def status_of(error: e.ClosecastError) -> int:
    """The status for an error of ours."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return _BY_FAULT[error.fault]
