"""What the players' turns need of lightly's host: its strategy, its log, its online classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.finite import mean_over_processes
from salmask_plugin.adapters.lightly.online import online_features
from salmask_plugin.adapters.lightly.refusals import (
    check_module,
    check_momentum_moves,
    refuse_split_weights,
)
from salmask_plugin.adios.accumulation import Term
from salmask_plugin.adios.turns import take_turn, turn_metrics
from salmask_plugin.masking import SaliencyMasking


def take_step(
    module: LightningModule, optimizer: Any, shared: Tensor, terms: Iterable[Term]
) -> Tensor:
    """Take one player's turn by Lightning's own means; see :func:`take_turn`."""
    strategy = module.trainer.strategy
    return take_turn(
        optimizer,
        shared,
        terms,
        backward=module.manual_backward,
        unreduced=strategy.block_backward_sync() if isinstance(strategy, DDPStrategy) else None,
    )


def configure_players(module: Any, encoder: list[nn.Module]) -> tuple[list[Any], list[Any]]:
    """Return one optimiser and one schedule per player, encoder first, for the trainer's run."""
    trainer = module.trainer
    configured: tuple[list[Any], list[Any]] = module.players.configure(
        encoder,
        module.occluder,
        module.online_classifier,
        batches_per_epoch=lambda: trainer.num_training_batches,
        max_epochs=trainer.max_epochs or -1,
    )
    return configured


def online_loss(module: Any, batch: Sequence[Any], batch_idx: int) -> Tensor:
    """Loss of the online classifier on clean first views, its accuracy logged; 0 without one."""
    if module.online_classifier is None:
        return torch.zeros((), device=module.device)
    features = online_features(module.backbone, module.steps, batch)
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
    """Raise ValueError where a game cannot be played.

    Raises:
        ValueError: unless the strategy is a single device or DDP, of any kind, which leaves
            parameters whole; for a whole module that was compiled; for a key encoder in 16 bits.
    """
    check_module(module)
    if hasattr(module, "key_backbone"):
        check_momentum_moves(module, float(module.momentum))  # type: ignore[arg-type]
    refuse_split_weights(module, "two players take turns on whole ones")


def log_step(
    module: Any, loss: Tensor, occluder: Tensor, masks: Tensor, choices: Sequence[Tensor]
) -> None:
    """Log one batch, after both turns, averaged over the processes in one collective.

    ``train_loss`` (mean over the masks played) and :func:`turn_metrics`.

    Args:
        module: whose step it is; it watches both players' losses.
        loss: of the encoder.
        occluder: loss of the occluder.
        masks: (B, N, H, W) that the encoder played against.
        choices: of its turn.

    Raises:
        FloatingPointError: every ``log_every_n_steps`` steps and in the last of an epoch, if a loss
            of any step so far was not finite.
    """
    metrics = {"train_loss": loss.detach(), **turn_metrics(masks, choices)}
    values = [value.float() for value in (*metrics.values(), occluder)]
    *means, occluder = mean_over_processes(torch.stack(values)).unbind()
    for (name, _), value in zip(metrics.items(), means, strict=True):
        module.log(name, value, prog_bar=name == "train_loss", batch_size=len(masks))
    step = module.steps.batches_seen
    module.finite.add(means[0] + occluder, step=step)
    if (step + 1) % module.trainer.log_every_n_steps == 0 or module.trainer.is_last_batch:
        module.finite.check()
