"""The two players' optimisers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from salmask_plugin.adios.lars import ClippedLARS
from salmask_plugin.adios.schedule import cosine_per_batch
from salmask_plugin.checks import check_choice, number, whole_number

OptimizerName = Literal["lars", "sgd"]


@dataclass(frozen=True)
class Players:
    """How encoder and occluder are trained: momentum 0.9, warm-up, half a cosine.

    Attributes are the arguments of the same names of the lightly host's ADIOS modules.

    Raises:
        ValueError: for an unknown optimiser, or a number out of range.
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
            check_choice(getattr(self, argument), argument, OptimizerName)
        rates = ("learning_rate", "mask_learning_rate", "weight_decay", "mask_weight_decay")
        for argument in (*rates, "trust_coefficient", "warmup_start"):
            number(getattr(self, argument), argument, at_least=0)
        whole_number(self.warmup_epochs, "warmup_epochs", at_least=0)

    def configure(
        self,
        encoder: list[nn.Module],
        occluder: nn.Module,
        classifier: nn.Module | None,
        *,
        batches_per_epoch: Callable[[], int | float],
        max_epochs: int,
    ) -> tuple[list[Optimizer], list[LambdaLR]]:
        """Return one optimiser and one schedule per player, encoder first.

        Args:
            encoder: backbone and projection head.
            occluder: the other player.
            classifier: an online classifier, trained with the encoder at the plain rate without
                decay.
            batches_per_epoch: of the run; see :func:`cosine_per_batch`.
            max_epochs: of the run.
        """
        networks = [parameter for network in encoder for parameter in network.parameters()]
        groups: list[dict[str, Any]] = [{"params": networks}]
        if classifier is not None:
            probe = list(classifier.parameters())
            groups.append({"params": probe, "weight_decay": 0.0, "adapt": False})
        optimizers = [
            player_optimizer(
                self.optimizer,
                groups,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                trust_coefficient=self.trust_coefficient,
            ),
            player_optimizer(
                self.mask_optimizer,
                [{"params": list(occluder.parameters())}],
                learning_rate=self.mask_learning_rate,
                weight_decay=self.mask_weight_decay,
                trust_coefficient=self.trust_coefficient,
            ),
        ]
        schedules = [
            cosine_per_batch(
                optimizer,
                batches_per_epoch=batches_per_epoch,
                max_epochs=max_epochs,
                warmup_epochs=self.warmup_epochs,
                warmup_start=self.warmup_start,
            )
            for optimizer in optimizers
        ]
        return optimizers, schedules


def player_optimizer(
    name: OptimizerName,
    groups: list[dict[str, Any]],
    *,
    learning_rate: float,
    weight_decay: float,
    trust_coefficient: float,
) -> Optimizer:
    """Return one player's optimiser, with momentum 0.9.

    Args:
        name: "lars" (clipped) or "sgd".
        groups: parameter groups.
        learning_rate: of a group without its own; for LARS, the largest rate of a tensor.
        weight_decay: of a group without its own.
        trust_coefficient: of LARS.
    """
    if name == "sgd":
        return SGD(groups, lr=learning_rate, momentum=0.9, weight_decay=weight_decay)
    return ClippedLARS(
        groups, lr=learning_rate, weight_decay=weight_decay, trust_coefficient=trust_coefficient
    )
