"""Training of the LSTM with PyTorch Lightning, and its export to ONNX."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import safetensors.torch
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from scipy import stats

from closecast.core.arrays import FloatArray, read_only
from closecast.core.dataset import (
    FLOOR_SHARE,
    log_returns,
    long_run_volatility,
    make_examples,
    standardise,
)
from closecast.core.forecast import PROBABILITIES
from closecast.core.prices import Prices
from closecast.errors import InvalidHyperparameters
from closecast.forecasters.agreement import require_agreement
from closecast.forecasters.base import Forecaster, Predictor, TrainingData, TrainingReport
from closecast.forecasters.lightning import LossModule, torch_threads, train_to_best
from closecast.forecasters.lstm.network import DistributionLoss, LstmNetwork
from closecast.forecasters.lstm.parameters import LstmParameters
from closecast.forecasters.lstm.predict import LstmPredictor
from closecast.forecasters.rows import TrainingRows, View

_PINBALL_DF = 5.0  # shape of the law whose quantiles the pinball loss moves


class LstmForecaster(Forecaster):
    """Direct multi-step: one network states all steps of the horizon at once."""

    name = "lstm"
    Parameters = LstmParameters

    def training_rows(
        self, series: Sequence[Prices], train: Sequence[Prices]
    ) -> Mapping[View, Sequence[TrainingRows]]:
        p, rows = self.parameters, []
        for prices, floor in zip(series, _floors(train), strict=True):
            examples = make_examples(prices, p.seq_length, p.horizon)
            inputs, volatility = standardise(examples.windows, floor)
            rows.append(TrainingRows(inputs, volatility, examples.targets))
        return {"window": rows}

    def _fit(self, data: TrainingData) -> LstmPredictor:
        started = time.perf_counter()
        p: LstmParameters = self.parameters  # type: ignore[assignment]
        learn = _tensors(self.training_rows(data.train, data.train)["window"])
        choose = _tensors(self.training_rows(data.valid, data.train)["window"])

        with isolate_rng(), torch_threads(self.runtime.threads):
            pl.seed_everything(p.seed, verbose=False)
            module = _Module(p)
            if data.start_from is not None:
                _load_weights(module.network, data.start_from)
            epochs = train_to_best(
                module,
                learn,
                choose,
                batch_size=p.batch_size,
                num_epochs=p.num_epochs,
                patience=p.patience,
                runtime=self.runtime,
                watch=data.watch,
            )
        network = module.network
        best = min(epochs, key=lambda epoch: epoch["valid_loss"])

        df = network.df.detach().numpy().astype(np.float64) if p.loss == "student_t" else None
        predictor = LstmPredictor(
            seq_length=p.seq_length,
            horizon=p.horizon,
            long_run=float(np.median(_floors(data.train))) / FLOOR_SHARE,
            shape_quantiles=_shape_quantiles(p, df, network, learn),
            network=export_onnx(network, p.seq_length),
            weights=safetensors.torch.save(dict(network.state_dict())),
        )
        disagreement = check_agreement(network, predictor, choose[0].numpy()[:512, :, 0])
        report = TrainingReport(
            seconds=time.perf_counter() - started,
            best_epoch=int(best["epoch"]),
            best_valid_loss=best["valid_loss"],
            epochs=epochs,
            notes={
                "loss": p.loss,
                "windows": len(learn[0]),
                "degrees_of_freedom": None if df is None else df.round(3).tolist(),
                "torch_disagreement": disagreement,
            },
        )
        return predictor.with_training(report)


_Pair = tuple[torch.Tensor, torch.Tensor]


class _Module(LossModule):
    def __init__(self, parameters: LstmParameters) -> None:
        super().__init__()
        self.learning_rate = parameters.learning_rate
        self.weight_decay = parameters.weight_decay
        self.network = LstmNetwork(parameters)
        quantiles = stats.t.ppf(PROBABILITIES, _PINBALL_DF)
        self.loss = DistributionLoss(
            parameters.loss,
            torch.tensor(quantiles, dtype=torch.float32),
            torch.tensor(PROBABILITIES.copy(), dtype=torch.float32),
        )

    def batch_loss(self, batch: Any) -> torch.Tensor:
        loss: torch.Tensor = self.loss(self.network, *batch)
        return loss


def _floors(train: Sequence[Prices]) -> list[float]:
    """The floor under the volatility of each series."""
    return [FLOOR_SHARE * long_run_volatility(log_returns(prices.closes)) for prices in train]


def _tensors(parts: Sequence[TrainingRows]) -> _Pair:
    """Standardised inputs (n, length - 1, 1) and targets (n, horizon), series by series."""
    inputs, targets = [], []
    for rows in parts:
        assert rows.volatility is not None
        roots = np.sqrt(np.arange(1, rows.targets.shape[1] + 1))
        inputs.append(rows.inputs)
        targets.append(np.clip(rows.targets / (rows.volatility[:, None] * roots), -20, 20))
    return (
        torch.tensor(np.concatenate(inputs), dtype=torch.float32)[:, :, None],
        torch.tensor(np.concatenate(targets), dtype=torch.float32),
    )


def _load_weights(network: LstmNetwork, start_from: Predictor) -> None:
    if not isinstance(start_from, LstmPredictor):
        raise InvalidHyperparameters(
            [
                (
                    "fine_tune",
                    f"the current model is {start_from.name!r}, not an LSTM: train without it",
                )
            ]
        )
    try:
        network.load_state_dict(safetensors.torch.load(start_from.weights))
    except RuntimeError as error:
        raise InvalidHyperparameters(
            [
                (
                    "fine_tune",
                    "horizon, num_layers and hidden_size must be those of the current model "
                    f"to start from its weights: {str(error).splitlines()[-1].strip()}",
                )
            ]
        ) from error


def _shape_quantiles(
    p: LstmParameters, df: FloatArray | None, network: LstmNetwork, learn: _Pair
) -> FloatArray:
    """Quantiles of the standardised error: the law's own, or for ``mse`` the empirical ones."""
    if df is not None:
        return read_only(stats.t.ppf(PROBABILITIES[None, :], df[:, None]))
    if p.loss == "mse":
        with torch.no_grad():
            location, scale = network(learn[0])
        errors = ((learn[1] - location) / scale).numpy().astype(np.float64)
        return read_only(np.quantile(errors, PROBABILITIES, axis=0).T)
    law = stats.norm if p.loss == "normal" else stats.t(_PINBALL_DF)
    return read_only(np.tile(law.ppf(PROBABILITIES), (p.horizon, 1)))


