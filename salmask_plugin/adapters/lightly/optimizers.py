"""Learning rate per epoch: linear warm-up, then half a cosine."""

from __future__ import annotations

import warnings
from typing import Any

from lightly.utils.scheduler import CosineWarmupScheduler
from pytorch_lightning.utilities import rank_zero_info
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class _OwnLength(CosineWarmupScheduler):
    """lightly's schedule, as long as it was made: a state that is loaded keeps only its place."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at the saved epoch, on this run's cosine."""
        length = {"warmup_epochs": self.warmup_epochs, "max_epochs": self.max_epochs}
        saved = {name: state_dict[name] for name in length}
        super().load_state_dict({**state_dict, **length})
        if saved == length:
            return
        rank_zero_info(
            f"Learning rate: the saved run's cosine of {saved['max_epochs'] - 1} epochs goes on as "
            f"one of {self.max_epochs - 1}, at epoch {self.last_epoch}."
        )
        # The optimizer came with the rate of the old cosine, which is 0 where that had ended.
        self._last_lr = [
            base * factor(self.last_epoch)
            for base, factor in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate


def cosine_per_epoch(optimizer: Optimizer, *, warmup_epochs: int, max_epochs: int) -> LRScheduler:
    """Return the schedule lr * (1 + cos(pi * e / max_epochs)) / 2 for epochs e = 0, 1, ...

    A run that is resumed with another length goes on at its epoch of the new cosine.

    With a warm-up of w epochs, epoch e < w has lr * (e + 1) / w and the cosine covers the others.

    Args:
        optimizer: whose learning rates are scheduled.
        warmup_epochs: 0 in the released MoCo code, 10 in the paper's text.
        max_epochs: epochs of the whole run.

    Raises:
        ValueError: if max_epochs is not positive (an unlimited run has no cosine).
    """
    if max_epochs < 1:
        raise ValueError(
            f"max_epochs={max_epochs} must be at least 1 for a cosine schedule: give the Trainer "
            "max_epochs=N. max_steps alone leaves it open; beside max_epochs it ends the run early."
        )
    if warmup_epochs >= max_epochs > 1:
        warnings.warn(
            f"warmup_epochs={warmup_epochs} takes up all of the {max_epochs} epochs: the learning "
            "rate only rises.",
            stacklevel=2,
        )
    # lightly's cosine reaches its end in the last epoch, which would then train at 0; MoCo's would
    # reach it one epoch later.
    return _OwnLength(
        optimizer,
        warmup_epochs=warmup_epochs,
        max_epochs=max(max_epochs + 1, warmup_epochs),
        end_value=0.0,
    )
