"""The optimisers and the schedule of ADIOS: clipped LARS, and a cosine that counts batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR

OptimizerName = Literal["lars", "sgd"]


class ClippedLARS(Optimizer):
    """SGD with a rate per tensor: min(lr, trust_coefficient * |p| / (|g| + weight_decay * |p|)).

    Plain LARS takes the product of the two instead. Tensors with one dimension (biases,
    normalisation) are neither scaled nor decayed, nor are groups with ``"adapt": False``.

    Args:
        params: parameters or groups.
        lr: the largest rate of a tensor.
        momentum: of SGD.
        weight_decay: L2, on scaled tensors alone.
        trust_coefficient: eta.
        eps: added to the norm of the gradient.

    Raises:
        ValueError: if the trust coefficient or eps is not positive, or another is negative.

    References:
        LARS, https://arxiv.org/abs/1708.03888; clipping and exclusions as in the released code,
        https://github.com/YugeTen/adios/blob/21c6f23/src/utils/lars.py.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.02,
        eps: float = 1e-8,
    ) -> None:
        for name, value in (("trust_coefficient", trust_coefficient), ("eps", eps)):
            if not value > 0:
                raise ValueError(f"{name}={value} must be positive.")
        for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            if not value >= 0:
                raise ValueError(f"{name}={value} must be at least 0.")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "eps": eps,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step. Gradients are left as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad
                if group["adapt"] and parameter.ndim > 1:
                    gradient = _adapted(parameter, gradient, group)
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = gradient.clone()
                else:
                    state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
                parameter.add_(state["momentum_buffer"], alpha=-group["lr"])
        return loss


def _adapted(parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
    """Return the decayed gradient, scaled so that lr times it has the tensor's own rate."""
    decay, lr = group["weight_decay"], float(group["lr"])
    size, slope = parameter.norm(), gradient.norm()
    trust = group["trust_coefficient"] * size / (slope + decay * size + group["eps"])
    ratio = (trust / lr).clamp(max=1) if lr > 0 else torch.ones_like(trust)
    # Decided on the device: reading the norms would stop the host once per tensor. A tensor of
    # zeros, or one without slope, has no scale of its own and keeps its gradient.
    usable = (size > 0) & (slope > 0)
    return torch.where(usable, (gradient + decay * parameter) * ratio, gradient)


def check_optimizer(name: str, argument: str) -> None:
    """Raise ValueError unless ``name`` is one of the two optimisers."""
    if name not in get_args(OptimizerName):
        raise ValueError(f"{argument}={name!r} must be one of {get_args(OptimizerName)}.")


def make_optimizer(
    name: OptimizerName,
    parameters: Iterable[Any],
    *,
    learning_rate: float,
    weight_decay: float,
    trust_coefficient: float,
) -> Optimizer:
    """Return one player's optimiser, momentum 0.9: ``lars``, or ``sgd`` with decay everywhere."""
    if name == "lars":
        return ClippedLARS(
            parameters,
            lr=learning_rate,
            weight_decay=weight_decay,
            trust_coefficient=trust_coefficient,
        )
    return SGD(parameters, lr=learning_rate, momentum=0.9, weight_decay=weight_decay)


def classifier_group(module: nn.Module | None) -> list[dict[str, Any]]:
    """Return the group of an online classifier, at the plain rate without decay; none without."""
    if module is None:
        return []
    return [{"params": list(module.parameters()), "weight_decay": 0.0, "adapt": False}]


def player_schedules(
    module: LightningModule,
    players: list[Optimizer],
    *,
    warmup_epochs: int,
    warmup_start: float,
) -> tuple[list[Optimizer], list[LambdaLR]]:
    """Return the players and one :func:`cosine_per_batch` each, over ``trainer.max_epochs``."""
    schedules = [
        cosine_per_batch(
            player,
            batches_per_epoch=lambda: module.trainer.num_training_batches,
            max_epochs=module.trainer.max_epochs or -1,
            warmup_epochs=warmup_epochs,
            warmup_start=warmup_start,
        )
        for player in players
    ]
    return players, schedules


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
