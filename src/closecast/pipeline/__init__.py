"""The line from closes to a published bundle: each step one function, settings as arguments."""

from closecast.pipeline.collect import collect, collect_many
from closecast.pipeline.evaluate import evaluate_candidate
from closecast.pipeline.preprocess import preprocess
from closecast.pipeline.run import TrainRequest, run_training
from closecast.pipeline.train import train_candidate
from closecast.pipeline.update import UpdateResult, update, update_version

__all__ = [
    "TrainRequest",
    "UpdateResult",
    "collect",
    "collect_many",
    "evaluate_candidate",
    "preprocess",
    "run_training",
    "train_candidate",
    "update",
    "update_version",
]
