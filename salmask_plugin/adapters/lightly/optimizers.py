"""Learning rate per epoch: linear warm-up, then half a cosine."""

from __future__ import annotations

import warnings

from lightly.utils.scheduler import CosineWarmupScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


def cosine_per_epoch(optimizer: Optimizer, *, warmup_epochs: int, max_epochs: int) -> LRScheduler:
    """Return the schedule lr * (1 + cos(pi * e / max_epochs)) / 2 for epochs e = 0, 1, ...

    With a warm-up of w epochs, epoch e < w has lr * (e + 1) / w and the cosine covers the others.

    Args:
        optimizer: whose learning rates are scheduled.
        warmup_epochs: 0 in the released MoCo code, 10 in the paper's text.
        max_epochs: epochs of the whole run.

    Raises:
        ValueError: if max_epochs is not positive (an unlimited run has no cosine).
    """
    if max_epochs < 1:
        raise ValueError(f"max_epochs={max_epochs} must be at least 1 for a cosine schedule.")
    if warmup_epochs >= max_epochs > 1:
        warnings.warn(
            f"warmup_epochs={warmup_epochs} takes up all of the {max_epochs} epochs: the learning "
            "rate only rises.",
            stacklevel=2,
        )
    # lightly's cosine reaches its end in the last epoch, which would then train at 0; MoCo's would
    # reach it one epoch later.
    return CosineWarmupScheduler(
        optimizer,
        warmup_epochs=warmup_epochs,
        max_epochs=max(max_epochs + 1, warmup_epochs),
        end_value=0.0,
    )
