"""One player's turn: its terms summed, averaged over processes, checked, and a step taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, distributed
from torch.optim import Optimizer

from salmask_plugin.adios.accumulation import Term, accumulate
from salmask_plugin.adios.masking import mask_areas
from salmask_plugin.adios.objective import sparsity_penalty
from salmask_plugin.losses.finite import check_finite


def take_turn(
    optimizer: Any,
    shared: Tensor,
    terms: Iterable[Term],
    *,
    batch: int | None = None,
    backward: Callable[[Tensor], None] = torch.autograd.backward,
    unreduced: AbstractContextManager[Any] | None = None,
) -> Tensor:
    """Minimise the sum of the terms by one step of one player, and return that sum, detached.

    Gradients of all terms are accumulated on each process and averaged over the processes once.
    DDP's own reduction is left out: it would run once per term, and would wait for the gradients
    of the player who is not on turn.

    Args:
        optimizer: of the player on turn; the other's parameters are frozen.
        shared: what all terms are functions of; see :func:`accumulate`.
        terms: what is summed.
        batch: training batches seen so far, for the error; None leaves the check, which waits for
            the device, to the host.
        backward: how a term is back-propagated.
        unreduced: a context in which the host reduces no gradients; None where it never does.

    Raises:
        FloatingPointError: with ``batch``, if the sum is not finite, before the step.
    """
    optimizer.zero_grad()
    with unreduced or nullcontext():
        total = accumulate(shared, terms, backward)
    if batch is not None:
        check_finite(total, step=batch)
    average_gradients(optimizer)
    optimizer.step()
    return total


@torch.no_grad()
def average_gradients(optimizer: Optimizer) -> None:
    """Replace the gradients of an optimiser's parameters by their mean over the processes."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    gradients = [
        parameter.grad
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    ]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, mean in zip(
        gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True
    ):
        gradient.copy_(mean.view_as(gradient))


def turn_metrics(masks: Tensor, choices: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return what a batch logs of its masks, by the logged names.

    ``mask_ratio`` (mean area of the masks played), ``adios_penalty`` (sum over all N masks, not
    weighted) and ``adios_area_0`` to ``N - 1``.

    Args:
        masks: (B, N, H, W).
        choices: the masks played, each (B,) int64.
    """
    areas = mask_areas(masks.detach())
    played = torch.stack([areas.gather(1, choice[:, None]).mean() for choice in choices])
    metrics = {"mask_ratio": played.mean(), "adios_penalty": sparsity_penalty(areas).sum()}
    for slot, area in enumerate(areas.mean(0)):
        metrics[f"adios_area_{slot}"] = area
    return metrics
