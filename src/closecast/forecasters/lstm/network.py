"""The network and what it is trained to do. Knows tensors, not prices."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from closecast.forecasters.lstm.parameters import Loss, LstmParameters

_START_DF = 5.0  # daily returns' tails; learned from there
_START_LOG = math.log(math.expm1(_START_DF - 2.0))


class LstmNetwork(nn.Module):
    """Standardised returns in, a location and a scale per step out.

    Both are in units of ``volatility * sqrt(step)``, and both start at the anchor: the head's
    weights begin at zero, which is location 0 and scale 1, the EWMA forecast. ``tanh`` keeps
    them in a believable range (location +-1, scale 1/7 to 7) without a clamp, whose zero
    gradient has frozen such networks for good.
    """

    def __init__(self, parameters: LstmParameters) -> None:
        super().__init__()
        p = parameters
        self.horizon = p.horizon
        self.lstm = nn.LSTM(
            1,
            p.hidden_size,
            p.num_layers,
            batch_first=True,
            dropout=p.dropout if p.num_layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(p.dropout)
        self.head = nn.Linear(p.hidden_size, 2 * p.horizon)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.df_raw = nn.Parameter(torch.full((p.horizon,), _START_LOG))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Shape (n, seq_length - 1, 1) to location and scale, shapes (n, horizon)."""
        states, _ = self.lstm(inputs)
        raw = self.head(self.dropout(states[:, -1]))
        location, log_scale = raw[:, : self.horizon], raw[:, self.horizon :]
        return torch.tanh(location), torch.exp(2 * torch.tanh(log_scale / 2))

    @property
    def df(self) -> Tensor:
        """Degrees of freedom per step, above 2, shape (horizon,)."""
        return 2 + nn.functional.softplus(self.df_raw)


class DistributionLoss(nn.Module):
    """Mean loss of standardised targets, shape (n, horizon), over windows and steps."""

    def __init__(self, kind: Loss, shape_quantiles: Tensor, probabilities: Tensor) -> None:
        super().__init__()
        self.kind = kind
        self.shape_quantiles: Tensor
        self.probabilities: Tensor
        self.register_buffer("shape_quantiles", shape_quantiles)
        self.register_buffer("probabilities", probabilities)

    def forward(self, network: LstmNetwork, inputs: Tensor, targets: Tensor) -> Tensor:
        location, scale = network(inputs)
        if self.kind == "mse":
            return nn.functional.mse_loss(location, targets)
        if self.kind == "normal":
            normal: Any = torch.distributions.Normal(location, scale)
            return -cast("Tensor", normal.log_prob(targets).mean())
        if self.kind == "student_t":
            student: Any = torch.distributions.StudentT(network.df, location, scale)
            return -cast("Tensor", student.log_prob(targets).mean())
        error = targets[..., None] - (location[..., None] + scale[..., None] * self.shape_quantiles)
        loss = torch.maximum(self.probabilities * error, (self.probabilities - 1) * error)
        return 2 * loss.mean()
