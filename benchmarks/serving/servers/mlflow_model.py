"""The network as a model of MLflow: ``python -m benchmarks.serving.servers.mlflow_model FOLDER``.

``mlflow models serve`` then runs this file again, as code of the model.
"""

from __future__ import annotations

import sys
from typing import Any

import mlflow
import numpy as np
from mlflow.models import ModelSignature, set_model
from mlflow.types import Schema, TensorSpec

from benchmarks.serving.servers.network import LENGTH, Predictor


class Network(mlflow.pyfunc.PythonModel):
    """A tensor of windows in, a list of prices out."""

    def load_context(self, context: Any) -> None:
        self.predict_prices = Predictor()

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[float]:
        return [float(self.predict_prices(window)[0]) for window in model_input]


set_model(Network())

if __name__ == "__main__":
    windows = Schema([TensorSpec(np.dtype("float64"), (-1, LENGTH))])
    mlflow.pyfunc.save_model(
        sys.argv[1],
        python_model=__file__,
        signature=ModelSignature(inputs=windows),
        pip_requirements=[],
    )
