"""The trained LSTM, run by ONNX Runtime on one thread: no torch in the serving process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.dataset import FLOOR_SHARE, standardise
from closecast.core.forecast import PROBABILITIES
from closecast.errors import DamagedBundle
from closecast.forecasters.base import LocationScale, LocationScalePredictor, Steps
from closecast.forecasters.files import dump_state, reading

NETWORK_FILE = "network.onnx"
WEIGHTS_FILE = "weights.safetensors"

_OUTPUTS = ("location", "scale")


@dataclass(frozen=True, eq=False)
class LstmPredictor(LocationScalePredictor):
    """Location and scale from the network, in units of the window's EWMA volatility.

    Attributes
    ----------
    long_run : float
        Long-run volatility of training; a tenth of it is the floor.
    shape_quantiles : array, shape (horizon, 39)
        Quantiles of the standardised error under the learned law.
    network : bytes
        The network, ONNX.
    weights : bytes
        The same weights as safetensors, from which a fine-tuning starts.
    """

    name: ClassVar[str] = "lstm"

    long_run: float
    shape_quantiles: FloatArray
    network: bytes
    weights: bytes

    def __post_init__(self) -> None:
        if self.shape_quantiles.shape != (self.horizon, len(PROBABILITIES)):
            raise ValueError(f"shape_quantiles has shape {self.shape_quantiles.shape}")

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # One thread: requests are parallel already, and a pool of its own starves them.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(
                self.network, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library's errors share no base of their own
            raise DamagedBundle(
                f"{NETWORK_FILE} is not a network that can be run: {error}"
            ) from error

    def network_steps(self, inputs: FloatArray) -> Steps[LocationScale]:
        """Standardised location and scale, shapes (n, horizon), from (n, seq_length - 1)."""
        fed = {"inputs": inputs.astype(np.float32)[:, :, None]}
        return Steps(partial(self._session.run, _OUTPUTS, fed), _doubles)

    def steps(self, windows: FloatArray) -> Steps[LocationScale]:
        inputs, volatility = standardise(windows, FLOOR_SHARE * self.long_run)
        unit = volatility[:, None] * self.roots
        return self.network_steps(inputs).then(lambda said: (unit * said[0], unit * said[1]))

    @property
    def standard_quantiles(self) -> FloatArray:
        return self.shape_quantiles

    def location_scale(self, windows: FloatArray) -> LocationScale:
        return self.steps(windows)()

    def to_files(self) -> dict[str, bytes]:
        state = {
            "seq_length": self.seq_length,
            "horizon": self.horizon,
            "long_run": self.long_run,
            "shape_quantiles": self.shape_quantiles,
        }
        return {**dump_state(state), NETWORK_FILE: self.network, WEIGHTS_FILE: self.weights}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        with reading(files) as state:
            predictor = cls(
                **state,
                network=files[NETWORK_FILE],
                weights=_whole(files[WEIGHTS_FILE]),
            )
        _ = predictor._session  # a network that cannot run is found on loading, not on serving
        return predictor


def _doubles(said: Sequence[NDArray[np.float32]]) -> LocationScale:
    location, scale = said
    return location.astype(np.float64), scale.astype(np.float64)


def _whole(weights: bytes) -> bytes:
    """Weights whose length is the one that their safetensors header states; else ValueError."""
    start = 8 + int.from_bytes(weights[:8], "little")
    tensors = json.loads(weights[8:start])
    stated = max(about["data_offsets"][1] for key, about in tensors.items() if key[:2] != "__")
    if start + stated != len(weights):
        raise ValueError(f"{WEIGHTS_FILE} has {len(weights)} bytes, not {start + stated}")
    return weights
