"""Training of the LSTM with PyTorch Lightning, and its export to ONNX."""

from __future__ import annotations

import io
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import safetensors.torch
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.utilities.seed import isolate_rng
from scipy import stats
from torch.utils.data import DataLoader, TensorDataset

from closecast.arrays import read_only
from closecast.dataset import (
    FLOOR_SHARE,
    Examples,
    log_returns,
    long_run_volatility,
    make_examples,
    standardise,
)
from closecast.errors import InvalidHyperparameters, TrainingFailed
from closecast.forecast import PROBABILITIES
from closecast.forecasters.base import (
    FloatArray,
    Forecaster,
    Predictor,
    TrainingReport,
    Watch,
    ignore_progress,
)
from closecast.forecasters.lstm.network import DistributionLoss, LstmNetwork
from closecast.forecasters.lstm.parameters import LstmParameters
from closecast.forecasters.lstm.predict import LstmPredictor
from closecast.metrics import diebold_mariano
from closecast.prices import Prices

AGREEMENT = 1e-5
"""Largest relative difference allowed between torch and what serves (float32: 1e-6 is usual)."""

_PINBALL_DF = 5.0  # shape of the law whose quantiles the pinball loss moves


class LstmForecaster(Forecaster):
    """Direct multi-step: one network states all steps of the horizon at once."""

    name = "lstm"
    Parameters = LstmParameters

    def fit(
        self,
        train: Sequence[Prices],
        valid: Sequence[Prices],
        *,
        start_from: Predictor | None = None,
        watch: Watch = ignore_progress,
    ) -> LstmPredictor:
        started = time.perf_counter()
        p: LstmParameters = self.parameters  # type: ignore[assignment]
        floors = [FLOOR_SHARE * long_run_volatility(log_returns(s.closes)) for s in train]
        learn = _tensors([make_examples(s, p.seq_length, p.horizon) for s in train], floors)
        choose_examples = [make_examples(s, p.seq_length, p.horizon) for s in valid]
        choose = _tensors(choose_examples, floors)

        with isolate_rng(), _threads(self.runtime.threads):
            pl.seed_everything(p.seed, verbose=False)
            module = _Module(p)
            if start_from is not None:
                _load_weights(module.network, start_from)
            log = _EpochLog(watch, p.num_epochs)
            best = self._train(module, learn, choose, log)
        network = module.network.cpu().eval()

        df = network.df.detach().numpy().astype(np.float64) if p.loss == "student_t" else None
        predictor = LstmPredictor(
            seq_length=p.seq_length,
            horizon=p.horizon,
            long_run=float(np.median(floors)) / FLOOR_SHARE,
            shape_quantiles=_shape_quantiles(p, df, network, learn),
            location_weight=read_only(np.ones(p.horizon)),
            network=export_onnx(network, p.seq_length),
            weights=safetensors.torch.save(dict(network.state_dict())),
        )
        disagreement = check_agreement(network, predictor, choose[0].numpy()[:512, :, 0])
        weight = _location_weight(predictor, choose_examples)
        report = TrainingReport(
            seconds=time.perf_counter() - started,
            best_epoch=best[0],
            best_valid_loss=best[1],
            epochs=tuple(log.epochs),
            notes={
                "loss": p.loss,
                "windows": len(learn[0]),
                "degrees_of_freedom": None if df is None else df.round(3).tolist(),
                "torch_disagreement": disagreement,
                "location_weight": weight.tolist(),
            },
        )
        return replace(predictor, location_weight=weight, training=report)

    def _train(
        self, module: _Module, learn: _Pair, choose: _Pair, log: _EpochLog
    ) -> tuple[int, float]:
        """Train to the best epoch; the module holds its weights afterwards."""
        p = module.parameters_
        with tempfile.TemporaryDirectory(prefix="closecast-fit-") as scratch, _quiet_lightning():
            keep_best = ModelCheckpoint(scratch, monitor="valid_loss", save_weights_only=True)
            early = EarlyStopping("valid_loss", patience=p.patience)
            trainer = pl.Trainer(
                max_epochs=p.num_epochs,
                accelerator=self.runtime.accelerator,
                devices=1,
                callbacks=[early, keep_best, log],
                logger=False,
                deterministic=True,
                gradient_clip_val=1.0,
                default_root_dir=scratch,
                enable_model_summary=False,
                enable_progress_bar=False,
                num_sanity_val_steps=0,
            )
            shuffled = DataLoader(TensorDataset(*learn), p.batch_size, shuffle=True)
            trainer.fit(module, shuffled, DataLoader(TensorDataset(*choose), 1024))
            saved = torch.load(keep_best.best_model_path, weights_only=True, map_location="cpu")
        module.load_state_dict(saved["state_dict"])
        best = min(log.epochs, key=lambda epoch: epoch["valid_loss"])
        return int(best["epoch"]), float(best["valid_loss"])


