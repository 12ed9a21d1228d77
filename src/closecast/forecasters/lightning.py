"""Training with PyTorch Lightning: to the best epoch, without output, on given threads."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler
from torch.utils.data import TensorDataset as Rows

from closecast.forecasters.base import Runtime, Watch

_VALID_BATCH = 4096


class LossModule(pl.LightningModule):
    """A module that logs ``train_loss`` and ``valid_loss``; subclasses define the loss."""

    learning_rate: float
    weight_decay: float

    def batch_loss(self, batch: Any) -> torch.Tensor:
        """Mean loss of one batch."""
        raise NotImplementedError

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss = self.batch_loss(batch)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("valid_loss", self.batch_loss(batch), batch_size=len(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )


def train_to_best(
    module: LossModule,
    learn: tuple[torch.Tensor, ...],
    choose: tuple[torch.Tensor, ...],
    *,
    batch_size: int,
    num_epochs: int,
    patience: int,
    runtime: Runtime,
    watch: Watch,
) -> tuple[dict[str, float], ...]:
    """Train; the module holds the weights of its best epoch afterwards.

    Parameters
    ----------
    learn, choose : tuples of tensors
        Rows to learn from, and to choose the epoch by.

    Returns
    -------
    tuple of dict
        ``epoch`` (from 1), ``train_loss`` and ``valid_loss`` of every epoch.
    """
    log = _EpochLog(watch, num_epochs)
    with tempfile.TemporaryDirectory(prefix="closecast-fit-") as scratch, _quiet_lightning():
        keep_best = ModelCheckpoint(scratch, monitor="valid_loss", save_weights_only=True)
        trainer = pl.Trainer(
            max_epochs=num_epochs,
            accelerator=runtime.accelerator,
            devices=1,
            callbacks=[EarlyStopping("valid_loss", patience=patience), keep_best, log],
            logger=False,
            deterministic=True,
            gradient_clip_val=1.0,
            default_root_dir=scratch,
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(
            module,
            _batches(learn, batch_size, shuffle=True),
            _batches(choose, _VALID_BATCH, shuffle=False),
        )
        saved = torch.load(keep_best.best_model_path, weights_only=True, map_location="cpu")
    module.load_state_dict(saved["state_dict"])
    module.cpu().eval()
    return tuple(log.epochs)


def _batches(tensors: tuple[torch.Tensor, ...], size: int, *, shuffle: bool) -> DataLoader[Any]:
    """Whole batches cut by index: putting rows together one by one takes longer than training."""
    rows = Rows(*tensors)
    order: Any = RandomSampler(rows) if shuffle else SequentialSampler(rows)
    return DataLoader(rows, batch_size=None, sampler=BatchSampler(order, size, drop_last=False))


class _EpochLog(Callback):
    """Remembers both losses of every epoch, and reports progress between batches."""

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
def torch_threads(count: int) -> Iterator[None]:
    """Two threads are no faster than one here, and ten times slower where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
