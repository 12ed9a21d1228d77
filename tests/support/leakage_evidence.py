"""Evidence for the look-ahead check, made by the honest steps without any file."""

from __future__ import annotations

from collections.abc import Sequence

from closecast.core.dataset import split_panel
from closecast.core.prices import Prices
from closecast.evaluation import calibrate
from closecast.forecasters import make_forecaster, make_parameters
from closecast.forecasters.location import learn_shrinkage, shrink
from closecast.validation.leakage import LeakEvidence

SIZES = {
    "naive": {},
    "random_walk_drift": {},
    "ewma": {},
    "mlp": {"members": 1, "hidden_size": 4, "num_epochs": 1},
}


def evidence_of(
    series: Sequence[Prices],
    name: str = "ewma",
    length: int = 20,
    horizon: int = 3,
    train_size: float = 0.6,
    valid_size: float = 0.0,
) -> LeakEvidence:
    """Split, fitted and calibrated; series too short in a part are left out."""
    splits, _ = split_panel(series, train_size, length, horizon, valid_share=valid_size)
    values = {"seq_length": length, "horizon": horizon, **SIZES[name]}
    train, valid = [split.train for split in splits], [split.valid for split in splits]
    forecaster = make_forecaster(name, make_parameters(name, values))
    fitted = forecaster.fit(train, valid)
    predictor = shrink(fitted, learn_shrinkage(fitted, valid))
    return LeakEvidence(
        collected=series,
        splits=splits,
        train_size=train_size,
        forecaster=forecaster,
        predictor=predictor,
        training=fitted.training,
        calibrations={s.test.symbol: calibrate(predictor, [s.valid]) for s in splits},
        valid_size=valid_size,
    )
