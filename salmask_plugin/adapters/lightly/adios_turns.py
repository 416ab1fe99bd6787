"""One player's step on Lightning: summed, averaged over processes, checked and logged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, distributed
from torch.optim import Optimizer

from salmask_plugin.adapters.lightly.finite import mean_over_processes
from salmask_plugin.adapters.lightly.online import online_features
from salmask_plugin.adios.accumulation import Term, accumulate
from salmask_plugin.adios.masking import mask_areas
from salmask_plugin.adios.objective import sparsity_penalty
from salmask_plugin.masking import SaliencyMasking


def take_step(
    module: LightningModule, optimizer: Any, shared: Tensor, terms: Iterable[Term]
) -> Tensor:
    """Minimise the sum of the terms by one step of one player, and return that sum, detached.

    Gradients of all terms are accumulated on each process and averaged over the processes once.
    DDP's own reduction is left out: it would run once per term, and would wait for the gradients
    of the player who is not on turn.
    """
    optimizer.zero_grad()
    strategy = module.trainer.strategy
    unreduced = (
        strategy.block_backward_sync() if isinstance(strategy, DDPStrategy) else nullcontext()
    )
    with unreduced:
        total = accumulate(shared, terms, module.manual_backward)
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


def online_loss(module: Any, batch: Sequence[Any], batch_idx: int) -> Tensor:
    """Loss of the online classifier on clean first views, its accuracy logged; 0 without one."""
    if module.online_classifier is None:
        return torch.zeros((), device=module.device)
    features = online_features(module.backbone, module.game.steps, batch)
    loss, metrics = module.online_classifier.training_step((features, batch[1]), batch_idx)
    module.log_dict(metrics, sync_dist=True, batch_size=len(features))
    return loss


def refuse_masking(masking: SaliencyMasking | None) -> None:
    """Raise ValueError if there is a masking: one that is silently unused would mislead."""
    if masking is not None:
        raise ValueError(
            "masking must be None for ADIOS, which learns its masks: choose masking=none."
        )


def check_strategy(module: LightningModule) -> None:
    """Raise ValueError where parameters are not whole on every process.

    Raises:
        ValueError: unless the strategy is a single device or DDP, of any kind.
    """
    strategy = module.trainer.strategy
    if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy):
        raise ValueError(
            f"strategy={type(strategy).__name__} is not supported by ADIOS: its two players take "
            "turns on whole parameters. Use one device, or trainer.strategy=ddp."
        )


def log_step(
    module: Any, loss: Tensor, occluder: Tensor, masks: Tensor, choices: Sequence[Tensor]
) -> None:
    """Log one batch, after both turns, averaged over the processes in one collective.

    ``train_loss`` (mean over the masks played), ``mask_ratio`` (mean area of the masks played),
    ``adios_penalty`` (sum over all N masks, not weighted) and ``adios_area_0`` to ``N - 1``.

    Args:
        module: whose step it is; its game watches both players' losses.
        loss: of the encoder.
        occluder: loss of the occluder.
        masks: (B, N, H, W) that the encoder played against.
        choices: of its turn.

    Raises:
        FloatingPointError: every ``log_every_n_steps`` steps and in the last of an epoch, if a loss
            of any step so far was not finite.
    """
    areas = mask_areas(masks.detach())
    played = torch.stack([areas.gather(1, choice[:, None]).mean() for choice in choices])
    metrics = {
        "train_loss": loss.detach(),
        "mask_ratio": played.mean(),
        "adios_penalty": sparsity_penalty(areas).sum(),
    }
    for slot, area in enumerate(areas.mean(0)):
        metrics[f"adios_area_{slot}"] = area
    values = [value.float() for value in (*metrics.values(), occluder)]
    *means, occluder = mean_over_processes(torch.stack(values)).unbind()
    for (name, _), value in zip(metrics.items(), means, strict=True):
        module.log(name, value, prog_bar=name == "train_loss", batch_size=len(masks))
    step = module.game.steps.batches_seen
    module.game.finite.add(means[0] + occluder, step=step)
    if (step + 1) % module.trainer.log_every_n_steps == 0 or module.trainer.is_last_batch:
        module.game.finite.check()
