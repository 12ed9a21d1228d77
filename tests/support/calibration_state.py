"""Live calibrations made for tests: of a random walk of 1 % a day, over years."""

from __future__ import annotations

import numpy as np

from closecast.calibration import AdaptiveState
from closecast.serving import Snapshot


def live_state(
    session: str, last_close: float = 100.0, horizon: int = 10, past: int = 400
) -> AdaptiveState:
    """The state after ``past`` closes, the newest of them at ``session``."""
    steps = np.arange(1, horizon + 1)
    scores = np.random.default_rng(7).normal(size=(past, horizon))
    return AdaptiveState(
        session=np.datetime64(session, "D"),
        last_close=last_close,
        revision=past,
        tilt=np.zeros(horizon),
        surprises=np.ones(100),
        scores=scores,
        origins=np.array([session], "datetime64[D]"),
        location=np.zeros((1, horizon)),
        scale=0.01 * np.sqrt(steps)[None],
        raw_scale=np.array([0.01]),
        ends=np.tile([-1.64, 1.64], (1, horizon, 1)),
    )


class FakeCalibrations:
    """Returns the state it was given, for every snapshot."""

    def __init__(self, state: AdaptiveState) -> None:
        self.now = state

    def state(self, snapshot: Snapshot) -> AdaptiveState:
        del snapshot
        return self.now
