"""How long and with which rate a detector is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR

WARMUP_FACTOR = 0.001
DECAY = 0.1


@dataclass(frozen=True)
class Schedule:
    """SGD with a linear warm-up and steps down by ten; the defaults are MoCo's for VOC07+12.

    Attributes:
        steps: of the optimizer.
        milestones: steps at which the rate is divided by ten, rising and below ``steps``.
        warmup_steps: over which the rate rises from a thousandth.
        round_steps: between two checkpoints; divides ``steps``.
        batch_size: images per step over all processes.
        learning_rate: for that batch.
        momentum: of SGD.
        weight_decay: of everything but normalisation layers.
        precise_batches: training batches from which BatchNorm's statistics are taken anew before
            the test; 0 keeps the running ones.

    Raises:
        ValueError: if a value is out of range.

    References:
        MoCo's configurations,
        https://github.com/facebookresearch/moco/blob/34020351524e9869f76cbb81fadcdb77caa32f7b/detection/configs/Base-RCNN-C4-BN.yaml
        and beside it; the rest is detectron2's default.
    """

    steps: int = 24000
    milestones: tuple[int, ...] = (18000, 22000)
    warmup_steps: int = 100
    round_steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 1e-4
    precise_batches: int = 200

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))
        for name in ("steps", "round_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1.")
        for name in ("warmup_steps", "precise_batches", "weight_decay", "momentum"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 0.")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate={self.learning_rate} must be above 0.")
        if self.steps % self.round_steps:
            raise ValueError(f"round_steps={self.round_steps} must divide steps={self.steps}.")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones={list(self.milestones)} must rise.")
        if not all(0 <= milestone < self.steps for milestone in self.milestones):
            raise ValueError(
                f"milestones={list(self.milestones)} must be below steps={self.steps}: the rate "
                "would not drop there."
            )

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return self.steps // self.round_steps

    def share_of_rate(self, step: int) -> float:
        """Return the factor on the learning rate at a step, counted from 0."""
        passed = sum(step >= milestone for milestone in self.milestones)
        warm = 1.0
        if step < self.warmup_steps:
            share = step / self.warmup_steps
            warm = WARMUP_FACTOR * (1 - share) + share
        return float(warm * DECAY**passed)

    def optimizer_of(self, model: nn.Module) -> tuple[SGD, LambdaLR]:
        """Return the optimizer of the model's trained parameters, and its schedule per step."""
        norms = [
            parameter
            for module in model.modules()
            if isinstance(module, nn.modules.batchnorm._NormBase)
            for parameter in module.parameters(recurse=False)
            if parameter.requires_grad
        ]
        known = {id(parameter) for parameter in norms}
        others = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
        groups: list[dict[str, Any]] = [{"params": others}, {"params": norms, "weight_decay": 0.0}]
        optimizer = torch.optim.SGD(
            [group for group in groups if group["params"]],
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        return optimizer, LambdaLR(optimizer, self.share_of_rate)
