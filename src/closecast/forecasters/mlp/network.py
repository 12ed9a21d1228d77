"""The network and its loss, many members at once. Knows tensors, not prices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from closecast.forecasters.mlp.features import LARGEST_LOG


class ScaleNetwork(nn.Module):
    """Features in, the log of what the anchor is to be multiplied by out, per member and step.

    Two hidden layers of ``tanh``. The last layer starts at zero: the anchor itself.
    """

    def __init__(self, members: int, features: int, hidden: int, horizon: int) -> None:
        super().__init__()

        def weights(inputs: int, outputs: int) -> nn.Parameter:
            bound = inputs**-0.5
            return nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))

        self.w1, self.b1 = weights(features, hidden), nn.Parameter(torch.zeros(members, 1, hidden))
        self.w2, self.b2 = weights(hidden, hidden), nn.Parameter(torch.zeros(members, 1, hidden))
        self.w3 = nn.Parameter(torch.zeros(members, hidden, horizon))
        self.b3 = nn.Parameter(torch.zeros(members, 1, horizon))

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape (n, features) to (members, n, horizon), within plus and minus ``LARGEST_LOG``."""
        state = torch.tanh(inputs @ self.w1 + self.b1)
        state = torch.tanh(state @ self.w2 + self.b2)
        return LARGEST_LOG * torch.tanh((state @ self.w3 + self.b3) / LARGEST_LOG)


class CrpsLoss(nn.Module):
    """Mean pinball loss (twice: the CRPS) of a law of fixed shape and learned scale.

    Parameters
    ----------
    shape_quantiles : Tensor, shape (horizon, q)
        Of the standardised target under the anchor.
    probabilities : Tensor, shape (q,)
    """

    def __init__(self, shape_quantiles: Tensor, probabilities: Tensor) -> None:
        super().__init__()
        self.shape_quantiles: Tensor
        self.probabilities: Tensor
        self.register_buffer("shape_quantiles", shape_quantiles)
        self.register_buffer("probabilities", probabilities)

    def forward(self, log_scale: Tensor, targets: Tensor) -> Tensor:
        """``log_scale`` of shape (members, n, horizon), ``targets`` (n, horizon)."""
        quantiles = torch.exp(log_scale)[..., None] * self.shape_quantiles
        error = targets[..., None] - quantiles
        loss = torch.maximum(self.probabilities * error, (self.probabilities - 1) * error)
        return 2 * loss.mean()