_Pair = tuple[torch.Tensor, torch.Tensor]


class _Module(pl.LightningModule):
    def __init__(self, parameters: LstmParameters) -> None:
        super().__init__()
        self.parameters_ = parameters
        self.network = LstmNetwork(parameters)
        quantiles = stats.t.ppf(PROBABILITIES, _PINBALL_DF)
        self.loss = DistributionLoss(
            parameters.loss,
            torch.tensor(quantiles, dtype=torch.float32),
            torch.tensor(PROBABILITIES.copy(), dtype=torch.float32),
        )

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss: torch.Tensor = self.loss(self.network, *batch)
        self.log("train_loss", loss, on_epoch=True, on_step=False, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("valid_loss", self.loss(self.network, *batch), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        p = self.parameters_
        return torch.optim.Adam(
            self.network.parameters(), lr=p.learning_rate, weight_decay=p.weight_decay
        )


class _EpochLog(Callback):
    """Remembers both losses of every epoch, and tells whoever watches between batches."""

    def __init__(self, watch: Watch, num_epochs: int) -> None:
        self.watch = watch
        self.num_epochs = num_epochs
        self.epochs: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        done = trainer.current_epoch + (index + 1) / trainer.num_training_batches
        self.watch({**self._last(), "percent": round(100 * done / self.num_epochs, 1)})

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        metrics = trainer.callback_metrics
        self.epochs.append(
            {
                "epoch": trainer.current_epoch + 1,
                "train_loss": float(metrics["train_loss"]),
                "valid_loss": float(metrics["valid_loss"]),
            }
        )
        done = 100 * (trainer.current_epoch + 1) / self.num_epochs
        self.watch({**self._last(), "percent": round(done, 1)})

    def _last(self) -> dict[str, Any]:
        return {"epochs": self.num_epochs, **(self.epochs[-1] if self.epochs else {"epoch": 0})}


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without advice on loaders, loggers and hardware that does not apply to a small network."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for about in (".*does not have many workers.*", ".*logging interval.*", ".*LeafSpec.*"):
                warnings.filterwarnings("ignore", about)
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Two threads are no faster than one here, and ten times slower where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _tensors(parts: Sequence[Examples], floors: Sequence[float]) -> _Pair:
    """Standardised inputs (n, length - 1, 1) and targets (n, horizon), series by series."""
    inputs, targets = [], []
    for examples, floor in zip(parts, floors, strict=True):
        x, volatility = standardise(examples.windows, floor)
        roots = np.sqrt(np.arange(1, examples.targets.shape[1] + 1))
        inputs.append(x)
        targets.append(np.clip(examples.targets / (volatility[:, None] * roots), -20, 20))
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


def _location_weight(predictor: LstmPredictor, valid: Sequence[Examples]) -> FloatArray:
    """How much of the network's location has earned its place, per step, in [0, 1].

    The share with the least absolute error on the validation part, where it is better than
    the naive location with p < .05 (Diebold-Mariano, overlap respected); else 0.
    """
    predicted = np.concatenate([predictor.predict_batch(e.windows).location for e in valid])
    actual = np.concatenate([e.targets for e in valid])
    weights = np.zeros(predictor.horizon)
    for step in range(predictor.horizon):
        y, f = actual[:, step], predicted[:, step]
        candidates = np.linspace(0, 1, 11)
        best = min(candidates, key=lambda w: float(np.abs(y - w * f).mean()))
        statistic, p = diebold_mariano(np.abs(y - best * f), np.abs(y), step + 1)
        if statistic < 0 and p < 0.05:
            weights[step] = best
    return read_only(weights)


def export_onnx(network: LstmNetwork, seq_length: int) -> bytes:
    """The network as one ONNX file with a free batch size.

    By the TorchScript exporter: .1 s and one file, where the newer one takes 7 s and writes a
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
        If it exceeds :data:`AGREEMENT`; such a network is not published.
    """
    with torch.no_grad():
        batch = torch.tensor(inputs, dtype=torch.float32)[:, :, None]
        location, scale = (t.numpy().astype(np.float64) for t in network(batch))
    served_location, served_scale = predictor.run_network(inputs)
    # A location crosses zero, so it is compared as what it does to a price.
    daily = 0.02 * np.sqrt(np.arange(1, predictor.horizon + 1))
    growth = np.abs(np.expm1(daily * (served_location - location))).max()
    spread = np.abs(served_scale / scale - 1).max()
    worst = float(max(growth, spread))
    if not worst <= AGREEMENT:  # also when it is not a number
        raise TrainingFailed(
            f"the exported network differs from torch by {worst:.1e} relative, or answers no "
            "numbers at all: try a lower learning_rate"
        )
    return worst
