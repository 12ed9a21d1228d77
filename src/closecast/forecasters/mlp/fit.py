"""Training of the scale model with PyTorch Lightning."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng

from closecast.core.arrays import FloatArray, read_only
from closecast.core.dataset import log_returns, long_run_volatility, make_examples
from closecast.core.forecast import PROBABILITIES
from closecast.core.prices import Prices
from closecast.core.symbols import exchange_of
from closecast.errors import InvalidHyperparameters
from closecast.forecasters.agreement import require_agreement
from closecast.forecasters.base import Forecaster, Predictor, TrainingData, TrainingReport, Watch
from closecast.forecasters.lightning import LossModule, torch_threads, train_to_best
from closecast.forecasters.mlp.features import Features, network_inputs, of_panel, of_windows
from closecast.forecasters.mlp.network import CrpsLoss, ScaleNetwork
from closecast.forecasters.mlp.parameters import MlpParameters
from closecast.forecasters.mlp.predict import MlpPredictor, Network
from closecast.forecasters.rows import TrainingRows, View

_LOSS_PROBABILITIES = PROBABILITIES[::3]  # 13 of 39: a third of the time, the same scores
_LARGEST_TARGET = 30.0
_NETWORKS: tuple[View, ...] = ("window", "history")


class MlpForecaster(Forecaster):
    """One network for windows alone, one for windows with their histories; both pooled."""

    name = "mlp"
    Parameters = MlpParameters

    def training_rows(
        self, series: Sequence[Prices], train: Sequence[Prices]
    ) -> Mapping[View, Sequence[TrainingRows]]:
        p, long_run = self.parameters, _long_run(train)
        examples = [make_examples(prices, p.seq_length, p.horizon) for prices in series]
        window = [of_windows(e.windows, long_run) for e in examples]
        history: dict[int, Features] = {}
        groups: dict[str, list[int]] = {}
        for i, prices in enumerate(series):
            groups.setdefault(exchange_of(prices.symbol), []).append(i)
        for group in groups.values():
            history |= zip(group, of_panel([series[i] for i in group], long_run), strict=True)
        return {
            "window": [
                TrainingRows(features.values, features.anchor, e.targets)
                for features, e in zip(window, examples, strict=True)
            ],
            "history": [  # a row of `of_panel` belongs to the close after it
                TrainingRows(
                    history[i].values[e.origins - 1], history[i].anchor[e.origins - 1], e.targets
                )
                for i, e in enumerate(examples)
            ],
        }

    def _fit(self, data: TrainingData) -> MlpPredictor:
        started = time.perf_counter()
        p: MlpParameters = self.parameters  # type: ignore[assignment]
        train, valid = data.train, data.valid
        long_run = _long_run(train)
        parent = _parent(data.start_from, p)
        fits = []
        # Features see all the past, also across the boundary; targets never leave their part.
        joined = [_joined(*pair) for pair in zip(train, valid, strict=True)]
        counts = [len(make_examples(prices, p.seq_length, p.horizon)) for prices in valid]
        learned, later = self.training_rows(train, train), self.training_rows(joined, train)
        parts = [
            (
                mode,
                _Rows.of(learned[mode]),
                _Rows.of([r.newest(n) for r, n in zip(later[mode], counts, strict=True)]),
            )
            for mode in _NETWORKS
        ]
        for done, (mode, learn, choose) in enumerate(parts):
            fits.append(
                self._fit_network(
                    learn,
                    choose,
                    getattr(parent, f"{mode}_network") if parent else None,
                    _stage(data.watch, done, mode),
                )
            )
        (window, window_epochs, window_difference), (history, epochs, difference) = fits
        best = min(epochs, key=lambda epoch: epoch["valid_loss"])
        report = TrainingReport(
            seconds=time.perf_counter() - started,
            best_epoch=int(best["epoch"]),
            best_valid_loss=best["valid_loss"],
            epochs=epochs,
            notes={
                "loss": "crps",
                "rows": len(parts[1][1].targets),
                "symbols": [s.symbol for s in train],
                "window_only_valid_loss": min(e["valid_loss"] for e in window_epochs),
                "torch_disagreement": max(window_difference, difference),
            },
        )
        predictor = MlpPredictor(p.seq_length, p.horizon, long_run, window, history)
        return predictor.with_training(report)

    def _fit_network(
        self, learn: _Rows, choose: _Rows, parent: Network | None, watch: Watch
    ) -> tuple[Network, tuple[dict[str, float], ...], float]:
        p: MlpParameters = self.parameters  # type: ignore[assignment]
        if parent is None:
            mean = learn.features.mean(axis=0)
            deviation = np.maximum(learn.features.std(axis=0), 1e-3)
        else:
            mean, deviation = parent.mean, parent.deviation

        def tensors(rows: _Rows) -> tuple[torch.Tensor, torch.Tensor]:
            inputs = network_inputs(rows.features, mean, deviation)
            targets = np.clip(rows.targets, -_LARGEST_TARGET, _LARGEST_TARGET)
            return torch.tensor(inputs, dtype=torch.float32), torch.tensor(
                targets, dtype=torch.float32
            )

        inputs, targets = tensors(learn)
        with isolate_rng(), torch_threads(self.runtime.threads):
            pl.seed_everything(p.seed, verbose=False)
            module = _Module(p, inputs.shape[1], learn.targets)
            if parent is not None:
                _load(module.network, parent)
            epochs = train_to_best(
                module,
                (inputs, targets),
                tensors(choose),
                batch_size=p.batch_size,
                num_epochs=p.num_epochs,
                patience=p.patience,
                runtime=self.runtime,
                watch=watch,
            )
        weights = {
            name: value.detach().numpy().astype(np.float64)
            for name, value in module.network.named_parameters()
        }
        for name in ("b1", "b2", "b3"):
            weights[name] = weights[name][:, 0]
        network = Network(
            mean=read_only(mean),
            deviation=read_only(deviation),
            **{name: read_only(value) for name, value in weights.items()},
            shape_quantiles=read_only(np.zeros((p.horizon, len(PROBABILITIES)))),
        )
        difference = check_agreement(module.network, network, choose.features[:512])
        errors = learn.targets / np.exp(network.log_scale(learn.features))
        shape = np.quantile(errors, PROBABILITIES, axis=0).T
        return replace(network, shape_quantiles=read_only(shape)), epochs, difference


def check_agreement(trained: ScaleNetwork, served: Network, features: FloatArray) -> float:
    """Largest relative difference between torch and NumPy in scale; torch computes in float64.

    Parameters
    ----------
    features : array, shape (n, features)

    Raises
    ------
    TrainingFailed
        If they do not agree; such a network is not published.
    """
    inputs = network_inputs(features, served.mean, served.deviation)
    with torch.no_grad():
        log_scale = deepcopy(trained).double()(torch.tensor(inputs, dtype=torch.float64))
    return require_agreement(
        np.expm1(np.abs(served.log_scale(features) - log_scale.numpy().mean(axis=0)))
    )


@dataclass(frozen=True, eq=False)
class _Rows:
    """Features, shape (n, features), and standardised targets, shape (n, horizon)."""

    features: FloatArray
    targets: FloatArray

    @classmethod
    def of(cls, parts: Sequence[TrainingRows]) -> _Rows:
        """Of several series, one after the other."""
        targets = []
        for rows in parts:
            assert rows.volatility is not None
            roots = np.sqrt(np.arange(1, rows.targets.shape[1] + 1))
            targets.append(rows.targets / (rows.volatility[:, None] * roots))
        return cls(np.concatenate([rows.inputs for rows in parts]), np.concatenate(targets))


def _long_run(train: Sequence[Prices]) -> float:
    """Long-run volatility of the pool: the median of the series'."""
    return float(np.median([long_run_volatility(log_returns(s.closes)) for s in train]))


