"""A cosine that counts batches, for trainers whose own step counter does not."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from salmask_plugin.checks import whole_number


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
    whole_number(warmup_epochs, "warmup_epochs", at_least=0)
    if warmup_epochs >= max_epochs > 1:
        warnings.warn(
            f"warmup_epochs={warmup_epochs} takes up all of the {max_epochs} epochs: the learning "
            "rate only rises.",
            stacklevel=2,
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
