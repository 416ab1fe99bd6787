"""How long and with which rate depth is trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR


@dataclass(frozen=True)
class DepthSchedule:
    """Adam, its rate divided by ten every so many epochs; the defaults are Monodepth2's.

    Attributes:
        epochs: 20; its authors train 30 from scratch.
        batch_size: triplets per step over all processes.
        learning_rate: for that batch.
        decay_every: epochs.

    Raises:
        ValueError: if a value is out of range.

    References:
        Godard et al. 2019, https://arxiv.org/abs/1806.01260, section 4.
    """

    epochs: int = 20
    batch_size: int = 12
    learning_rate: float = 1e-4
    decay_every: int = 15

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "decay_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1.")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate={self.learning_rate} must be above 0.")

    def optimizer_of(self, model: nn.Module) -> tuple[Adam, StepLR]:
        """Return the optimizer of the model's trained parameters, and its schedule per epoch."""
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=self.learning_rate)
        return optimizer, StepLR(optimizer, self.decay_every, gamma=0.1)
