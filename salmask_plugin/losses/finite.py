"""A loss or a weight that is no number: what is said, and the stop before it goes further."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def check_finite(loss: Tensor, *, step: int) -> None:
    """Stop the run on a loss that is NaN or infinite. Waits for the loss's device.

    Raises:
        FloatingPointError: with the step, and what usually causes it.
    """
    if not torch.isfinite(loss):
        raise not_finite(loss.item(), step=step)


def first_not_finite(values: Mapping[str, Any]) -> str | None:
    """Return the name of the first tensor that holds NaN or infinity, or None. Waits for them.

    Args:
        values: such as a ``state_dict``; whole numbers and what is no tensor are passed over.
    """
    for name, value in values.items():
        real = isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())
        if real and not torch.isfinite(value).all():
            return name
    return None


def not_finite(loss: float, *, step: int) -> FloatingPointError:
    """Return the error that names the step and what usually causes such a loss."""
    return FloatingPointError(
        f"train_loss is {loss} at training batch {step}. Usual causes: the learning rate is too "
        "high, images or given masks hold NaN, or 16-bit precision overflows (try bf16-mixed). The "
        "last checkpoint is from before this step."
    )