def _joined(train: Prices, valid: Prices) -> Prices:
    """Both in a row, or the second alone where it does not follow the first."""
    if train.sessions[-1] >= valid.sessions[0]:
        return valid
    return Prices(
        train.symbol,
        np.concatenate([train.sessions, valid.sessions]),
        np.concatenate([train.closes, valid.closes]),
        train.source,
        train.basis,
    )


class _Module(LossModule):
    def __init__(self, p: MlpParameters, features: int, targets: FloatArray) -> None:
        super().__init__()
        self.learning_rate, self.weight_decay = p.learning_rate, p.weight_decay
        self.network = ScaleNetwork(p.members, features, p.hidden_size, p.horizon)
        shape = np.quantile(targets, _LOSS_PROBABILITIES, axis=0).T
        self.loss = CrpsLoss(
            torch.tensor(shape, dtype=torch.float32),
            torch.tensor(_LOSS_PROBABILITIES.copy(), dtype=torch.float32),
        )

    def batch_loss(self, batch: Any) -> torch.Tensor:
        inputs, targets = batch
        loss: torch.Tensor = self.loss(self.network(inputs), targets)
        return loss


def _stage(watch: Watch, done: int, mode: str) -> Watch:
    """Progress of the first or second of two networks as progress of the whole."""

    def tell(progress: Mapping[str, Any]) -> None:
        percent = round(50 * done + progress["percent"] / 2, 1)
        watch({**progress, "network": mode, "percent": percent})

    return tell


def _parent(start_from: Predictor | None, p: MlpParameters) -> MlpPredictor | None:
    if start_from is None:
        return None
    if not isinstance(start_from, MlpPredictor):
        raise InvalidHyperparameters(
            [
                (
                    "fine_tune",
                    f"the current model is {start_from.name!r}, not an mlp: train without it",
                )
            ]
        )
    members, _, hidden = start_from.history_network.w1.shape
    if (members, hidden, start_from.horizon) != (p.members, p.hidden_size, p.horizon):
        raise InvalidHyperparameters(
            [
                (
                    "fine_tune",
                    "horizon, members and hidden_size must be those of the current model "
                    f"({start_from.horizon}, {members}, {hidden}) to start from its weights",
                )
            ]
        )
    return start_from


def _load(network: ScaleNetwork, parent: Network) -> None:
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.copy_(torch.tensor(getattr(parent, name)).reshape(value.shape))
