"""LARS as ADIOS uses it: clipped, so that no tensor moves faster than the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from salmask_plugin.checks import number


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
            number(value, name, above=0)
        for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            number(value, name, at_least=0)
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
