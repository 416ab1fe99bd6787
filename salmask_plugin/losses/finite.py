"""Stop on a loss that is no number, before it reaches weights, queue or averages."""

from __future__ import annotations

import torch
from torch import Tensor


def check_finite(loss: Tensor, *, step: int) -> None:
    """Stop the run on a loss that is NaN or infinite.

    Raises:
        FloatingPointError: with the step, and what usually causes it.
    """
    # One read of the device per step. The memory bank's pointer and the batch's diagonal mask are
    # read in every step already, and a NaN enqueued or averaged into the key encoder stays.
    if not torch.isfinite(loss):
        raise FloatingPointError(
            f"train_loss is {loss.item()} at training batch {step}. Usual causes: the learning "
            "rate is too high, images or given masks hold NaN, or 16-bit precision overflows "
            "(try bf16-mixed). The last checkpoint is from before this step."
        )