def export_onnx(network: LstmNetwork, seq_length: int) -> bytes:
    """The network as one ONNX file with a free batch size.

    By the TorchScript exporter: 0.1 s and one file, where the newer one takes 7 s and writes a
    second file beside it. Both agree with torch.
    """
    example = torch.zeros(2, seq_length - 1, 1)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that exporter's deprecation, and its advice on batch size
        torch.onnx.export(
            network,
            (example,),
            cast("Any", buffer),  # a file object works; the annotation forgot it
            dynamo=False,
            input_names=["inputs"],
            output_names=["location", "scale"],
            dynamic_axes={name: {0: "n"} for name in ("inputs", "location", "scale")},
        )
    return buffer.getvalue()


def check_agreement(network: LstmNetwork, predictor: LstmPredictor, inputs: FloatArray) -> float:
    """Largest relative difference between torch and what serves, over price growth and scale.

    Raises
    ------
    TrainingFailed
        If they do not agree; such a network is not published.
    """
    with torch.no_grad():
        batch = torch.tensor(inputs, dtype=torch.float32)[:, :, None]
        location, scale = (t.numpy().astype(np.float64) for t in network(batch))
    served_location, served_scale = predictor.network_steps(inputs)()
    # A location crosses zero, so it is compared as what it does to a price.
    daily = 0.02 * np.sqrt(np.arange(1, predictor.horizon + 1))
    growth = np.expm1(daily * (served_location - location))
    return require_agreement(growth, served_scale / scale - 1)
