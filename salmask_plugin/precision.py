"""Arithmetic in full precision, whatever a host's autocast or the views' dtype would have it be."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def in_float(x: Tensor) -> Tensor:
    """Return ``x`` in float32, or as it is in float64."""
    return x if x.dtype == torch.float64 else x.float()


def autocast_off(device: torch.device) -> AbstractContextManager[None]:
    """Return a context without autocast on ``device``; devices that have none need none."""
    return torch.autocast(device.type, enabled=False) if _has(device.type) else nullcontext()


# Torch 2.6 cannot compile the question itself.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _has(device: str) -> bool:
    return torch.amp.is_autocast_available(device)
