"""A loss that is no number: what is said, and the stop before it reaches weights or averages."""

from __future__ import annotations

import torch
from torch import Tensor


def check_finite(loss: Tensor, *, step: int) -> None:
    """Stop the run on a loss that is NaN or infinite. Waits for the loss's device.

    Raises:
        FloatingPointError: with the step, and what usually causes it.
    """
    if not torch.isfinite(loss):
        raise not_finite(loss.item(), step=step)


def not_finite(loss: float, *, step: int) -> FloatingPointError:
    """Return the error that names the step and what usually causes such a loss."""
    return FloatingPointError(
        f"train_loss is {loss} at training batch {step}. Usual causes: the learning rate is too "
        "high, images or given masks hold NaN, or 16-bit precision overflows (try bf16-mixed). The "
        "last checkpoint is from before this step."
    )
