"""The line from closes to a published bundle: each step one function, settings as arguments."""

from closecast.pipeline.collecting import collect, collect_many
from closecast.pipeline.evaluating import evaluate_candidate
from closecast.pipeline.preprocessing import preprocess
from closecast.pipeline.run import TrainRequest, run_training
from closecast.pipeline.training import train_candidate
from closecast.pipeline.updating import Updated, update, update_version

__all__ = [
    "TrainRequest",
    "Updated",
    "collect",
    "collect_many",
    "evaluate_candidate",
    "preprocess",
    "run_training",
    "train_candidate",
    "update",
    "update_version",
]
