"""A pytorch_lightning Trainer that evaluates and leaves nothing behind."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

CPU = torch.device("cpu")


@contextmanager
def quiet_trainer(
    *,
    epochs: int,
    callbacks: Sequence[Callback] = (),
    device: torch.device = CPU,
    progress: bool = False,
) -> Iterator[Trainer]:
    """Give a Trainer on one device with no logger, no checkpoints and no start-up messages.

    Args:
        epochs: of the fit.
        callbacks: of the fit.
        device: where; without an index, the first of its kind.
        progress: show progress bars.
    """
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Features in memory need no loader processes.
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            # torch and Lightning disagree about a type check of pytrees; nothing a user can do.
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
            # The model is frozen: eval mode is what is wanted.
            warnings.filterwarnings("ignore", message=".*in eval mode at the start of training")
            yield Trainer(
                max_epochs=epochs,
                accelerator=device.type,
                devices=1 if device.index is None or device.type == "cpu" else [device.index],
                callbacks=list(callbacks),
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=progress,
                enable_model_summary=False,
                # A validation batch of another form is told before an epoch has been trained.
                num_sanity_val_steps=1,
                # In a SLURM job Lightning would go on from checkpoints that it finds there.
                default_root_dir=os.devnull,
            )
    finally:
        logger.setLevel(level)


def in_memory(
    features: Tensor, labels: Tensor, *, batch_size: int = 512, shuffle: bool = False
) -> DataLoader[tuple[Tensor, ...]]:
    """Return a loader over features and labels in memory."""
    return DataLoader(TensorDataset(features, labels), batch_size=batch_size, shuffle=shuffle)
