"""The two players' optimisers, and a cosine that counts batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pytorch_lightning import LightningModule
from pytorch_lightning.utilities import rank_zero_warn
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from salmask_plugin.adapters.lightly.adios_lars import ClippedLARS

OptimizerName = Literal["lars", "sgd"]


@dataclass(frozen=True)
class Players:
    """How encoder and occluder are trained: momentum 0.9, warm-up, half a cosine.

    Attributes are the arguments of the same names of :class:`ADIOSSimCLR` and
    :class:`ADIOSMoCoV2`.

    Raises:
        ValueError: for an unknown optimiser.
    """

    optimizer: OptimizerName
    mask_optimizer: OptimizerName
    learning_rate: float
    mask_learning_rate: float
    weight_decay: float
    mask_weight_decay: float
    trust_coefficient: float
    warmup_epochs: int
    warmup_start: float

    def __post_init__(self) -> None:
        for argument in ("optimizer", "mask_optimizer"):
            if getattr(self, argument) not in get_args(OptimizerName):
                raise ValueError(
                    f"{argument}={getattr(self, argument)!r} must be one of "
                    f"{get_args(OptimizerName)}."
                )

    def configure(
        self,
        module: LightningModule,
        encoder: list[nn.Module],
        occluder: nn.Module,
        classifier: nn.Module | None,
    ) -> tuple[list[Optimizer], list[LambdaLR]]:
        """Return one optimiser and one schedule per player, encoder first.

        Args:
            module: whose trainer says how long the run is.
            encoder: backbone and projection head.
            occluder: the other player.
            classifier: an online classifier, trained with the encoder at the plain rate without
                decay.
        """
        networks = [parameter for network in encoder for parameter in network.parameters()]
        groups: list[dict[str, Any]] = [{"params": networks}]
        if classifier is not None:
            probe = list(classifier.parameters())
            groups.append({"params": probe, "weight_decay": 0.0, "adapt": False})
        optimizers = [
            self._optimizer(self.optimizer, groups, self.learning_rate, self.weight_decay),
            self._optimizer(
                self.mask_optimizer,
                [{"params": list(occluder.parameters())}],
                self.mask_learning_rate,
                self.mask_weight_decay,
            ),
        ]
        schedules = [
            cosine_per_batch(
                optimizer,
                batches_per_epoch=lambda: module.trainer.num_training_batches,
                max_epochs=module.trainer.max_epochs or -1,
                warmup_epochs=self.warmup_epochs,
                warmup_start=self.warmup_start,
            )
            for optimizer in optimizers
        ]
        return optimizers, schedules

    def _optimizer(
        self, name: OptimizerName, groups: list[dict[str, Any]], rate: float, decay: float
    ) -> Optimizer:
        if name == "sgd":
            return SGD(groups, lr=rate, momentum=0.9, weight_decay=decay)
        return ClippedLARS(
            groups, lr=rate, weight_decay=decay, trust_coefficient=self.trust_coefficient
        )


def cosine_per_batch(
    optimizer: Optimizer,
    *,
    batches_per_epoch: Callable[[], int | float],
    max_epochs: int,
    warmup_epochs: int = 10,
    warmup_start: float = 0.003,
) -> LambdaLR:
    """Return a schedule to be stepped once per training batch: linear warm-up, half a cosine.

    It counts its own steps, which are batches. A trainer's step counter would not do: with two
    optimisers it advances twice per batch.

    Args:
        optimizer: whose groups all follow the schedule, each from its own rate.
        batches_per_epoch: asked at the first batch, not now: asking a trainer for its loader while
            it restores a checkpoint would make the loader for the wrong epoch.
        max_epochs: epochs of the whole run; the rate reaches 0 at their end.
        warmup_epochs: linear from ``warmup_start``.
        warmup_start: the first rate, of all groups.

    Raises:
        ValueError: if max_epochs or an epoch has no end, or warmup_start is above a group's rate.
    """
    if max_epochs < 1:
        raise ValueError(f"max_epochs={max_epochs} must be at least 1 for a cosine schedule.")
    if warmup_epochs < 0:
        raise ValueError(f"warmup_epochs={warmup_epochs} must be at least 0.")
    if warmup_epochs >= max_epochs > 1:
        rank_zero_warn(
            f"warmup_epochs={warmup_epochs} takes up all of the {max_epochs} epochs: the learning "
            "rate only rises."
        )
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    if warmup_epochs > 0 and not 0 <= warmup_start <= min(rates):
        raise ValueError(
            f"warmup_start={warmup_start} must be in [0, {min(rates)}], the learning rate."
        )

    def factor_from(start: float) -> Callable[[int], float]:
        def factor(batch: int) -> float:
            if batch == 0:
                return start if warmup_epochs else 1.0
            length = batches_per_epoch()
            if not 0 < length < math.inf:
                raise ValueError(f"an epoch of {length} batches has no cosine schedule.")
            epoch = batch / length
            if epoch < warmup_epochs:
                return start + (1 - start) * epoch / warmup_epochs
            done = (epoch - warmup_epochs) / max(max_epochs - warmup_epochs, 1 / length)
            return (1 + math.cos(math.pi * min(done, 1.0))) / 2

        return factor

    return LambdaLR(optimizer, [factor_from(warmup_start / rate) for rate in rates])
